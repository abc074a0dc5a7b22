"""Own data sets in folders: what is found there, what names and the table say, and what is refused."""

import tempfile
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ftu.datasets import folders, image_table, volumes
from ftu.errors import InputError
from ftu.files import limits, names, png

KNOWN = {"organs": ["gland", "islet"], "sources": ["lab", "clinic"], "pixel_size": 0.5}
SHAPES = {"001": (40, 56), "NA": (24, 40), "1e5": (56, 48)}  # unequal sides, and ids that pandas converts


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def image(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


@pytest.fixture
def root(tmp_path) -> Path:
    for seed, (name, shape) in enumerate(SHAPES.items()):
        write(tmp_path / f"train/images/{name}.png", image(shape, seed))
        write(tmp_path / f"train/masks/{name}.png", np.full(shape, seed % 2, np.uint8))
    write(tmp_path / "test/images/b 1.png", image((30, 20), 9))
    return tmp_path


def read(root: Path, **changes) -> tuple[pd.DataFrame, pd.DataFrame]:
    return folders.read_both(root, **KNOWN | changes)


def test_every_image_is_a_row_with_its_own_size_and_what_parameters_say(root):
    train, test = read(root)
    found = {row.id: (row.img_height, row.img_width) for row in train.itertuples()}
    assert found == SHAPES
    assert set(train["organ"]) == {"gland"}
    assert set(train["data_source"]) == {"lab"}
    assert set(train["pixel_size"]) == {0.5}
    assert train["mask"].tolist() == [f"train/masks/{name}.png" for name in train["name"]]
    assert test["name"].tolist() == ["b 1"]
    assert test["mask"].tolist() == [""]
    assert not limits.name_fault(test["id"].iloc[0])


def test_the_table_overrides_and_empty_cells_say_nothing(root):
    (root / "images.csv").write_text(
        "id,organ,pixel_size,patient\nNA,islet,,7\n001,,2.5,8\n", encoding="utf-8"
    )
    train, _ = read(root, told=["patient"])
    rows = train.set_index("name")
    assert rows["organ"].to_dict() == {"001": "gland", "NA": "islet", "1e5": "gland"}
    assert rows["pixel_size"].to_dict() == {"001": 2.5, "NA": 0.5, "1e5": 0.5}
    assert rows["patient"].to_dict() == {"001": "8", "NA": "7", "1e5": ""}


def test_sources_have_folders_and_ids_say_which(root):
    for source, seed in (("lab", 1), ("clinic", 2)):
        write(root / source / "train/images/001.jpg", image((32, 40), seed))
        write(root / source / "train/masks/001.tif", np.zeros((32, 40), np.uint8))
    write(root / "clinic/test/images/001.png", image((32, 40)))
    train, test = read(root)
    assert set(train["id"]) == {"001", "NA", "1e5", "lab-001", "clinic-001"}
    assert train.set_index("id")["data_source"]["clinic-001"] == "clinic"
    assert "test-clinic-001" in set(test["id"])  # clinic-001 is a training image


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_source_that_nobody_names_is_refused(root, part):
    (root / f".trash/{part}/images").mkdir(parents=True)
    (root / "scripts/old").mkdir(parents=True)
    assert len(read(root)[0]) == len(SHAPES)
    write(root / f"hospital/{part}/images/001.png", image((32, 40)))
    with pytest.raises(
        InputError, match=r"hospital: data\.sources names no hospital.*; name it there, or take"
    ):
        read(root)


def test_one_name_spelt_in_two_ways_is_one_name(root):
    composed, parted = (unicodedata.normalize(form, "pät") for form in ("NFC", "NFD"))
    assert composed != parted
    write(root / f"train/images/{parted}.png", image((20, 30)))
    write(root / f"train/masks/{composed}.png", np.zeros((20, 30), np.uint8))
    train, _ = read(root)
    assert composed in set(train["name"])


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["train/masks/lonely.png"], "lonely of 1 masks have no image of that name"),
        (["train/images/lonely.png"], "1 of 4 training images have no mask: train/images/lonely.png"),
        (["train/images/NA.tif"], "NA.png has the same name; keep one"),
        (["train/images/notes.txt"], "notes.txt: ends in none of .jpeg, .jpg, .png, .tif, .tiff"),
        (["train/masks/NA.jpg"], "NA.jpg: ends in none of .png, .tif, .tiff"),
        (["test/images/a.tmp-1.png"], "the file 'a.tmp-1.png' holds '.tmp-', which marks unfinished files"),
        (["test/images/p\udce4t.png"], r"the file 'p\udce4t.png' has a name that is not UTF-8; rename it"),
        ([], ""),
    ],
)
def test_what_does_not_pair_is_named(root, files, words):
    write(root / "train/images/.DS_Store.png", image((8, 8)))  # begins with a dot: no image
    for name in files:
        (root / name).write_bytes((root / "train/images/NA.png").read_bytes())
    if not files:
        assert len(read(root)[0]) == 3
        return
    with pytest.raises(InputError) as caught:
        read(root)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("id,organ\nNA,islet\nNA,gland\n", "id NA stands in more than one row"),
        ("id,organ\nxyz,islet\n", "id xyz names no image"),
        ("id,organ\nNA,lung\n", "id NA: organ 'lung' is not in data.organs (gland, islet); correct the row"),
        ("id,data_source\nNA,home\n", "id NA: data_source 'home' is not in data.sources (clinic, lab)"),
        ("id,pixel_size\nNA,0\n", "id NA: pixel_size '0' is not a positive number"),
        ("id,organ\nNA,islet\n", "has no column patient"),
    ],
)
def test_a_table_that_is_wrong_is_refused(root, table, words):
    (root / "images.csv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read(root, told=["patient"] if "patient" in words else [])
    assert words in str(caught.value)
    assert "images.csv" in str(caught.value)


def test_one_name_in_train_and_test_is_told_apart_by_a_column(root):
    write(root / "test/images/NA.png", image((10, 12)))
    table = root / "images.csv"
    table.write_text("id,pixel_size\nNA,3\n", encoding="utf-8")
    with pytest.raises(
        InputError, match=r"id NA names more than one image \(train/.*, test/.*; rename .* its column set$"
    ):
        read(root)
    table.write_text("id,set,pixel_size\nNA,test,3\n", encoding="utf-8")
    train, test = (rows.set_index("id")["pixel_size"] for rows in read(root))
    assert (train["NA"], test["test-NA"]) == (0.5, 3)
    table.write_text("id,set,pixel_size\n001,test,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="id 001 names no image of its set; "):
        read(root)


def test_a_blank_set_says_nothing_and_an_unknown_one_is_named(root):
    table = root / "images.csv"
    table.write_text("id,set,pixel_size\nNA,,3\nb 1,,4\n001,train,5\n", encoding="utf-8")
    train, test = (rows.set_index("name")["pixel_size"].to_dict() for rows in read(root))
    assert (train, test) == ({"001": 5, "NA": 3, "1e5": 0.5}, {"b 1": 4})
    table.write_text("id,set\nNA,Train\n", encoding="utf-8")
    with pytest.raises(InputError, match="id NA: set 'Train' is not train or test; correct the row"):
        read(root)


def in_sources(root: Path, *files: str) -> None:
    """These training images, SOURCE/NAME, each with its mask."""
    for seed, file in enumerate(files):
        source, name = file.split("/")
        write(root / f"{source}/train/images/{name}.png", image((32, 40), seed))
        write(root / f"{source}/train/masks/{name}.png", np.zeros((32, 40), np.uint8))


def test_one_name_in_two_sources_is_told_apart_by_the_column_data_source(root):
    in_sources(root, "lab/x", "clinic/x")
    table = root / "images.csv"
    table.write_text("id,pixel_size\nx,3\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"id x names more than one image .*clinic.*its column data_source$"):
        read(root)
    table.write_text("id,data_source,pixel_size\nx,clinic,3\nx,lab,4\n", encoding="utf-8")
    sizes = read(root)[0].set_index("id")["pixel_size"]
    assert (sizes["clinic-x"], sizes["lab-x"], sizes["NA"]) == (3, 4, 0.5)
    table.write_text("id,data_source\nx,lab\nx,lab\n", encoding="utf-8")
    with pytest.raises(InputError, match="id x stands in more than one row"):
        read(root)
    in_sources(root, "lab/NA")  # of the first source, as NA in no source's folder is
    table.write_text("id,data_source\nNA,lab\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"id NA names more than one image .*; rename the files$"):
        read(root)


@settings(max_examples=20)
@given(rows=st.data())
def test_a_row_says_what_it_says_of_its_image_alone_in_any_order(rows):
    images = pd.DataFrame({"name": ["a", "b", "a", "c"], "set": ["train", "train", "test", "test"]})
    images = images.assign(image=images["set"] + "/" + images["name"], organ="gland", data_source="lab")
    images = images.assign(pixel_size=["1.0"] * 4)
    chosen = rows.draw(st.permutations(range(4)))[: rows.draw(st.integers(0, 4))]
    said = images.loc[chosen, ["name", "set"]].assign(organ=[f"of {place}" for place in chosen])
    blank = rows.draw(st.booleans())
    said.loc[said["name"].isin(["b", "c"]) & blank, "set"] = ""
    with tempfile.TemporaryDirectory() as folder:
        said.rename(columns={"name": "id"}).to_csv(Path(folder) / "images.csv", index=False)
        found = image_table.with_table(Path(folder), images, [])
    expected = [f"of {place}" if place in chosen else "gland" for place in range(4)]
    assert found["organ"].tolist() == expected
    assert found.drop(columns="organ").equals(images.drop(columns="organ"))


def test_a_name_in_the_table_may_be_spelt_in_either_way(root):
    composed, parted = (unicodedata.normalize(form, "pät") for form in ("NFC", "NFD"))
    write(root / f"test/images/{composed}.png", image((20, 30)))
    (root / "images.csv").write_text(f"id,pixel_size\n{parted},3\n", encoding="utf-8")
    assert read(root)[1].set_index("name")["pixel_size"][composed] == 3


# ------------------------------------------------------------------ columns


@pytest.mark.parametrize("column", ["id", "name", "image", "mask", "img_height", "img_width", "pixel_size"])
def test_what_each_image_has_of_its_own_groups_nothing(root, column):
    table = "id,name,image,mask,img_height,img_width,pixel_size\nNA,a,b,c,1,2,3\n"
    (root / "images.csv").write_text(table, encoding="utf-8")
    with pytest.raises(InputError, match=rf"images.csv: data.group or data.z names {column}, which is each"):
        read(root, told=[column])


def test_columns_that_nothing_reads_change_nothing_and_are_named(root):
    table = root / "images.csv"
    assert folders.left_out(root, (), []) == ""
    table.write_text("id,organ,patient,z\nNA,islet,7,1\n", encoding="utf-8")
    before = read(root, told=["patient"])
    assert folders.left_out(root, before, ["patient"]) == ""
    table.write_text(
        "id,organ,patient,z,name,image,mask,sex,pixelsize\nNA,islet,7,1,x,y,q,f,9\n", encoding="utf-8"
    )
    for one, other in zip(before, read(root, told=["patient"]), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert folders.left_out(root, before, ["patient"]).startswith(
        f"{table}: nothing reads name, image, mask, sex, pixelsize (is pixel_size meant?); correct the name"
    )


def test_a_column_with_blanks_around_its_name_is_refused(root):
    (root / "images.csv").write_text("id, pixel_size\nNA,3\n", encoding="utf-8")
    with pytest.raises(InputError, match="column ' pixel_size' has blanks around it; write 'pixel_size'"):
        read(root)


def test_a_column_without_a_table_is_refused(root):
    with pytest.raises(
        InputError, match=r"does not exist, and data.group or data.z names its column patient"
    ):
        read(root, told=["patient", "(x)"])


def test_another_place_is_refused_with_what_is_wanted(tmp_path):
    for place in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(InputError, match=r"wants train/images/NAME.png and train/masks/NAME.png"):
            folders.check_root(place)


def test_a_link_to_nothing_is_named_with_what_it_leads_to(root):
    (root / "test/images/far.png").symlink_to("../nowhere.png")
    with pytest.raises(
        InputError, match=r"far.png: is a link to ../nowhere.png, which is not there; put the"
    ):
        read(root)


# ------------------------------------------------------------------ masks


@pytest.mark.parametrize("most", [1, 255])
@pytest.mark.parametrize("form", [".png", ".tif"])
def test_masks_of_0_and_1_or_255_are_the_same(tmp_path, most, form):
    mask = np.random.default_rng(0).integers(0, 2, (12, 18), np.uint8)
    write(tmp_path / f"a{form}", mask * np.uint8(most))
    folders.decode_mask_file(tmp_path / f"a{form}", tmp_path / "b.png", (12, 18))
    np.testing.assert_array_equal(png.read_mask(tmp_path / "b.png"), mask)


def test_a_mask_of_one_bit_a_pixel_is_read(tmp_path):
    mask = np.random.default_rng(0).integers(0, 2, (150, 130), np.uint8)
    for name in ("a.png", "a.tif"):
        Image.fromarray(mask.astype(bool)).save(tmp_path / name)
        folders.decode_mask_file(tmp_path / name, tmp_path / "b.png", (150, 130))
        np.testing.assert_array_equal(png.read_mask(tmp_path / "b.png"), mask)


@pytest.mark.parametrize("values", [[0, 2], [1, 255], [0, 1, 3, 6], [0, 128, 255]])
def test_other_numbers_have_no_class(tmp_path, values):
    write(tmp_path / "a.png", np.resize(np.array(values, np.uint8), (6, 8)))
    with pytest.raises(
        InputError, match=rf"a.png: has the values {values[0]}, {values[1]}.*0 and 1, or 0 and 255"
    ):
        folders.decode_mask_file(tmp_path / "a.png", tmp_path / "b.png", (6, 8))
    assert not (tmp_path / "b.png").exists()


def test_a_mask_of_another_size_or_of_colours_is_refused(tmp_path):
    write(tmp_path / "a.png", np.zeros((6, 8), np.uint8))
    with pytest.raises(InputError, match=r"a.png: is 6 x 8 px \(height x width\) but its image 8 x 6"):
        folders.decode_mask_file(tmp_path / "a.png", tmp_path / "b.png", (8, 6))
    write(tmp_path / "c.png", image((6, 8)))
    with pytest.raises(InputError, match=r"c.png: has 3 bands of uint8; a mask has one"):
        folders.decode_mask_file(tmp_path / "c.png", tmp_path / "b.png", (6, 8))


# ------------------------------------------------------------------ names


@given(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable()))
def test_any_name_becomes_an_id_that_names_a_file(name):
    made = names.as_id(name)
    assert not limits.name_fault(made)
    assert made == names.as_id(name)
    if not limits.name_fault(name):
        assert made == name


@given(st.sets(st.text(alphabet="aä .-_", min_size=1, max_size=6), min_size=2, max_size=20))
def test_different_names_have_different_ids(some):
    assert len({names.as_id(name) for name in some}) == len(some)


def test_two_images_of_one_id_are_named(root):
    in_sources(root, "lab/b-x", "clinic/x")
    known = {"sources": ["lab", "clinic", "lab-b"]}
    assert len(read(root, **known)[0]) == len(SHAPES) + 2
    in_sources(root, "lab-b/x")
    with pytest.raises(InputError) as caught:
        read(root, **known)
    both = "lab/train/images/b-x.png and lab-b/train/images/x.png would both have the id lab-b-x; rename one"
    assert both in str(caught.value)


def test_an_id_that_a_prefix_makes_is_as_plain_as_any(root):
    name = "x" * limits.LONGEST_NAME
    for part in ("train/images", "train/masks", "test/images"):
        write(root / part / f"{name}.png", np.zeros((20, 30), np.uint8))
    ids = [rows.set_index("name")["id"][name] for rows in read(root)]
    assert ids[0] == name
    assert ids[1].startswith("test-x")
    assert not limits.name_fault(ids[1])
    write(root / "test/images/NA.png", image((20, 30)))
    write(root / "test/images/test-NA.png", image((20, 30)))
    with pytest.raises(
        InputError, match=r"test/images/NA.png and test/images/test-NA.png would both have the"
    ):
        read(root)


def test_a_pattern_finds_what_its_bracket_holds():
    table = pd.DataFrame({"id": ["p-1", "p-2"], "name": ["pat7_slice_3", "pat8_slice_04"]})
    assert names.with_told(table, r"^(pat\d+)_")[r"^(pat\d+)_"].tolist() == ["pat7", "pat8"]
    assert names.with_told(table, "patient") is table
    with pytest.raises(InputError, match="finds nothing in the name of 1 of 2 images: pat8_slice_04"):
        names.with_told(table, r"(pat7)")


@pytest.mark.parametrize(
    ("told", "words"), [("(", "is no regular expression"), ("(a)(b)", "2 brackets"), (" ", "names no")]
)
def test_what_is_no_column_and_no_pattern_is_told(told, words):
    assert words in names.fault(told)
    assert not names.fault("patient")
    assert not names.fault(r"(?:x|y)(\d)")


# ------------------------------------------------------------------ volumes


def slices(images: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    table = pd.DataFrame({"id": images, "name": images, "data_source": "lab", "set": "train"})
    return table, table, table[:0]


def test_a_volume_is_the_name_without_its_slice():
    index = volumes.located(*slices(["a_z10", "a_z9", "b_z0"]), r"_z(\d+)", [])
    assert index["volume"].tolist() == ["a", "a", "b"]
    assert index["z"].tolist() == [10, 9, 0]
    assert "z" not in volumes.located(*slices(["a_z1"]), "", [])


@pytest.mark.parametrize(
    ("images", "told", "words"),
    [
        (["a_zx"], r"_z(\w+)", "image a_zx has 'x' for a slice's number"),
        (["a_z1", "a_z01"], r"_z(\d+)", "slice 1 of volume 'a' is there more than once, as a_z01"),
        (["a_z1", "b_z1"], r".*_z(\d+)$", "leaves nothing of the name 'a_z1', which is its volume"),
    ],
)
def test_slices_without_a_number_or_a_volume_or_there_twice_are_refused(images, told, words):
    with pytest.raises(InputError, match=words):
        volumes.located(*slices(images), told, [])


def by_columns(**columns: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Two training slices, then two of test, and what the table says of each."""
    table = slices(list("abcd"))[0].assign(set=["train", "train", "test", "test"])
    whole = table.assign(**columns)
    return table, whole[:2], whole[2:].reset_index(drop=True)


def test_a_column_of_slices_takes_its_volume_from_the_groups_columns_of_test_images_too():
    told = by_columns(depth=["1", "2", "1", "2"], group=["v", "v", "w", " w "], part=["1", "1", "1", ""])
    index = volumes.located(*told, "depth", ["group"])
    assert index["volume"].tolist() == ["v", "v", "w", "w"]
    assert index["z"].tolist() == [1, 2, 1, 2]
    assert volumes.located(*told, "depth", ["group", "part"])["volume"].tolist() == ["v/1", "v/1", "w/1", "d"]
    with pytest.raises(InputError, match="is empty: nothing says of which volume a slice is"):
        volumes.located(*told, "depth", [])
    with pytest.raises(InputError, match="slice 2 of volume 'w' is there more than once, as d the last"):
        volumes.located(*by_columns(depth=["1", "2", "2", "2"], group=list("vvww")), "depth", ["group"])


def test_one_picture_in_two_volumes_joins_neither_and_is_known():
    told = by_columns(depth=["1", "1", "1", "2"], group=list("vwww"))
    index = volumes.located(*told, "depth", ["group"], same=[(0, 1), (2, 3)])
    assert index["volume"].tolist() == ["v", "w", "w", "w"]
    assert index["picture"].tolist() == ["a", "a", "c", "d"]  # neighbours in a volume look alike
    assert "picture" not in volumes.located(*told, "depth", ["group"], same=[(2, 3)])


# ------------------------------------------------------------------ classes


@pytest.mark.parametrize("form", [".png", ".tif"])
def test_masks_of_several_classes_keep_their_numbers(tmp_path, form):
    labels = np.random.default_rng(0).choice(np.array([0, 1, 3, 6], np.uint8), (5, 7))
    write(tmp_path / f"a{form}", labels)
    folders.decode_mask_file(tmp_path / f"a{form}", tmp_path / "made.png", (5, 7), classes=6)
    np.testing.assert_array_equal(png.read_mask(tmp_path / "made.png"), labels)
    with pytest.raises(InputError, match=r"has the values 0, 1, 3, 6; a mask of 5 classes has 0 to 5"):
        folders.decode_mask_file(tmp_path / f"a{form}", tmp_path / "no.png", (5, 7), classes=5)
    assert not (tmp_path / "no.png").exists()


def test_a_mask_of_255_is_not_one_of_several_classes(tmp_path):
    write(tmp_path / "a.png", np.full((5, 7), 255, np.uint8))
    with pytest.raises(InputError, match="has the values 255; a mask of 2 classes has 0 to 2"):
        folders.decode_mask_file(tmp_path / "a.png", tmp_path / "made.png", (5, 7), classes=2)


def test_test_images_with_a_mask_are_the_labelled_ones(root):
    write(root / "test/images/c.png", image((30, 20), 9))
    write(root / "test/masks/c.png", np.zeros((30, 20), np.uint8))
    _, test = read(root)
    assert folders.labelled(test)["name"].tolist() == ["c"]
