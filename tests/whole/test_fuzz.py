"""Whatever a file holds, only our own errors come out, soon and in little memory; and never a wrong mask."""

import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from ftu.datasets import competition, image_files
from ftu.errors import InputError
from ftu.files import csvfile, folds, jsonfile, limits, png, rle, yamlfile
from ftu.files.index import read_index
from ftu.masks import rules
from ftu.pipeline import params
from ftu.probabilities import fold_maps, map_file
from imports import ROOT
from maps import write_probability

KNOWN = {"organs": ["kidney", "lung"], "sources": ["HPA", "Hubmap"]}
TABLE = (
    "id,organ,data_source,img_height,img_width,pixel_size,rle,set,fold\n"
    "00008,kidney,HPA,3,4,0.4,2 1,train,0\n"
    '127,lung,Hubmap,5,2,0.4,"",test,1\n'
)
PARAMS = (ROOT / "params.yaml").read_bytes()


@contextmanager
def little_memory(most: int = 2**24) -> Iterator[None]:
    """The block allocates `most` bytes at most, as Python and numpy count them."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """The bytes with a part replaced by others: by none, by some, by what other formats hold there."""
    places = st.integers(0, len(content))
    odd = [
        b"\0",
        b"\xff",
        b'"',
        b"\r",
        b"\xef\xbb\xbf",
        b"-1",
        b"1e309",
        b"nan",
        b"inf",
        b"9" * 5000,
        b"[" * 300,
    ]
    odd += [
        b"[" * 300,
        b"&a [*a]",
        b"!!python/name:os.system ",
        "\u0663".encode(),
        b",,,,",
        b"../../x",
        b"{",
        b"\n\n",
    ]
    more = st.one_of(st.sampled_from(odd), st.binary(max_size=4))

    def replaced(first: int, second: int, new: bytes) -> bytes:
        return content[: min(first, second)] + new + content[max(first, second) :]

    return st.builds(replaced, places, places, more)


def outcome(read: Callable[..., Any], *values: object, **named: object) -> Any:
    """What `read` returns, or the ValueError that it raises, of which an InputError is one."""
    try:
        return read(*values, **named)
    except ValueError as error:
        return error


# ------------------------------------------------------------------ masks


def painted(text: str, height: int, width: int) -> np.ndarray:
    """The mask by the definition, pixel by pixel."""
    mask = np.zeros(height * width, np.uint8)
    numbers = [int(token) for token in text.split(" ") if token]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        mask[start - 1 : start - 1 + length] = 1
    return mask.reshape((height, width), order="F")


@given(
    text=st.one_of(
        st.text(max_size=30), st.text("0123456789 ", max_size=30), st.text("1234 -+.e\t\n\0\u0663")
    ),
    height=st.integers(-1, 9),
    width=st.integers(-1, 9),
)
def test_any_text_is_refused_or_decodes_to_its_mask(text, height, width):
    mask = outcome(rle.decode, text, height=height, width=width)
    if isinstance(mask, Exception):
        assert type(mask) is ValueError
        assert len(str(mask)) < 300
    else:
        np.testing.assert_array_equal(mask, painted(text, height, width))


@pytest.mark.parametrize(("height", "width"), [(10**6, 10**6), (2**15 + 1, 2**15), (1, 2**30 + 1)])
def test_a_mask_of_too_many_pixels_is_refused_before_it_is_allocated(height, width):
    with (
        little_memory(),
        pytest.raises(ValueError, match=rf"has {height * width} pixels, more than 1073741824"),
    ):
        rle.decode(f"1 {height * width}", height=height, width=width)


def test_a_wrong_number_of_a_million_digits_is_told_in_short():
    with pytest.raises(ValueError, match="9999") as caught:
        rle.decode("9" * 10**6 + " 1", height=3, width=3)
    assert len(str(caught.value)) < 200


# ------------------------------------------------------------------ tables


READERS: dict[str, Callable] = {
    "train": lambda path: competition.read_train(path, **KNOWN),
    "test": lambda path: competition.read_test(path, **KNOWN),
    "index": read_index,
    "folds": folds.read_folds,
    "sizes": csvfile.read_sizes,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_good_table_is_good_for_every_reader(tmp_path, reader):
    (tmp_path / "a.csv").write_text(TABLE)
    assert READERS[reader](tmp_path / "a.csv")["id"].tolist() == ["00008", "127"]


@pytest.mark.parametrize("reader", READERS)
@given(content=mutated(TABLE.encode()))
def test_any_table_is_refused_by_name_or_holds_what_paths_and_masks_can_be_made_of(
    tmp_path_factory, reader, content
):
    path = tmp_path_factory.getbasetemp() / f"{reader}.csv"
    path.write_bytes(content)
    table = outcome(READERS[reader], path)
    if isinstance(table, Exception):
        assert type(table) is InputError
        assert str(table).startswith(str(path))
        return
    assert not table.isna().any(axis=None)
    assert all(Path(name).name == name and limits.NAME.fullmatch(name) for name in table["id"])
    if reader == "train":
        sizes = zip(table["rle"], table["img_height"], table["img_width"], strict=True)
        for text, height, width in sizes:
            np.testing.assert_array_equal(
                rle.decode(text, height=height, width=width), painted(text, height, width)
            )


def with_row(row: str) -> str:
    return TABLE + row + "\n"


ODD_TABLES: dict[str, tuple[str, str]] = {
    "NUL, where a cell would be cut": (with_row("9,lung,HPA,6,6,0.4,1 3\0 6,train,0"), "is NUL"),
    "column twice": (TABLE.replace("fold", "rle"), "names the column 'rle' twice"),
    "row that ends early": (with_row("9,lung,HPA,6,6"), "row 3 has fewer cells"),
    "more cells": (with_row("9,lung,HPA,6,6,1,,train,0,7"), "row 3 has more cells"),
    "quote that is not closed": (with_row('"9,lung,HPA,6,6,0.4,1 36,train,0'), "cannot be read as CSV"),
    "a trillion pixels": (with_row("9,lung,HPA,1000000,1000000,1,1 3,train,0"), "1000000000000, more than"),
    "a longer side": (with_row("9,lung,HPA,2000000,1,1,1 3,train,0"), "img_height '2000000'"),
    "not a number": (with_row("9,lung,HPA,nan,6,1,,train,0"), "img_height 'nan'"),
    "infinite": (with_row("9,lung,HPA,6,1e309,1,,train,0"), "img_width '1e309'"),
    "negative": (with_row("9,lung,HPA,6,6,-1,,train,0"), "pixel_size '-1'"),
    "other digits": (with_row("9,lung,HPA,\u0663,6,1,,train,0"), "img_height '\u0663'"),
    "huge cell": (with_row(f"9,lung,HPA,{'7' * 10**6},6,1,,train,0"), "img_height '777"),
    "empty": ("", "it is empty"),
    "cut off in a mask": (TABLE + "9,lung,HPA,6,6,0.4,train,0,1 3", "the last line has no end"),
}


@pytest.mark.parametrize(("text", "part"), ODD_TABLES.values(), ids=ODD_TABLES)
def test_an_odd_table_is_refused_in_short(tmp_path, text, part):
    path = tmp_path / "train.csv"
    if "cut off" in part or "no end" in part:
        text = text.replace("rle,set,fold", "set,fold,rle").replace("2 1,train,0", "train,0,2 1")
        text = text.replace('"",test,1', "test,1,")
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        competition.read_train(path, **KNOWN)
    assert str(caught.value).startswith(f"{path}: ")
    assert part in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_what_spreadsheets_add_changes_nothing(tmp_path, change):
    (tmp_path / "train.csv").write_text(change(TABLE), newline="")
    table = competition.read_train(tmp_path / "train.csv", **KNOWN)
    assert table[["id", "rle"]].to_numpy().tolist() == [["00008", "2 1"], ["127", ""]]


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _picture(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


READ: dict[str, Callable[[Path], object]] = {
    "csv": csvfile.read_csv,
    "json": lambda path: jsonfile.read(path, "make it again"),
    "yaml": lambda path: yamlfile.read(path, "write it"),
    "image": image_files.read_image,
    "mask": png.read_mask,
    "map": map_file.read,
}


@pytest.mark.parametrize(
    "make", [Path.mkdir, Path.touch, _pipe, _picture, lambda path: path.symlink_to("/dev/zero")]
)
@pytest.mark.parametrize("read", READ)
def test_what_is_no_such_file_is_refused_at_once(tmp_path, read, make):
    make(tmp_path / "x")
    if (read, make) == ("yaml", Path.touch):
        return  # an empty file is YAML
    with little_memory(), pytest.raises(InputError, match=str(tmp_path / "x")):
        READ[read](tmp_path / "x")


# ------------------------------------------------------------------ parameters, facts


@given(content=mutated(PARAMS))
def test_any_parameters_are_refused_in_short_or_taken(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "params.yaml"
    path.write_bytes(content)
    found = outcome(params.load_params, path)
    if isinstance(found, Exception):
        assert type(found) is InputError
        assert str(found).startswith(str(path))
        assert len(str(found)) < 20_000


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join(lines)


def merges() -> str:
    lines = ["a0: &a0 {x0: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], x{n}: 1}}" for n in range(1, 10)]
    return "\n".join(lines)


ODD_YAML = {
    "aliases that multiply": (bomb(), "values or"),
    "aliases in a circle": ("a: &a [*a]", "values or"),
    "aliases that merge": (merges(), "line 2: has a key <<"),
    "deep": ("[" * 500 + "]" * 500, "RecursionError"),
    "large": ("x" * 2**19, "File too large"),
    "Python": ("a: !!python/object/apply:os.system ['touch canary']", "could not determine a constructor"),
    "key twice": ("a: 1\na: 2", "duplicate key"),
    "number of 10,000 digits": ("a: " + "9" * 10_000, "digits"),
    "no date": ("a: 2001-99-99", "month"),
    "no order": ("a: !!omap [a: 1, a: 2]", "AssertionError"),
    "no truth": ("a: !!bool x", "KeyError"),
    "NUL": ("a: b\0", "byte 4 is NUL"),
}


@pytest.mark.parametrize(("text", "part"), ODD_YAML.values(), ids=ODD_YAML)
def test_odd_yaml_is_refused_at_once(tmp_path, monkeypatch, text, part):
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(text)
    with little_memory(), pytest.raises(InputError, match=rf"^params.yaml: (?s:.*){part}") as caught:
        params.load_params(Path("params.yaml"))
    assert len(str(caught.value)) < 1000
    assert not Path("canary").exists()


NUMBERS = st.one_of(st.integers(), st.floats(), st.text(max_size=5), st.none(), st.booleans(), st.just([]))
JSON = st.recursive(
    NUMBERS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner), max_leaves=5
)
RULES = {
    "tta": "flips", "own": 1.0, "members": {}, "method": "table", "why": {},
    "rules": {source: {organ: {"threshold": 0.5, "smallest_object": 0, "largest_hole": 0, "foreground": None}
                       for organ in KNOWN["organs"]} for source in KNOWN["sources"]},
}  # fmt: skip


@given(data=st.data())
def test_any_rules_are_refused_by_name_or_are_rules(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "rules.json"
    key = data.draw(st.sampled_from(sorted(RULES)))
    jsonfile.write(path, RULES | {key: data.draw(JSON)})
    known = outcome(rules.read, path, **KNOWN)
    if isinstance(known, Exception):
        assert type(known) is InputError
        assert str(path) in str(known)
    else:
        assert all(0 <= known.rule("HPA", organ).threshold <= 1 for organ in KNOWN["organs"])


@given(facts=st.dictionaries(st.sampled_from(["weights_sha256", "sets", "fold"]), JSON), model=JSON)
def test_any_facts_of_a_prediction_are_refused(tmp_path_factory, facts, model):
    folder = tmp_path_factory.mktemp("facts")
    jsonfile.write(folder / fold_maps.FACTS, facts)
    (folder / "model.json").write_text(json.dumps(model))
    with pytest.raises(InputError, match=r"\.json|was (changed|trained|predicted)|run `dvc repro"):
        fold_maps.check_fold(folder, folder, tta="flips", due={"test": ["1"]})


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "7", '"a"', "null", "[" * 10**5, '{"a": NaN', "9" * 5000, "\0"]
)
def test_what_is_no_table_of_facts_is_refused(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InputError, match=r"model.json: is damaged \(.*; train it"):
        jsonfile.read(tmp_path / "model.json", "train it")


# ------------------------------------------------------------------ images


def picture(height: int = 70, width: int = 90) -> np.ndarray:
    rng = np.random.default_rng(0)
    return cv2.resize(rng.integers(0, 255, (9, 9, 3), np.uint8), (width, height))


def write(path: Path, **profile: object) -> Path:
    image = picture()
    layout = {
        "driver": "GTiff",
        "height": 70,
        "width": 90,
        "count": 3,
        "dtype": "uint8",
        "photometric": "RGB",
    }
    with rasterio.open(path, "w", **layout | profile) as tiff:  # pyright: ignore[reportArgumentType]
        tiff.write(np.moveaxis(image, -1, 0))
    return path


TIFFS: dict[str, dict] = {
    "plain": {},
    "big": {"bigtiff": "yes"},
    "LZW": {"compress": "lzw"},
    "deflate": {"compress": "deflate", "predictor": 2},
    "tiled": {"compress": "lzw", "tiled": True, "blockxsize": 32, "blockysize": 32},
    "JPEG": {"compress": "jpeg", "photometric": "YCBCR"},
}


def outcomes(reader: str, path: Path, way: str, count: int) -> tuple[int, int, int]:
    """How often damaged forms of a file were read as the same, as another, and refused."""
    command = [sys.executable, str(ROOT / "tests/support" / "damaged.py"), reader, str(path), way, str(count)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    same, other, refused = map(int, done.stdout.split())
    return same, other, refused


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_that_is_cut_off_is_refused(tmp_path, kind):
    path = write(tmp_path / "a.tiff", **TIFFS[kind])
    assert outcomes("datasets.image_files.read_image", path, "truncate", 0) == (
        0,
        0,
        -(-path.stat().st_size // 1024),
    )


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_with_a_flipped_bit_is_read_or_refused(tmp_path, kind):
    """It may be read as another image: TIFF has no checksum that notices; see docs/security.md."""
    path = write(tmp_path / "a.tiff", **TIFFS[kind])
    assert sum(outcomes("datasets.image_files.read_image", path, "header", 700)) == 700


def test_a_flipped_bit_in_the_pixels_of_a_plain_tiff_changes_that_pixel_alone(tmp_path):
    path = write(tmp_path / "a.tiff")
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4
    path.write_bytes(content)
    assert np.count_nonzero(image_files.read_image(path) != picture()) == 1


@pytest.mark.parametrize("way", ["truncate", "header", "flip"])
def test_a_damaged_probability_map_is_never_read_as_another(tmp_path, way):
    write_probability(tmp_path / "a.tif", picture()[..., 0].astype(np.float32) / 255)
    _, other, refused = outcomes("probabilities.map_file.read", tmp_path / "a.tif", way, 500)
    assert other == 0
    assert refused


@pytest.mark.parametrize(
    "reader", ["files.png.read_image", "datasets.image_files.read_image", "files.png.read_mask"]
)
@pytest.mark.parametrize("way", ["truncate", "flip"])
def test_a_damaged_png_is_never_read_as_another(tmp_path, reader, way):
    if reader == "files.png.read_mask":
        png.write_mask(tmp_path / "a.png", (picture()[..., 0] > 128).astype(np.uint8))
    else:
        png.write_image(tmp_path / "a.png", picture())
    _, other, refused = outcomes(reader, tmp_path / "a.png", way, 500)
    assert other == 0
    assert refused


def tiff_head(width: int, height: int, *, big: bool = False) -> bytes:
    """A TIFF of a head and nothing else: RGB, uncompressed, one strip (TIFF 6.0; BigTIFF with `big`)."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2)]
    entries += [(273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, height), (279, 4, 1, 2**31), (284, 3, 1, 1)]
    if big:
        parts = [struct.pack("<HHQQ", *entry) for entry in entries]
        return struct.pack("<2sHHHQQ", b"II", 43, 8, 0, 16, len(parts)) + b"".join(parts) + bytes(8)
    parts = [struct.pack("<HHII", *entry) for entry in entries]
    return struct.pack("<2sHIH", b"II", 42, 8, len(parts)) + b"".join(parts) + bytes(4)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("read", ["image", "map", "shape", "resized"])
