"""The picture of what augmentation does is that of the code, and shows every kind of change."""

import cv2
import numpy as np

from ftu.pipeline.params import load_params
from ftu_tools.maintenance import augmentation_picture
from imports import ROOT


def test_the_committed_picture_is_that_of_the_code(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    augmentation_picture.draw(tmp_path / "drawn.png")
    drawn, committed = (
        cv2.imread(str(path)) for path in (tmp_path / "drawn.png", augmentation_picture.PICTURE)
    )
    assert drawn is not None
    assert committed is not None
    assert drawn.shape == committed.shape
    assert np.abs(drawn.astype(int) - committed).mean() < 1, "make docs"


def test_every_cell_differs_from_the_image_and_moves_the_mask_only_where_pixels_move():
    settings = load_params(ROOT / "profiles/competition.yaml").augment
    rng = np.random.default_rng(0)
    density = rng.gamma(2.0, 0.3, (512, 512, 2)) @ np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
    image = np.rint(255 * np.exp(-density)).astype(np.uint8)
    mask = np.zeros((512, 512), np.uint8)
    mask[200:290, 210:330] = 1
    (_, plain, outline), *cells = augmentation_picture.cells(image, mask, settings)
    kinds = {"crop", "rotate_degrees", "rotate_scale", "distort", "scale_window"}
    for title, changed, moved in cells:
        assert not np.array_equal(changed, plain), title
        assert np.array_equal(moved, outline) == (title.split()[0].strip(",") not in kinds), title
