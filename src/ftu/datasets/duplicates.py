"""One picture under two names, found by a perceptual hash; docs/splits.md says what is found and what is not.

The hash is the DCT hash of pHash (Zauner, Implementation and Benchmarking of Perceptual Image Hash
Functions, 2010, https://www.phash.org/docs/pubs/thesis_zauner.pdf) with two changes. It has 256 bits in
place of 64: from afar, images of one organ look alike. And a bit is the sign of its coefficient, which is
compared with no median: then the hash of a mirrored or turned image follows from that of the image.
"""

from collections.abc import Iterator, Sequence

import cv2
import numpy as np

SIDE = 32  # px: what the image is shrunk to
LOW = 16  # lowest frequencies along each axis that are kept
NEAR = 40  # bits that may differ; of the two sides of this number docs/splits.md has the measurements
HALVED = 16 * SIDE  # px: an image of which no side is shorter is halved
FLAT = 4.0  # grey levels, standard deviation over the thumbnail: below it there is nothing to recognise
BLOCK = 256  # images that are compared with all others at once


def picture_hash(bands: np.ndarray) -> str:
    """The hash of a (C, H, W) uint8 image, RGB or grey, 64 hexadecimal digits; '' of a flat one, which is
    like no other.

    Bit LOW * i + j is 1 where coefficient (i, j) of the cosine transform of the grey thumbnail is positive.
    """
    whole = cv2.cvtColor(cv2.merge(list(bands)), cv2.COLOR_RGB2GRAY) if len(bands) == 3 else bands[0]
    grey = _thumbnail(whole)
    if grey.std() < FLAT:
        return ""
    return np.packbits(cv2.dct(grey)[:LOW, :LOW] > 0).tobytes().hex()


def _thumbnail(grey: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE) float32: the mean grey level of each part of an (H, W) uint8 image.

    A large one is halved first, for which OpenCV has a fast way.
    """
    while min(grey.shape) >= HALVED:
        height, width = (length // 2 for length in grey.shape)
        grey = cv2.resize(grey[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)


def pairs(hashes: Sequence[str]) -> list[tuple[int, int]]:
    """Positions of the images that are one picture, the lower first, sorted; mirrored and turned ones, too.

    Two are one picture where their hashes differ in at most NEAR bits, in any of the eight poses of a square.
    """
    known = np.flatnonzero([bool(text) for text in hashes])
    bits = [np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8)) for text in hashes if text]
    signs = np.reshape(bits, (-1, LOW * LOW)).astype(np.float32) * 2 - 1
    found: set[tuple[int, int]] = set()
    for posed in _poses(signs.reshape(-1, LOW, LOW)):
        others = posed.reshape(signs.shape).T
        for start in range(0, len(known), BLOCK):
            like = signs[start : start + BLOCK] @ others  # bits that agree, less bits that differ
            first, second = np.nonzero(like >= LOW * LOW - 2 * NEAR)
            near = zip(known[first + start].tolist(), known[second].tolist(), strict=True)
            found |= {pair for pair in near if pair[0] < pair[1]}
    return sorted(found)


def _poses(signs: np.ndarray) -> Iterator[np.ndarray]:
    """The (images, LOW, LOW) signs of each image in eight poses.

    A mirrored axis turns the sign of its odd frequencies, and a quarter turn swaps the axes first.
    """
    odd = np.where(np.arange(LOW) % 2, -1, 1).astype(np.float32)
    for turned in (signs, signs.transpose(0, 2, 1)):
        for rows in (1, odd[:, None]):
            for columns in (1, odd):
                yield turned * rows * columns
