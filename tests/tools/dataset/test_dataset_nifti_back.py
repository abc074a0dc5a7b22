"""Laws of the way back: masks of slices become label maps on their volume's grid, to the voxel; scores."""

import gzip
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension
from PIL import Image
from scipy import ndimage

from ftu.errors import InputError
from ftu.files import csvfile
from ftu.masks import submission
from ftu_tools.dataset.volumes import record, scores
from ftu_tools.dataset.volumes.__main__ import bring_back, masks_of
from nifti_files import (
    CLASSES,
    FLIPPED,
    LABELS,
    MAPPED,
    PLAIN,
    SHAPE,
    acdc,
    label_map,
    loaded,
    patched,
    store,
    turned,
    volume,
)
from own_data import run, save

TOLD = "--classes", CLASSES, "--labels", MAPPED, "--window=-160,240", "--set", "test"
SHEARED = PLAIN + np.outer([1, 0, 0, 0], [0, 0.05, 0, 0])
UNEQUAL = np.diag([-1.25, 0.75, 3.5, 1])


def returned(tmp_path, *words, source=""):
    """The volume and label map of tmp_path to slices, their masks taken for predictions, and back."""
    bring(tmp_path, *words, source=source)
    return loaded(tmp_path / "out/a.nii.gz"), loaded(tmp_path / "m.nii.gz")


def bring(tmp_path, *words, source=""):
    files = tmp_path / "a.nii.gz", tmp_path / "m.nii.gz"
    run(tmp_path / "s", *files, "--to", tmp_path / "root", *TOLD, *words)
    shutil.copytree(tmp_path / "root" / source / "test/masks", tmp_path / "masks" / source)
    bring_back(tmp_path / "root", tmp_path / "masks", tmp_path / "out")


def same(found, expected):
    """Voxels, type and shape, and where they lie, by what the header says, too."""
    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
    np.testing.assert_array_equal(found.affine, expected.affine)
    assert found.shape == expected.shape
    assert type(found) is type(expected)
    for key in ("dim", "pixdim", "datatype", "qform_code", "sform_code", "xyzt_units", "quatern_b", "srow_x"):
        np.testing.assert_array_equal(found.header[key], expected.header[key])


@pytest.mark.parametrize("affine", [PLAIN, FLIPPED, turned(), turned(FLIPPED), SHEARED, UNEQUAL])
@pytest.mark.parametrize("codes", [(1, 0), (0, 1), (2, 4)])
def test_label_maps_come_back_to_their_grid(tmp_path, affine, codes):
    sform, qform = codes
    store(tmp_path / "a.nii.gz", volume(), affine, sform=sform, qform=qform)
    store(tmp_path / "m.nii.gz", label_map(), affine, sform=sform, qform=qform)
    same(*returned(tmp_path))


@pytest.mark.parametrize("axes", ["xyz", "yxz", "zxy", "zyx", "xzy", "yzx"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_label_maps_come_back_whichever_axis_was_cut(tmp_path, axes, kind):
    store(tmp_path / "a.nii.gz", volume(), turned(), kind=kind)
    store(tmp_path / "m.nii.gz", label_map(), turned(), kind=kind)
    same(*returned(tmp_path, "--axes", axes))


@pytest.mark.parametrize("shape", [(7, 9, 4, 1), (7, 9, 1), (7, 9), (1, 9, 4), (7, 9, 4, 1, 1)])
def test_label_maps_come_back_in_their_shape(tmp_path, shape):
    store(tmp_path / "a.nii.gz", volume(shape))
    store(
        tmp_path / "m.nii.gz", np.where(np.arange(np.prod(shape)).reshape(shape) % 7 < 3, 3, label_map(shape))
    )
    same(*returned(tmp_path))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (np.uint8, {"order": ">"}),
        (np.int16, {"order": ">"}),
        (np.int32, {}),
        (np.uint64, {}),
        (np.float32, {}),
        (np.float64, {"xyzt_units": 2}),
        (np.uint8, {"slope": np.nan, "inter": np.nan}),
    ],
)
def test_label_maps_come_back_in_their_type(tmp_path, kind, options):
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map().astype(kind), **options)
    found, expected = returned(tmp_path)
    same(found, expected)
    assert found.get_data_dtype() == expected.get_data_dtype()
    assert found.header.endianness == expected.header.endianness


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.permutations([0.75, 1.25, 3.5]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    seed=st.integers(0, 99),
)
def test_label_maps_come_back_from_any_grid(tmp_path_factory, steps, signs, seed):
    folder = tmp_path_factory.mktemp("any")
    affine = turned(np.diag([*(np.array(steps) * signs), 1]))
    store(folder / "a.nii.gz", volume(seed=seed), affine)
    store(folder / "m.nii.gz", label_map(seed=seed), affine)
    same(*returned(folder))


