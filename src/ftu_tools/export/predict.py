"""Probabilities of an image with NumPy and ONNX Runtime alone: python predict.py IMAGE.npy OUT.npy

IMAGE.npy is (height, width, channels) uint8 at the scale that README.md names, OUT.npy (classes, height,
width) float32: the mean over folds, which is in model.onnx, and over views, which is here.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


def probabilities(folder: Path, image: np.ndarray) -> np.ndarray:
    """What `folder`, an export, says of each pixel."""
    facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    sizes, views = facts["sizes"], facts["views"]
    if sizes["one"] and max(image.shape[:2]) > sizes["least"]:
        sys.exit(
            f"the image is {image.shape[:2]}; the network takes {sizes['least']} px: cut it into windows"
        )
    network = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    pixels = np.moveaxis(image, -1, 0)[None].astype(np.float32) * (facts["full"] / 255)
    total = np.zeros((1, len(facts["classes"]), *image.shape[:2]), np.float32)
    for turns, mirrored in views:  # quarter turns, after a mirror
        view = np.rot90(pixels[..., ::-1] if mirrored else pixels, turns, (2, 3))
        tall, wide = view.shape[2:]
        border = [(0, max(-side % sizes["multiple"], sizes["least"] - side)) for side in (tall, wide)]
        padded = np.pad(view, [(0, 0), (0, 0), *border], mode=sizes["pad"])
        found = np.asarray(network.run(None, {"image": padded})[0])
        found = np.rot90(found[:, :, :tall, :wide], -turns, (2, 3))
        total += found[..., ::-1] if mirrored else found
    return total[0] / len(views)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python predict.py IMAGE.npy OUT.npy")
    image = np.load(sys.argv[1], allow_pickle=False)
    np.save(sys.argv[2], probabilities(Path(__file__).parent, image))
