"""What is made of any kind of masks and annotations is what decode reads: several classes, to the number.

The labels are 1, 3 and 6 of six classes; three are absent, and one image is empty.
"""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from ftu.datasets import folders, image_files
from ftu.errors import InputError
from ftu.files import png
from own_data import SHAPE, picture, run, save, write_json

CLASSES = ("a", "b", "c", "d", "e", "f")
COLOURS = {1: (255, 0, 0), 3: (0, 255, 0), 6: (0, 0, 255)}
BOXES = {1: (0, 0, 4, 2), 3: (5, 0, 9, 3), 6: (1, 3, 4, 6)}  # x, y of two corners: areas of 8, 12 and 9 px


def truth(boxes: dict[int, tuple[int, ...]]) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    for label, (left, top, right, bottom) in boxes.items():
        labels[top:bottom, left:right] = label
    return labels


def numbers(folder: Path, name: str, boxes: dict) -> None:
    save(folder / f"{name}.png", truth(boxes))


def tiffs(folder: Path, name: str, boxes: dict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{name}_seg.tif", truth(boxes).astype(np.uint16))


def palettes(folder: Path, name: str, boxes: dict) -> None:
    indexed = Image.fromarray(truth(boxes), "P")
    indexed.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tolist())
    folder.mkdir(parents=True, exist_ok=True)
    indexed.save(folder / f"{name}.png")


def colours(folder: Path, name: str, boxes: dict) -> None:
    table = np.zeros((7, 3), np.uint8)
    table[list(COLOURS)] = list(COLOURS.values())
    save(folder / f"{name}-mask.png", table[truth(boxes)])


def instances(folder: Path, name: str, boxes: dict) -> None:
    """An object's number is 1000 times its class's, and more than a byte holds."""
    folder.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(folder / f"{name}.tif", truth(boxes).astype(np.uint16) * 1000)


def qupath(folder: Path, name: str, boxes: dict) -> None:
    write_json(
        folder / f"{name}.geojson",
        [
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]],
                },
                "properties": {"objectType": "annotation", "classification": {"name": CLASSES[label - 1]}},
            }
            for label, (x0, y0, x1, y1) in boxes.items()
        ],
    )


def labelme(folder: Path, name: str, boxes: dict) -> None:
    """Its rectangles are drawn with their last row and column."""
    shapes = [
        {"label": CLASSES[label - 1], "shape_type": "rectangle", "points": [[x1 - 1, y1 - 1], [x0, y0]]}
        for label, (x0, y0, x1, y1) in boxes.items()
    ]
    write_json(folder / f"{name}.json", {"version": "5.4.1", "flags": {}, "shapes": shapes,
               "imagePath": f"{name}.png", "imageHeight": SHAPE[0], "imageWidth": SHAPE[1]})  # fmt: skip


