"""Laws of volumes and of values that are not 8 bits: axes and ranges are said, never guessed."""

import csv
from collections import Counter
from contextlib import suppress

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from ftu.datasets import folders, volumes
from ftu.errors import InputError
from ftu_tools.dataset import make, new, rasters
from own_data import SHAPE, everything, image_of, labelled, mask_of, picture, run, save

SLICES, HEIGHT, WIDTH = 4, *SHAPE
VOLUME = picture((SLICES, *SHAPE), seed=1)
LABELS = np.stack([labelled(1), labelled(), labelled(0, 3), labelled(6, 1)])


def rows(root):
    with (root / "images.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def store(path, array):
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".npz":
        np.savez(path, array)
    else:
        tifffile.imwrite(path, array, photometric="minisblack")
    return path


@pytest.mark.parametrize("ending", [".tif", ".npy", ".npz"])
def test_a_volume_becomes_slices_that_keep_their_place_and_group(tmp_path, ending):
    image, mask = store(tmp_path / f"NA{ending}", VOLUME), store(tmp_path / f"m{ending}", LABELS)
    words = "--to", tmp_path / "root", "--classes", "a", "--axes", "zyx", "--um", "0.5"
    run(tmp_path / "s", image, mask, *words)
    for z in range(SLICES):
        np.testing.assert_array_equal(image_of(tmp_path / "root", f"NA_z{z:03}"), VOLUME[z])
        np.testing.assert_array_equal(mask_of(tmp_path / "root", f"NA_z{z:03}"), LABELS[z] > 0)
    expected = [{"id": f"NA_z{z:03}", "pixel_size": "0.5", "group": "NA", "z": str(z)} for z in range(SLICES)]
    assert rows(tmp_path / "root") == expected


def test_pages_of_a_tiff_are_slices_without_a_word(tmp_path):
    """Also of many volumes in two folders."""
    for name in ("1e5", "001"):
        (tmp_path / "i").mkdir(exist_ok=True)
        (tmp_path / "m").mkdir(exist_ok=True)
        store(tmp_path / f"i/{name}.tif", VOLUME)
        store(tmp_path / f"m/{name}_seg.tif", LABELS)
    run(tmp_path / "s", tmp_path / "i", tmp_path / "m", "--to", tmp_path / "root", "--classes", "a")
    assert [(row["group"], row["z"]) for row in rows(tmp_path / "root")] == [
        (name, str(z)) for name in ("001", "1e5") for z in range(SLICES)
    ]


@pytest.mark.parametrize(
    ("axes", "stored"),
    [("zyx", VOLUME), ("xyz", VOLUME.transpose(2, 1, 0)), ("yxz", VOLUME.transpose(1, 2, 0))],
)
def test_the_axes_of_an_array_are_those_that_are_said(tmp_path, axes, stored):
    image = store(tmp_path / "v.npy", stored)
    run(tmp_path / "s", image, "--to", tmp_path / "root", "--axes", axes, "--unmasked-to-test")
    for z in range(SLICES):
        np.testing.assert_array_equal(image_of(tmp_path / "root", f"v_z{z:03}", "test"), VOLUME[z])


@pytest.mark.parametrize(("axes", "shape"), [("yxc", (*SHAPE, 3)), ("cyx", (3, *SHAPE)), ("yx", SHAPE)])
def test_an_array_may_be_one_image(tmp_path, axes, shape):
    stored = picture(shape)
    image, mask = store(tmp_path / "v.npy", stored), store(tmp_path / "m.npy", labelled(1))
    run(tmp_path / "s", image, mask, "--to", tmp_path / "root", "--classes", "a", "--axes", axes)
    shown = stored if axes == "yx" else np.moveaxis(stored, axes.index("c"), -1)
    np.testing.assert_array_equal(image_of(tmp_path / "root", "v"), shown)
    assert not (tmp_path / "root/images.csv").exists()  # nothing is known but the id


@pytest.mark.parametrize(("train", "by", "count"), [(("1e5", "001"), "group", 2), (("NA",), "z", SLICES)])
def test_a_profile_of_volumes_takes_volume_and_slice_from_the_table(tmp_path, train, by, count):
    """Of files brought in one after the other, as each row of the docs' table says; decode finds them."""
    root = tmp_path / "root"
    for name, part in [*((name, "train") for name in train), ("test", "test")]:
        image, mask = store(tmp_path / f"{name}.tif", VOLUME), store(tmp_path / "m.tif", LABELS)
        run(tmp_path / "s", image, mask, "--to", root, "--classes", "a,b,c,d,e,f", "--set", part)
    guess = new.guessed(root, list("abcdef")).sections
    assert (guess["data"]["group"], guess["data"]["z"]) == (["group"], "z")
    assert (guess["split"]["by"], guess["split"]["count"]) == (by, count)
    tables = folders.read_both(root, organs=["a"], sources=["b"], pixel_size=1.0, told=["group", "z"])
    both = pd.concat(tables, ignore_index=True)
    found = volumes.located(both, *tables, guess["data"]["z"], guess["data"]["group"])
    assert Counter(found["volume"]) == dict.fromkeys([*train, "test"], SLICES)


def test_colour_slices_have_masks_without_bands(tmp_path):
    colours = picture((SLICES, *SHAPE, 3))
    image, mask = store(tmp_path / "v.npy", colours), store(tmp_path / "m.npy", LABELS)
    run(tmp_path / "s", image, mask, "--to", tmp_path / "root", "--classes", "a", "--axes", "zyxc")
    np.testing.assert_array_equal(image_of(tmp_path / "root", "v_z002"), colours[2])
    np.testing.assert_array_equal(mask_of(tmp_path / "root", "v_z002"), LABELS[2] > 0)


def test_an_npz_may_hold_images_and_masks(tmp_path):
    np.savez(tmp_path / "v.npz", raw=VOLUME, labels=LABELS)
    words = tmp_path / "v.npz", "--to", tmp_path / "root", "--classes", "a", "--axes", "zyx"
    with pytest.raises(InputError, match=r"v.npz; .*--arrays IMAGES,MASKS"):
        run(tmp_path / "s", *words)
    with pytest.raises(InputError, match=r"v.npz: .*raw, labels.*--arrays"):
        run(tmp_path / "s", *words, "--unmasked-to-test")
    with pytest.raises(InputError, match=r"not 'mask'"):
        run(tmp_path / "s", *words, "--arrays", "raw,mask")
    run(tmp_path / "s", *words, "--arrays", "raw,labels")
    np.testing.assert_array_equal(mask_of(tmp_path / "root", "v_z003"), LABELS[3] > 0)


@pytest.mark.parametrize(
    ("array", "axes", "said"),
    [
        (VOLUME, "", "4 x 6 x 9, and nothing says what its axes are"),
        (picture((*SHAPE, 3)), "", "6 x 9 x 3"),
        (VOLUME, "zyxc", "4 x 6 x 9, and --axes says zyxc"),
        (np.array([["a"]]), "", "<U1"),
        (VOLUME.astype(complex), "zyx", "complex"),
        (np.array([{}]), "", "cannot be read as NumPy's"),
        (picture((2, *SHAPE, 2)), "zyxc", "has 2 bands"),
    ],
)
def test_an_array_that_is_no_image_is_refused(tmp_path, array, axes, said):
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=f"v.npy: .*{said}"):
        run(tmp_path / "s", tmp_path / "v.npy", "--dry-run", "--axes", axes, "--unmasked-to-test")


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_a_damaged_array_is_refused_wherever_the_damage_is(tmp_path, ending):
    """numpy, zipfile, zlib and tokenize each raise their own; whatever reads is of the right size."""
    whole = tmp_path / f"whole{ending}"
    np.save(whole, VOLUME) if ending == ".npy" else np.savez_compressed(whole, VOLUME)
    content, path = whole.read_bytes(), tmp_path / f"v{ending}"
    for place in range(0, len(content), 7):
        for damaged in (content[:place], content[:place] + b"(" + content[place + 1 :]):
            path.write_bytes(damaged)
            with suppress(InputError):
                assert rasters.opened(path, "zyx").read(0).array.ndim == 2


