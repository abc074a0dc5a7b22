"""Run-length encoding of one large mask: ours, pycocotools and the snippet most Kaggle notebooks share.

PYTHONPATH=src python benchmarks/rle.py

The mask is a C-ordered uint8 array, as image readers give it. pycocotools wants Fortran order, so its encode
includes that copy, and its decode returns that order: "C order" rows add the copy an image writer would need.
Its strings are COCO's own; ours and the snippet's include making and parsing Kaggle's decimal text.
"""

from collections.abc import Callable

import cv2
import numpy as np
from pycocotools import mask as coco

from ftu.files import rle
from side_by_side import medians

SIDE = 3000
REPEATS = 15


def draw_mask() -> np.ndarray:
    """(SIDE, SIDE) uint8 of 0 and 1: a sixth of the area in rounded blobs, about 27,000 runs."""
    noise = np.random.default_rng(0).standard_normal((SIDE, SIDE)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), sigmaX=23)
    return (smooth > smooth.std()).astype(np.uint8)


def snippet_encode(mask: np.ndarray) -> str:
    """https://www.kaggle.com/code/paulorzp/rle-functions-run-length-encode-decode, column-major."""
    pixels = np.concatenate([[0], mask.T.flatten(), [0]])
    runs = np.where(pixels[1:] != pixels[:-1])[0] + 1
    runs[1::2] -= runs[::2]
    return " ".join(str(x) for x in runs)


def snippet_decode(text: str) -> np.ndarray:
    """https://www.kaggle.com/code/paulorzp/rle-functions-run-length-encode-decode, column-major."""
    words = text.split()
    starts, lengths = (np.asarray(x, dtype=int) for x in (words[0::2], words[1::2]))
    mask = np.zeros(SIDE * SIDE, dtype=np.uint8)
    for start, stop in zip(starts - 1, starts - 1 + lengths, strict=True):
        mask[start:stop] = 1
    return mask.reshape((SIDE, SIDE), order="F")


def candidates(mask: np.ndarray) -> dict[str, Callable[[], object]]:
    text, coded = rle.encode(mask), coco.encode(np.asfortranarray(mask))
    return {
        "encode, ours": lambda: rle.encode(mask),
        "encode, pycocotools": lambda: coco.encode(np.asfortranarray(mask)),
        "encode, snippet": lambda: snippet_encode(mask),
        "decode, ours": lambda: rle.decode(text, height=SIDE, width=SIDE),
        "decode, pycocotools": lambda: coco.decode(coded),
        "decode, pycocotools to C order": lambda: np.ascontiguousarray(coco.decode(coded)),
        "decode, snippet": lambda: snippet_decode(text),
        "decode, snippet to C order": lambda: np.ascontiguousarray(snippet_decode(text)),
    }


def main() -> None:
    mask = draw_mask()
    text = rle.encode(mask)
    assert text == snippet_encode(mask)
    assert np.array_equal(rle.decode(text, height=SIDE, width=SIDE), snippet_decode(text))
    print(f"mask of {SIDE} x {SIDE}, {len(text.split()) // 2} runs, medians of {REPEATS} alternating repeats")
    seconds = medians(candidates(mask), REPEATS)
    for name, value in seconds.items():
        ours = seconds[f"{name.split(',')[0]}, ours"]
        print(f"{name:32s} {1000 * value:8.2f} ms   {value / ours:5.2f} x ours")


if __name__ == "__main__":
    main()