def test_label_maps_without_an_affine_come_back_without_one(tmp_path):
    for name, array in (("a", volume()), ("m", label_map())):
        store(tmp_path / f"{name}.nii.gz", array, UNEQUAL, sform=0, qform=0)
    same(*returned(tmp_path, "--pixdim"))


def test_label_maps_whose_voxels_begin_anywhere_come_back_without_a_word(tmp_path, caplog):
    store(tmp_path / "a.nii.gz", volume())
    plain = store(tmp_path / "plain.nii", label_map(), vox_offset=352).read_bytes()
    (tmp_path / "m.nii").write_bytes(plain[:352] + b"12345678" + plain[352:])
    patched(tmp_path / "m.nii", 108, np.float32(360).tobytes())
    (tmp_path / "m.nii.gz").write_bytes(gzip.compress((tmp_path / "m.nii").read_bytes()))
    bring(tmp_path)
    assert caplog.records == []
    np.testing.assert_array_equal(np.asarray(loaded(tmp_path / "out/a.nii.gz").dataobj), label_map())


def test_label_maps_with_an_extension_come_back_without_it(tmp_path):
    store(tmp_path / "a.nii.gz", volume())
    image = loaded(store(tmp_path / "plain.nii", label_map()))
    image.header.extensions.append(Nifti1Extension("comment", b"seen by nobody" * 9))
    image.to_filename(tmp_path / "m.nii.gz")
    same(*returned(tmp_path))


def test_sources_have_folders_of_masks(tmp_path):
    """Where submit writes them."""
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map())
    same(*returned(tmp_path, "--source", "NA", source="NA"))
    images = [path.relative_to(tmp_path / "root") for path in (tmp_path / "root").glob("*/test/images/*")]
    (found,) = record.read(tmp_path / "root")
    expected = {tmp_path / "masks" / submission.place(str(image)) for image in images}
    assert set(masks_of(found, tmp_path / "masks")) == expected