@pytest.mark.parametrize("axes", ["zz", "zy", "abc", "tyx"])
def test_axes_that_cannot_be_are_refused(axes):
    with pytest.raises(InputError, match="--axes"):
        make.parsed(["a.npy", "--dry-run", "--axes", axes])


def test_a_slice_that_has_the_name_of_an_image_is_refused(tmp_path):
    store(tmp_path / "v.tif", VOLUME)
    save(tmp_path / "v_z002.png", picture())
    for dry in (["--dry-run"], []):
        with pytest.raises(InputError, match="two images would be called 'v_z002'"):
            run(tmp_path / "s", tmp_path, "--to", tmp_path / "s/root", "--unmasked-to-test", *dry)
        assert not (tmp_path / "s/root").exists()


def test_a_mask_has_as_many_slices(tmp_path):
    image, mask = store(tmp_path / "v.tif", VOLUME), store(tmp_path / "m.tif", LABELS[:3])
    with pytest.raises(InputError, match=r"m.tif: has 3 pages, .*v.tif has 4"):
        run(tmp_path / "s", image, mask, "--dry-run")


def test_pages_that_are_channels_are_no_slices_unless_that_is_said(tmp_path):
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, imagej=True, metadata={"axes": "CYX"})
    words = tmp_path / "v.tif", "--dry-run", "--unmasked-to-test"
    with pytest.raises(InputError, match=r"v.tif: has 4 pages, and says 'channels=4'.*--axes zyx"):
        run(tmp_path / "s", *words)
    run(tmp_path / "s", *words, "--axes", "zyx")
    tifffile.imwrite(tmp_path / "v.tif", VOLUME, imagej=True, metadata={"axes": "ZYX"})
    run(tmp_path / "s", *words)