def coco(folder: Path, boxes_of: dict[str, dict]) -> Path:
    annotations = [
        {"image_id": number, "category_id": label, "segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]}
        for number, boxes in enumerate(boxes_of.values())
        for label, (x0, y0, x1, y1) in boxes.items()
    ]
    images = [
        {"id": number, "file_name": f"{name}.png", "height": SHAPE[0], "width": SHAPE[1]}
        for number, name in enumerate(boxes_of)
    ]
    named = [{"id": number, "name": name} for number, name in enumerate(CLASSES, start=1)]
    content = {"images": images, "annotations": annotations, "categories": named}
    return write_json(folder / "coco.json", content)


def decoded(root: Path, to: Path, channels: int) -> dict[str, np.ndarray]:
    """The masks as decode writes them for the stages that follow, by the names of their images."""
    train, test = folders.read_both(root, organs=["tissue"], sources=["own"], pixel_size=1.0)
    assert test.empty
    for row in train.to_dict("records"):
        shape = (row["img_height"], row["img_width"])
        image_files.check_image(root / row["image"], shape, channels=channels)
        folders.decode_mask_file(root / row["mask"], to / f"{row['name']}.png", shape, len(CLASSES))
    return {str(name): png.read_mask(to / f"{name}.png") for name in train["name"]}


LABELS_OF = {
    colours: ",".join(f"#{bytes(rgb).hex()}={CLASSES[label - 1]}" for label, rgb in COLOURS.items()),
    instances: ",".join(f"{label * 1000}={CLASSES[label - 1]}" for label in COLOURS),
}
BOXES_OF = {"001": BOXES, "NA": {3: BOXES[3]}, "1e5": {}}


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    "bring", [numbers, tiffs, palettes, colours, instances, qupath, labelme, coco], ids=lambda f: f.__name__
)
def test_any_kind_of_labels_becomes_masks_that_decode_reads(tmp_path, bring, grey):
    masks = tmp_path / "masks"
    for seed, (name, boxes) in enumerate(BOXES_OF.items()):
        save(tmp_path / "images" / f"{name}.png", picture(SHAPE if grey else (*SHAPE, 3), seed))
        if bring is not coco:
            bring(masks, name, boxes)
    if bring is coco:
        masks = coco(tmp_path, BOXES_OF)
    words = ["--classes", ",".join(CLASSES), "--labels", LABELS_OF.get(bring, "")]
    run(tmp_path / "s", tmp_path / "images", masks, "--to", tmp_path / "root", *words)
    (tmp_path / "decoded").mkdir()
    found = decoded(tmp_path / "root", tmp_path / "decoded", channels=1 if grey else 3)
    assert found.keys() == BOXES_OF.keys()
    for name, boxes in BOXES_OF.items():
        np.testing.assert_array_equal(found[name], truth(boxes), err_msg=name)
    assert np.bincount(found["001"].ravel()).tolist() == [25, 8, 0, 12, 0, 0, 9]


def test_colours_that_a_jpeg_has_blurred_become_the_classes_they_were(tmp_path):
    """Of 16 px blocks, where the wrong pixels are those between two colours: none, by the nearest."""
    places = np.random.default_rng(0).integers(0, 4, (3, 4))
    labels = np.kron(np.array([0, *COLOURS], np.uint8)[places], np.ones((16, 16), np.uint8))
    rgb = np.array([(0, 0, 0), *COLOURS.values()], np.uint8)[np.kron(places, np.ones((16, 16), int))]
    save(tmp_path / "images/001.png", picture(labels.shape))
    save(tmp_path / "masks/001.jpg", rgb, quality=75)
    words = ["--classes", ",".join(CLASSES), "--labels", LABELS_OF[colours], "--to", tmp_path / "root"]
    run(tmp_path / "s", tmp_path / "images", tmp_path / "masks", *words)
    (tmp_path / "decoded").mkdir()
    np.testing.assert_array_equal(decoded(tmp_path / "root", tmp_path / "decoded", 1)["001"], labels)


def test_images_of_16_bits_become_grey_ones_of_the_range_that_is_given(tmp_path):
    """The same for all images: 500 is black and 4580 white, so that 16 values are a level."""
    levels = np.arange(54, dtype=np.uint16).reshape(SHAPE)
    (tmp_path / "images").mkdir()
    for name, shift in (("001", 0), ("NA", 100)):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", 500 + 16 * (levels + shift))
        numbers(tmp_path / "masks", name, BOXES)
    words = ["--classes", ",".join(CLASSES), "--to", tmp_path / "root", "--range", "500", "4580"]
    run(tmp_path / "s", tmp_path / "images", tmp_path / "masks", *words)
    (tmp_path / "decoded").mkdir()
    decoded(tmp_path / "root", tmp_path / "decoded", channels=1)
    for name, shift in (("001", 0), ("NA", 100)):
        image = image_files.read_image(tmp_path / "root/train/images" / f"{name}.png")
        np.testing.assert_array_equal(image[..., 0], levels + shift)


def test_more_classes_than_parameters_name_are_refused_with_the_way_out(tmp_path):
    save(tmp_path / "images/a.png", picture())
    numbers(tmp_path / "masks", "a", BOXES)
    words = ["--classes", ",".join(CLASSES), "--to", tmp_path / "root"]
    run(tmp_path / "s", tmp_path / "images", tmp_path / "masks", *words)
    with pytest.raises(InputError, match=r"a.png: has the values 0, 1, 3, 6; .*name more data.classes"):
        folders.decode_mask_file(tmp_path / "root/train/masks/a.png", tmp_path / "b.png", SHAPE, 3)