def test_a_tiff_that_claims_a_trillion_pixels_is_refused_before_they_are_allocated(tmp_path, read, big):
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff_head(10**6, 10**6, big=big))
    readers = READ | {
        "shape": image_files.image_shape,
        "resized": lambda path: image_files.read_resized(path, (9, 9)),
    }
    with little_memory(), pytest.raises(InputError, match=r"1000000000000, more than|no probability map"):
        readers[read](path)


def test_a_tiff_that_is_too_small_for_what_it_claims_is_refused(tmp_path):
    path = tmp_path / "a.tiff"
    path.write_bytes(tiff_head(30_000, 30_000))
    with little_memory(), pytest.raises(InputError, match=r"claims 30000 x 30000 px .* and has \d+ bytes"):
        image_files.read_image(path)


def test_an_uncompressed_tiff_without_its_pixels_is_no_black_image(tmp_path):
    path = tmp_path / "a.tiff"
    layout = {"driver": "GTiff", "height": 70, "width": 90, "count": 3, "dtype": "uint8", "sparse_ok": True}
    with rasterio.open(path, "w", **layout):  # pyright: ignore[reportArgumentType]
        pass
    with pytest.raises(InputError, match="claims 70 x 90 px"):
        image_files.read_image(path)


@pytest.mark.parametrize("reader", [png.read_image, png.read_mask, image_files.read_image])
def test_a_png_that_claims_too_many_pixels_is_refused(tmp_path, reader):
    path = tmp_path / "a.png"
    png.write_image(path, picture())
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 10**6, 10**6)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with little_memory(), pytest.raises(InputError, match=r"a\.png"):
        reader(path)


