"""Laws of solidity, and of the epoch that is chosen by it."""

import math

import cv2
import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.measure import label

from ftu.errors import InputError
from ftu.files import png
from ftu.networks.common.contract import Segmentation
from ftu.training.pretraining import solidity, watched
from ftu.training.samples import Samples

SIDE = 32
PLUS = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)


def test_a_plus_fills_five_sevenths_of_its_hull():
    mask = np.pad(PLUS, ((2, 1), (0, 4)))
    assert solidity.of_objects(mask, 0) == pytest.approx([5 / 7])
    assert solidity.of_objects(mask, 4) == pytest.approx([5 / 7])
    assert not len(solidity.of_objects(mask, 5))  # objects of more than so many px


@given(arrays(bool, (7, 9)), st.integers(0, 4))
def test_it_is_area_over_the_hull_of_the_pixels_corners_as_opencv_has_it(mask, smallest):
    found = label(mask, connectivity=2)
    parts = [np.argwhere(found == number) for number in range(1, found.max() + 1)]  # type: ignore[operator]
    expected = []
    for part in parts:
        corners = np.concatenate([part + np.array([down, right]) for down in (0, 1) for right in (0, 1)])
        hull = cv2.contourArea(cv2.convexHull(corners.astype(np.float32)))
        expected += [len(part) / hull] if len(part) > smallest else []
    ours = solidity.of_objects(mask, smallest)
    assert sorted(ours) == pytest.approx(sorted(expected))
    assert all(0 < value <= 1 + 1e-12 for value in ours)
    assert sorted(solidity.of_objects(np.rot90(mask), smallest)) == pytest.approx(sorted(ours))


class Copy(torch.nn.Module):
    """Finds what is bright in an image."""

    def forward(self, images):
        return Segmentation(images[:, :1] - 0.5, [])


def folders(folder, truth, shown, classes):
    """Two images to learn from, of the mask `truth`, and one that shows `shown`, kept to be looked at."""
    for part in ("train", "masks", "test", "kept"):
        (folder / part).mkdir()
    for name in ("001", "NA"):
        png.write_image(folder / "train" / f"{name}.png", np.zeros((SIDE, SIDE, 1), np.uint8))
        png.write_mask(folder / "masks" / f"{name}.png", truth.astype(np.uint8), classes)
    png.write_image(folder / "test" / "1e5.png", np.repeat(shown[..., None] * np.uint8(255), 1, axis=2))
    watched.keep(folder / "kept", [folder / "test" / "1e5.png"])


def looking(folder, truth, shown, classes=1):
    folders(folder, truth, shown, classes)
    how: dict = {"cache": False, "mean": [0.0], "std": [1.0]}
    drawn = Samples(folder / "train", folder / "masks", ["001", "NA"], SIDE, None, 0, **how)
    accelerator = Accelerator(cpu=True)
    return watched.Watched(folder / "kept", drawn, accelerator, batch_size=2, workers=0, classes=classes)


def drawn(part, top=3, left=5, times=5):
    mask = np.zeros((SIDE, SIDE), bool)
    large = np.kron(part, np.ones((times, times), bool))
    mask[top : top + large.shape[0], left : left + large.shape[1]] = large
    return mask


@pytest.mark.parametrize(
    ("shown", "found", "gap"),
    [
        (drawn(PLUS, 9, 0), 5 / 7, 0.0),  # as compact as the masks, wherever it lies
        (drawn(np.ones((2, 3), bool)), 1.0, 2 / 7),
        (drawn(np.ones((2, 2), bool), times=1), math.nan, 1.0),  # of 4 px: nothing that has a shape
    ],
)
def test_the_gap_is_that_of_the_mean_solidity_to_the_masks(tmp_path, shown, found, gap):
    row = looking(tmp_path, drawn(PLUS), shown)(Copy())  # pyright: ignore[reportArgumentType]
    assert row["solidity"] == pytest.approx(found, nan_ok=True)
    assert row["solidity_gap"] == pytest.approx(gap)


def test_each_class_has_its_own_objects(tmp_path):
    truth = drawn(PLUS).astype(np.uint8)
    truth[truth == 1] = np.where(
        np.arange((truth == 1).sum()) < 25, 1, 2
    )  # the upper arm and its row, the rest
    both = looking(tmp_path, truth, drawn(PLUS), classes=2)
    one = solidity.of_objects(truth == 1, 10), solidity.of_objects(truth == 2, 10)
    assert both.expected == pytest.approx(np.concatenate(one).mean())
    assert both.expected != pytest.approx(5 / 7)


def test_without_objects_or_test_images_there_is_nothing_to_compare(tmp_path):
    with pytest.raises(
        InputError, match=r"solidity: no mask .* more than 10 px; use train.watch dice or loss"
    ):
        looking(tmp_path, drawn(np.ones((1, 2), bool), times=1), drawn(PLUS))
    with pytest.raises(InputError, match="there are none: put those of the other source there"):
        watched.check([])