def test_pages_of_several_sizes_are_no_slices(tmp_path):
    with tifffile.TiffWriter(tmp_path / "v.tif") as file:
        for side in (40, 20):
            file.write(picture((side, side + 4)))
    with pytest.raises(InputError, match=r"v.tif: has pages of several sizes"):
        run(tmp_path / "s", tmp_path / "v.tif", "--dry-run", "--unmasked-to-test")


# ------------------------------------------------------------------ values


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [(np.uint16, 0, 4095), (np.int16, -160, 240), (np.float32, 0, 1), (np.bool_, 0, 1)],
)
def test_other_values_are_scaled_by_the_range_that_is_given_alone(tmp_path, kind, low, high, capsys):
    """Linear from LOW at 0 to HIGH at 255; beyond, clipped and told."""
    steps = np.linspace(low, high, HEIGHT * WIDTH).reshape(SHAPE)
    stored = steps.astype(kind)
    beyond = kind not in (np.bool_, np.float32)
    if beyond:
        stored[0, :3] = high + 9
    np.save(tmp_path / "v.npy", stored)
    words = tmp_path / "v.npy", "--to", tmp_path / "root", "--unmasked-to-test"
    with pytest.raises(InputError, match=r"v.npy: has values of (1|16|32) bits .*--range LOW HIGH"):
        run(tmp_path / "s", *words)
    assert not (tmp_path / "root").exists()
    run(tmp_path / "s", *words, "--range", str(low), str(high))
    made = image_of(tmp_path / "root", "v", "test")
    expected = np.rint((stored.astype(float) - low) / (high - low) * 255).clip(0, 255)
    np.testing.assert_array_equal(made, expected)
    assert made.max() == 255
    assert f"{3 / 54 if beyond else 0:.3%} of values clipped" in capsys.readouterr().out


def test_the_window_of_the_public_case(tmp_path):
    np.save(tmp_path / "v.npy", np.array([[-1024, -160, -60], [40, 240, 976]], np.int16))
    run(
        tmp_path / "s",
        tmp_path / "v.npy",
        "--to",
        tmp_path / "root",
        "--unmasked-to-test",
        "--range",
        "-160",
        "240",
    )
    assert image_of(tmp_path / "root", "v", "test").tolist() == [[0, 0, 64], [128, 255, 255]]


def test_values_that_are_not_numbers_are_refused(tmp_path):
    stored = np.zeros(SHAPE, np.float32)
    stored[2, 3] = np.nan
    np.save(tmp_path / "v.npy", stored)
    with pytest.raises(InputError, match=r"v.npy: 1 of 54 values are NaN"):
        run(tmp_path / "s", tmp_path / "v.npy", "--dry-run", "--range", "0", "1", "--unmasked-to-test")