def test_a_file_that_names_others_is_no_image(tmp_path):
    png.write_image(tmp_path / "secret.png", picture())
    source = '<SourceFilename relativeToVRT="1">secret.png</SourceFilename>'
    bands = "".join(
        f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource>{source}<SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band in (1, 2, 3)
    )
    path = tmp_path / "a.tiff"
    path.write_text(f'<VRTDataset rasterXSize="90" rasterYSize="70">{bands}</VRTDataset>')
    with rasterio.open(path) as image:
        assert image.driver == "VRT"  # GDAL would follow it
    with pytest.raises(InputError, match="cannot be read as an image"):
        image_files.read_image(path)


def test_a_file_beside_an_image_does_not_change_it(tmp_path):
    path = write(tmp_path / "a.tiff")
    expected = image_files.read_resized(path, (35, 45))
    write(tmp_path / "a.tiff.ovr", height=70, width=90)
    small = np.zeros((35, 45, 3), np.uint8)
    image_files.write_tiff(tmp_path / "a.tiff.ovr", small)
    np.testing.assert_array_equal(image_files.read_resized(path, (35, 45)), expected)


# ------------------------------------------------------------------ real images


@pytest.mark.skipif("FTU_DATA" not in os.environ, reason="FTU_DATA names no folder of real images")
@pytest.mark.parametrize("way", ["truncate", "header"])
def test_a_real_tiff_in_pieces_is_read_or_refused(tmp_path, way):
    source = next(iter(sorted(Path(os.environ["FTU_DATA"]).glob("*/train_images/*.tiff"))), None)
    if not source:
        pytest.skip("FTU_DATA holds no train_images")
    path = tmp_path / "a.tiff"
    path.write_bytes(source.read_bytes())
    same, other, refused = outcomes("datasets.image_files.read_image", path, way, 500)
    assert same + other + refused == (500 if way == "header" else -(-path.stat().st_size // 1024))
    assert way == "header" or (same, other) == (0, 0)
