"""Figures: what is drawn where, in which colour, and that equal input gives equal bytes."""

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from ftu.files import png
from ftu.reports import figures
from ftu.reports.figures import PREDICTION, TRUTH, Picture, draw_curves, draw_gallery, outlined
from ftu.training.losses import schedules

RED = (255, 0, 0)


def history(aux_loss: str, *, epochs: int = 6, switch_epoch: int = 4) -> pd.DataFrame:
    """As `read_history` reads it, with losses that fall."""
    rows = []
    for epoch in range(epochs):
        weights = schedules.SCHEDULES[aux_loss](epoch, blocks=[2, 1], weight=0.2, switch_epoch=switch_epoch)
        loss = 1 / (1 + epoch)
        row = {"epoch": epoch, "active_block": schedules.active_block(weights), "train_main": loss}
        row |= {f"train_{term}": loss if term in weights else np.nan for term in schedules.AUX_TERMS}
        row |= {f"gradient_{block}": loss / block for block in (1, 2, 3, 4)}
        rows.append(row | {"valid_main": 1.1 * loss, "valid_dice": 1 - loss, "ema_dice": np.nan})
    return pd.DataFrame(rows).astype(float)


def marks(figure: Figure) -> list[tuple[list[float], list[tuple[float, str]]]]:
    """For each panel, where its vertical lines stand, and its texts with where they stand."""
    marked = []
    for axes in figure.axes:
        epochs = [np.unique(np.asarray(line.get_xdata())) for line in axes.lines]
        texts = [(text.get_position()[0], text.get_text().strip()) for text in axes.texts]
        marked.append(([each.item() for each in epochs if len(each) == 1], texts))
    return marked


def picture(title: str = "lung") -> Picture:
    """A white image; truth and prediction are squares apart."""
    masks = np.zeros((2, 240, 240), np.uint8)
    masks[0, 30:100, 30:100] = 1
    masks[1, 140:210, 140:210] = 1
    return Picture(title, np.full((240, 240, 3), 255, np.uint8), masks[0], masks[1])


# ------------------------------------------------------------------ curves


@pytest.mark.parametrize("folds", [1, 5])
def test_the_switch_is_marked_once_in_each_panel(tmp_path, drawn, folds):
    draw_curves(dict.fromkeys(range(folds), history("switched")), tmp_path / "curves.png")
    assert marks(drawn[0]) == [([4], [(4, "block 2 to 1")])] * 3


@pytest.mark.parametrize("aux_loss", ["none", "single"])
def test_without_a_switch_none_is_marked(tmp_path, drawn, aux_loss):
    draw_curves({0: history(aux_loss)}, tmp_path / "curves.png")
    assert marks(drawn[0]) == [([], [])] * 3


@pytest.mark.parametrize(("aux_loss", "named"), [("none", False), ("single", True), ("switched", True)])
def test_the_auxiliary_loss_is_named_where_there_is_one(tmp_path, drawn, aux_loss, named):
    draw_curves({0: history(aux_loss)}, tmp_path / "curves.png")
    legend = drawn[0].axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["train", "validation"] + ["auxiliary"] * named


def test_every_fold_has_its_curves(tmp_path, drawn):
    draw_curves(dict.fromkeys([0, 3, 4], history("none")), tmp_path / "curves.png")
    assert [len(axes.lines) for axes in drawn[0].axes] == [6, 6, 12]


def test_each_block_has_its_gradient_in_a_colour_of_its_own(tmp_path, drawn):
    draw_curves({0: history("none")}, tmp_path / "curves.png")
    axes = drawn[0].axes[2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"block {n}" for n in (1, 2, 3, 4)]
    assert [line.get_ydata()[0] for line in axes.lines] == [1, 1 / 2, 1 / 3, 1 / 4]
    assert len({line.get_color() for line in axes.lines}) == 4


# ------------------------------------------------------------------ gallery


@pytest.mark.parametrize("side", [64, 240, 720])
def test_an_outline_is_drawn_in_its_colour_near_the_contour_and_nowhere_else(side):
    image = np.random.default_rng(0).integers(0, 200, (side, side, 3), np.uint8)
    mask = cv2.circle(np.zeros((side, side), np.uint8), (side // 2, side // 2), side // 4, 1, -1)
    before = image.copy(), mask.copy()
    made = outlined(image, mask, RED)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])
    changed = (made != image).any(axis=2)
    assert (made[changed] == RED).all()
    contour = mask - cv2.erode(mask, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    near = cv2.dilate(contour, np.ones((3, 3), np.uint8), iterations=max(1, side // 120))
    assert changed[contour > 0].all()
    assert not changed[near == 0].any()


def test_the_outline_of_nothing_is_the_image():
    image = np.full((40, 40, 3), 9, np.uint8)
    np.testing.assert_array_equal(outlined(image, np.zeros((40, 40), np.uint8), RED), image)


@pytest.mark.parametrize("hidden", [None, "truth", "prediction"])
def test_a_gallery_shows_both_outlines_each_in_its_colour(tmp_path, hidden):
    shown = picture()
    if hidden:
        shown = shown._replace(**{hidden: np.zeros_like(shown.truth)})
    draw_gallery([shown], tmp_path / "gallery.png")
    page = png.read_image(tmp_path / "gallery.png")
    page = page[: int(0.9 * len(page))]  # without the key below
    for name, colour in (("truth", TRUTH), ("prediction", PREDICTION)):
        near = np.abs(page.astype(int) - colour).max(axis=2) < 40
        assert near.any() == (name != hidden), name


def test_a_gallery_has_a_column_for_each_picture_under_its_title(tmp_path, drawn):
    titles = ["lung", r"a $\frac$ b", "spleen"]  # the names of organs are any text, and no mathematics
    draw_gallery(list(map(picture, titles)), tmp_path / "gallery.png")
    above, below = drawn[0].axes[:3], drawn[0].axes[3:]
    assert [axes.get_title() for axes in above] == titles
    assert [axes.get_title() for axes in below] == [""] * 3


# ------------------------------------------------------------------ files


@pytest.mark.parametrize(
    "draw",
    [lambda path: draw_curves({0: history("switched")}, path), lambda path: draw_gallery([picture()], path)],
    ids=["curves", "gallery"],
)
def test_equal_input_gives_equal_bytes_of_a_png(tmp_path, draw):
    for name in ("first.png", "again.png"):
        draw(tmp_path / name)
    content = (tmp_path / "first.png").read_bytes()
    assert content == (tmp_path / "again.png").read_bytes()
    assert content.startswith(b"\x89PNG")
    assert b"Matplotlib" not in content  # its version would change the bytes
    assert png.read_image(tmp_path / "first.png").min() < 255


def test_the_gallery_of_classes_shows_each_in_its_own_colour(tmp_path, drawn):
    truth = np.zeros((40, 50), np.uint8)
    truth[5:20, 5:20], truth[25:35, 25:45] = 1, 2
    picture = figures.Picture("a $name", figures.rgb(np.full((40, 50, 1), 128, np.uint8)), truth, truth * 0)
    figures.draw_gallery([picture, picture], tmp_path / "gallery.png", ["membrane", "vesicle"])
    image, told, found = (axes.images[0].get_array() for axes in drawn[0].axes[::2])
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == ["membrane", "vesicle"]
    assert {tuple(colour) for colour in np.asarray(image).reshape(-1, 3)} == {(128, 128, 128)}
    assert {tuple(colour) for colour in np.asarray(told).reshape(-1, 3)} == {
        (128, 128, 128), *figures.CLASS_COLOURS[:2],
    }  # fmt: skip
    np.testing.assert_array_equal(found, image)