@pytest.mark.parametrize("bounds", [("1", "0"), ("1", "1"), ("0", "nan"), ("0", "inf")])
def test_a_range_that_is_none_is_refused(tmp_path, bounds):
    with pytest.raises(InputError, match="--range"):
        run(tmp_path / "s", tmp_path, "--dry-run", "--range", *bounds)


# ------------------------------------------------------------------ sizes of pixels


def tagged(path, x, y):
    """A TIFF that states um per px along x and y."""
    save(path.with_name(f"{path.stem}_mask.png"), labelled(1))
    tifffile.imwrite(path, picture(), resolution=(1e4 / x, 1e4 / y), resolutionunit="CENTIMETER")


def test_what_a_file_states_of_its_pixels_is_kept(tmp_path):
    (tmp_path / "in").mkdir()
    tagged(tmp_path / "in/001.tif", 0.25, 0.25)
    save(tmp_path / "in/NA.png", picture())
    save(tmp_path / "in/NA_mask.png", labelled(1))
    run(tmp_path / "s", tmp_path / "in", "--to", tmp_path / "root", "--classes", "a")
    assert rows(tmp_path / "root") == [{"id": "001", "pixel_size": "0.25"}, {"id": "NA", "pixel_size": ""}]


@pytest.mark.parametrize(
    ("x", "y", "um", "said"), [(0.5, 0.25, 0, "not square"), (0.5, 0.5, 0.4, "--um says 0.4")]
)
def test_pixels_that_are_not_square_or_not_as_said_are_refused(tmp_path, x, y, um, said):
    (tmp_path / "in").mkdir()
    tagged(tmp_path / "in/a.tif", x, y)
    with pytest.raises(InputError, match=f"a.tif: states .*{said}"):
        run(tmp_path / "s", tmp_path / "in", "--dry-run", "--um", str(um))


# ------------------------------------------------------------------ bands


def test_an_alpha_that_says_nothing_is_left_out_and_told(tmp_path, capsys):
    opaque = picture((*SHAPE, 4))
    opaque[..., 3] = 255
    save(tmp_path / "a.png", opaque)
    run(tmp_path / "s", tmp_path / "a.png", "--to", tmp_path / "root", "--unmasked-to-test")
    np.testing.assert_array_equal(image_of(tmp_path / "root", "a", "test"), opaque[..., :3])
    assert "alpha" in capsys.readouterr().err
    opaque[0, 0, 3] = 0
    save(tmp_path / "b.png", opaque)
    with pytest.raises(InputError, match=r"b.png: 1 of 54 px are not opaque"):
        run(tmp_path / "s", tmp_path / "b.png", "--to", tmp_path / "root", "--unmasked-to-test")
    assert not any("b" in name for name in everything(tmp_path / "root"))


@pytest.mark.parametrize("case", ["palette", "bits", "bmp", "cut off", "turned", "none"])
def test_what_is_no_image_of_8_bits_is_refused_with_the_way_out(tmp_path, case):
    path = tmp_path / "a.png"
    if case == "palette":
        Image.fromarray(picture()).convert("P", palette=Image.Palette.ADAPTIVE).convert("RGB").quantize(
            9
        ).save(path)
    elif case == "bits":
        Image.fromarray(picture() > 99).save(path)
    elif case == "bmp":
        Image.fromarray(picture()).save(path, "BMP")
    elif case == "turned":
        exif = Image.Exif()
        exif[0x112] = 3
        Image.fromarray(picture()).save(path, exif=exif)
    else:
        Image.fromarray(picture()).save(path)
        path.write_bytes(path.read_bytes()[:-20] if case == "cut off" else b"nothing")
    said = {
        "palette": "palette",
        "bits": "1 bits",
        "bmp": "is a BMP",
        "turned": "Orientation 3",
        "none": "cannot be read",
    }
    with pytest.raises(InputError, match=f"a.png: .*{said.get(case, case)}"):
        run(tmp_path / "s", path, "--dry-run", "--unmasked-to-test")
