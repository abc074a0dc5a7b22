"""The picture of what pre-training does to images is that of the code, and shows every task."""

import cv2
import numpy as np

from ftu.training.pretraining.corruptions import CORRUPTIONS
from ftu_tools.maintenance import corruptions_picture
from imports import ROOT


def test_the_committed_picture_is_that_of_the_code(tmp_path):
    corruptions_picture.draw(tmp_path / "drawn.png")
    drawn, committed = (
        cv2.imread(str(path)) for path in (tmp_path / "drawn.png", ROOT / corruptions_picture.PICTURE)
    )
    assert drawn is not None
    assert committed is not None
    assert drawn.shape == committed.shape
    assert np.abs(drawn.astype(int) - committed).mean() < 1, "make docs"


def test_every_task_is_shown_and_changes_the_image():
    image = np.random.default_rng(0).integers(1, 255, (64, 64, 1), dtype=np.uint8)
    (name, plain), *others = corruptions_picture.shown(image).items()
    assert (name, [other for other, _ in others]) == ("none", list(CORRUPTIONS))
    assert np.array_equal(plain, image)
    assert not any(np.array_equal(changed, image) for _, changed in others)