def test_masks_of_one_class_and_labels_of_any_number(tmp_path):
    """submit writes 0 and 255 then; a label of 300 needs 16 bits."""
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", (label_map() > 0).astype(np.int16) * 300)
    words = "--to", tmp_path / "root", "--classes", "heart", "--window=-160,240"
    run(tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", *words, "--set", "test")
    for path in (tmp_path / "root/test/masks").iterdir():
        save(tmp_path / "masks" / path.name, np.asarray(Image.open(path)) * np.uint8(255))
    bring_back(tmp_path / "root", tmp_path / "masks", tmp_path / "out")
    same(loaded(tmp_path / "out/a.nii.gz"), loaded(tmp_path / "m.nii.gz"))


def test_volumes_without_label_maps_come_back_with_the_labels_of_the_others(tmp_path, capsys):
    """On the grid of the image, as uint8, unscored."""
    for name in "ab":
        store(tmp_path / f"{name}.nii.gz", volume(), turned(), slope=2, inter=-7)
    store(tmp_path / "m.nii.gz", label_map(), turned())
    words = "--to", tmp_path / "root", "--classes", CLASSES, "--percentiles", "1,99"
    run(tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", *words, "--labels", MAPPED)
    run(tmp_path / "s", tmp_path / "b.nii.gz", *words, "--unmasked-to-test")
    (tmp_path / "masks").mkdir()
    for z in range(SHAPE[2]):
        shutil.copy(tmp_path / f"root/train/masks/a_z{z:03}.png", tmp_path / f"masks/b_z{z:03}.png")
    told = bring_back(tmp_path / "root", tmp_path / "masks", tmp_path / "out")
    found = loaded(tmp_path / "out/b.nii.gz")
    np.testing.assert_array_equal(np.asarray(found.dataobj), label_map())
    np.testing.assert_array_equal(found.affine, loaded(tmp_path / "b.nii.gz").affine)
    assert found.get_data_dtype() == np.uint8
    assert told.endswith("0 scored")
    assert "not scored, without label maps: b" in capsys.readouterr().out
    assert not (tmp_path / "out/scores.csv").exists()


def test_the_same_masks_give_the_same_bytes(tmp_path):
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map())
    returned(tmp_path)
    first = (tmp_path / "out/a.nii.gz").read_bytes()
    bring_back(tmp_path / "root", tmp_path / "masks", tmp_path / "out")
    assert (tmp_path / "out/a.nii.gz").read_bytes() == first


def test_classes_with_several_labels_are_told(tmp_path, capsys):
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map())
    words = "--classes", "heart,vessel", "--labels", "1=heart,3=heart,6=vessel", "--window=-160,240"
    run(tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", "--to", tmp_path / "root", *words)
    assert "classes with several labels come back with the first: heart (1, 3)" in capsys.readouterr().err
    assert record.read(tmp_path / "root")[0].values == {"heart": 1, "vessel": 6}


# ------------------------------------------------------------------ what is refused


@pytest.fixture
def predicted(tmp_path):
    """A data set of two volumes, the masks of their slices taken for predictions."""
    acdc(tmp_path / "in", "patient101")
    words = "--classes", CLASSES, "--percentiles", "1,99", "--set", "test"
    run(tmp_path / "s", tmp_path / "in", "--to", tmp_path / "root", *words)
    shutil.copytree(tmp_path / "root/test/masks", tmp_path / "masks")
    return tmp_path


def refused(folder, said):
    with pytest.raises(InputError, match=said):
        bring_back(folder / "root", folder / "masks", folder / "out")
    assert not (folder / "out").exists()


def test_a_missing_slice_is_named_and_never_empty(predicted):
    (predicted / "masks/patient101_frame12_z002.png").unlink()
    refused(
        predicted,
        r"frame12_z002.png: is missing, as 1 of 4 slices of patient101_frame12 are; .*dvc repro.*--masks",
    )


def test_a_mask_of_another_size_or_class_is_named(predicted):
    path = predicted / "masks/patient101_frame01_z001.png"
    save(path, np.zeros((9, 8), np.uint8))
    refused(predicted, r"frame01_z001.png: is 9 x 8 px .*patient101_frame01 are 9 x 7")
    save(path, np.full((9, 7), 4, np.uint8))
    refused(
        predicted,
        r"frame01_z001.png: holds 4, and the classes .* right ventricle, myocardium, left ventricle",
    )
    path.write_bytes(b"nothing")
    refused(predicted, r"frame01_z001.png: is missing or damaged")


def test_a_data_set_without_test_volumes_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"volumes.json: is missing; make the data set again"):
        bring_back(tmp_path, tmp_path, tmp_path / "out")
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map())
    words = "--to", tmp_path / "root", "--classes", CLASSES, "--labels", MAPPED, "--window=-160,240"
    run(tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", *words)
    refused(tmp_path, "root: has no test volume; .*--set test")
    with pytest.raises(InputError, match=r"--to: .*root is the data set itself"):
        bring_back(tmp_path / "root", tmp_path, tmp_path / "root")


# ------------------------------------------------------------------ scores


def entry(spacing, classes=("a", "b", "c")):
    return record.Entry(
        **dict.fromkeys(("source", "image", "labels", "header"), ""),
        **{"name": "v", "group": "patient001", "frame": "ED", "set": "test", "axes": "xyz", "dtype": "uint8"},
        **{"window": [0, 1], "percentiles": None, "levels": [0, 1], "spacing": spacing},
        values=dict(zip(classes, (1, 3, 6), strict=False)),
    )


def hd95(one, other, spacing):
    """By distance transforms: of each boundary's voxels to the other boundary, the larger 95th percentile."""
    if not one.any() or not other.any():
        return np.nan
    edges = [mask & ~np.asarray(ndimage.binary_erosion(mask, border_value=0), bool) for mask in (one, other)]
    far = [np.asarray(ndimage.distance_transform_edt(~edge, sampling=spacing)) for edge in edges]
    return max(np.percentile(far[1][edges[0]], 95), np.percentile(far[0][edges[1]], 95))


def blobs(seed, shape=(5, 11, 8)):
    """A label map of smooth parts, of 0 to 3."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(4, *shape)), (0, 1, 2, 2))
    return noise.argmax(axis=0).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("spacing", [[8000, 1500, 1250], [500, 4000, 1250], [1000, 1000, 1000]])
def test_scores_are_those_of_distance_transforms_in_space(seed, spacing):
    prediction, truth = blobs(seed), blobs(seed + 100)
    prediction[prediction == 3] *= seed % 2  # c is missed at times
    rows = scores.of_volume(entry(spacing), prediction, truth)
    for number, row in enumerate(rows, start=1):
        ours, theirs = prediction == number, truth == number
        assert row["dice"] == pytest.approx(2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()), abs=1e-6)
        assert row["hd95"] == pytest.approx(hd95(ours, theirs, spacing), abs=1e-5, nan_ok=True)
        lacks = (theirs.any() and not ours.any(), ours.any() and not theirs.any())
        assert (row["missed"], row["invented"]) == lacks
        pairs = list(zip(ours, theirs, strict=True))
        flat = [hd95(*pair, spacing[1:]) for pair in pairs]
        assert row["hd95_slices"] == pytest.approx(_mean(flat), abs=1e-5, nan_ok=True)
        dice = [2 * (a & b).sum() / (a.sum() + b.sum()) if a.any() or b.any() else np.nan for a, b in pairs]
        assert row["dice_slices"] == pytest.approx(_mean(dice), abs=1e-6, nan_ok=True)


def _mean(values):
    defined = [value for value in values if not np.isnan(value)]
    return sum(defined) / len(defined) if defined else np.nan


def test_a_step_along_each_axis_is_its_spacing():
    truth, prediction = np.zeros((2, 5, 6, 7), np.uint8)
    truth[1, 1, 1] = 1
    for place, expected in (((2, 1, 1), 8000), ((1, 2, 1), 1500), ((1, 1, 2), 1250)):
        prediction[:] = 0
        prediction[place] = 1
        (row,) = scores.of_volume(entry([8000, 1500, 1250], ["a"]), prediction, truth)[:1]
        assert row["hd95"] == expected


def test_what_is_missed_or_invented_is_counted_and_has_no_distance():
    truth, prediction = np.zeros((2, 2, 3, 4), np.uint8)
    truth[0, 0, :2], prediction[1, 1, :3] = 1, 2
    a, b, c = scores.of_volume(entry([3, 2, 1]), prediction, truth)
    assert [(row["missed"], row["invented"], row["dice"]) for row in (a, b)] == [(1, 0, 0), (0, 1, 0)]
    assert np.isnan([a["hd95"], b["hd95"], c["hd95"], c["dice"]]).all()
    assert (c["missed"], c["invented"]) == (0, 0)


def test_means_are_over_volumes_first_and_classes_then():
    """The public table: (0.9, nan), (0.8, 0.2), (0.7, nan) is 0.8 and 0.2, so 0.50, with counts."""
    found = [(0.9, np.nan), (0.8, 0.2), (0.7, np.nan)]
    rows = [
        dict.fromkeys(scores.MEANS, np.nan) | {"class": name, "dice": dice, "missed": 0, "invented": 0}
        for volume in found
        for name, dice in zip("ab", volume, strict=True)
    ]
    lines = scores.lines(pd.DataFrame(rows))
    assert [line.split(" | ")[:2] for line in lines[2:]] == [
        ["| a", "0.800"],
        ["| b", "0.200"],
        ["| mean", "0.500"],
    ]
    assert [line.split(" | ")[6] for line in lines[2:4]] == ["3", "1"]


def test_scores_are_of_patient_and_frame(predicted, capsys):
    """One voxel is taken from one class."""
    path = predicted / "masks/patient101_frame12_z000.png"
    mask = np.array(Image.open(path))
    row, column = np.argwhere(mask == 2)[0]
    mask[row, column] = 0
    save(path, mask)
    bring_back(predicted / "root", predicted / "masks", predicted / "out")
    table = csvfile.read_csv(predicted / "out/scores.csv")
    assert list(table["frame"]) == ["ED"] * 3 + ["ES"] * 3
    assert set(table["group"]) == {"patient101"}
    size = int((label_map(seed=1) == LABELS[2]).sum())
    changed = table[(table["volume"] == "patient101_frame12") & (table["class"] == "myocardium")].iloc[0]
    assert (changed["both"], changed["predicted"], changed["true"]) == (
        str(size - 1),
        str(size - 1),
        str(size),
    )
    assert float(changed["dice"]) == pytest.approx(2 * (size - 1) / (2 * size - 1), abs=1e-6)
    assert list(table["dice"]).count("1.0") == 5
    assert "| myocardium | 0.99" in capsys.readouterr().out
