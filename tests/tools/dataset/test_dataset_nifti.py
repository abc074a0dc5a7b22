"""Laws of volumes in NIfTI that become slices: as stored, with their spacing, patient and place; bad ones are
refused before anything is written."""

import gzip
import json
import os
import shutil
import sys
import warnings
from collections import Counter
from contextlib import suppress
from dataclasses import replace

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nibabel import arrayproxy

from ftu.datasets import folders, volumes
from ftu.errors import InputError
from ftu.files import csvfile
from ftu_tools.dataset import new
from ftu_tools.dataset.labels import Meaning
from ftu_tools.dataset.volumes import levels, nifti, record
from nifti_files import (
    CLASSES,
    FLIPPED,
    MAPPED,
    PIXDIM,
    PLAIN,
    SHAPE,
    acdc,
    label_map,
    patched,
    store,
    turned,
    volume,
)
from own_data import everything, image_of, mask_of, run

WINDOW = "--window=-160,240"
TOLD = "--classes", CLASSES, "--labels", MAPPED, WINDOW


def shown(stored):
    """A slice by the window, as it is told in docs/own-data.md."""
    return np.rint((stored.T.astype(float) + 160) / 400 * 255).clip(0, 255)


def test_slices_are_as_stored_and_say_their_size_patient_and_place(tmp_path):
    image, labels = volume(), label_map()
    store(tmp_path / "001.nii.gz", image)
    store(tmp_path / "m.nii.gz", labels)
    run(tmp_path / "s", tmp_path / "001.nii.gz", tmp_path / "m.nii.gz", "--to", tmp_path / "root", *TOLD)
    for z in range(SHAPE[2]):
        np.testing.assert_array_equal(image_of(tmp_path / "root", f"001_z{z:03}"), shown(image[:, :, z]))
        numbers = np.searchsorted([0, 1, 3, 6], labels[:, :, z].T)
        np.testing.assert_array_equal(mask_of(tmp_path / "root", f"001_z{z:03}"), numbers)
    table = csvfile.read_csv(tmp_path / "root/images.csv")
    assert table.to_dict("records") == [
        {"id": f"001_z{z:03}", "pixel_size": "1500", "group": "001", "z": str(z)} for z in range(SHAPE[2])
    ]


def test_the_first_index_is_the_column_and_the_third_the_slice(tmp_path):
    """The public case: one voxel at [1, 2, 3] of (4, 5, 6), voxels of 1 x 2 x 3 mm."""
    stored = np.zeros((4, 5, 6), np.int16)
    stored[1, 2, 3] = 100
    store(tmp_path / "a.nii", stored, np.diag([1, 2, 3, 1]))
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", "--window=0,100")
    found = np.stack([image_of(tmp_path / "root", f"a_z{z:03}", "test") for z in range(6)])
    assert np.argwhere(found).tolist() == [[3, 2, 1]]
    (entry,) = record.read(tmp_path / "root")
    assert entry.spacing == [3000, 2000, 1000]
    assert csvfile.read_csv(tmp_path / "root/images.csv")["pixel_size"][0] == "1414.21"


def test_pixels_that_are_not_square_are_told(tmp_path, capsys):
    words = "--dry-run", "--unmasked-to-test", WINDOW
    store(tmp_path / "a.nii", volume(), np.diag([1, 2, 3, 1]))
    run(tmp_path / "s", tmp_path / "a.nii", *words)
    assert "1 have slices whose pixels are not square" in capsys.readouterr().err
    store(tmp_path / "a.nii", volume(), np.diag([1, 2, 1, 1]))
    run(tmp_path / "s", tmp_path / "a.nii", *words, "--axes", "xzy")
    assert "not square" not in capsys.readouterr().err


@pytest.mark.parametrize("axes", ["xyz", "yxz", "zxy", "zyx", "xzy", "yzx"])
def test_any_stored_axis_may_be_cut_into_slices(tmp_path, axes):
    image = volume()
    store(tmp_path / "a.nii", np.transpose(image, ["xyz".index(axis) for axis in axes]))
    words = "--to", tmp_path / "root", "--unmasked-to-test", WINDOW, "--axes", axes
    run(tmp_path / "s", tmp_path / "a.nii", *words)
    for z in range(SHAPE[2]):
        np.testing.assert_array_equal(
            image_of(tmp_path / "root", f"a_z{z:03}", "test"), shown(image[:, :, z])
        )


@pytest.mark.parametrize("axes", ["yx", "yxc", "zyxc"])
def test_axes_that_a_volume_has_not_are_refused(tmp_path, axes):
    store(tmp_path / "a.nii", volume())
    refused(tmp_path, f"--axes: '{axes}' is not of a volume; give x, y and z", "--axes", axes)
    store(tmp_path / "a.nii", volume((7, 9)))
    refused(tmp_path, "a.nii: has two axes, and --axes says zyx", "--axes", "zyx")


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (2, 1), (3, 1000), (1, 0.001)])
def test_the_unit_of_a_spacing_is_that_of_the_header(tmp_path, unit, factor):
    """Unknown counts as mm, as everywhere."""
    affine = PLAIN * [[factor], [factor], [factor], [1]]
    store(tmp_path / "a.nii", volume(), affine, xyzt_units=unit)
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", WINDOW)
    (entry,) = record.read(tmp_path / "root")
    np.testing.assert_allclose(entry.spacing, [8000, 1500, 1500], rtol=1e-5)


def test_no_more_than_a_slice_is_in_memory(tmp_path, monkeypatch):
    store(tmp_path / "a.nii.gz", volume())
    store(tmp_path / "m.nii.gz", label_map())
    monkeypatch.delattr(arrayproxy.ArrayProxy, "__array__")
    sizes = []
    read = arrayproxy.ArrayProxy.__getitem__
    monkeypatch.setattr(
        arrayproxy.ArrayProxy, "__getitem__", lambda self, place: sizes.append(read(self, place)) or sizes[-1]
    )
    run(tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", "--to", tmp_path / "root", *TOLD)
    assert {found.size for found in sizes} == {SHAPE[0] * SHAPE[1]}


def test_a_dry_run_tells_of_space_and_writes_nothing(tmp_path, capsys):
    store(tmp_path / "in/a.nii.gz", volume(), FLIPPED)
    store(tmp_path / "in/a_gt.nii.gz", label_map(), FLIPPED)
    run(tmp_path / "s", tmp_path / "in", "--to", tmp_path / "root", *TOLD, "--dry-run")
    told = capsys.readouterr().out
    for words in (
        "1 volumes; patients (group in images.csv): 1, a",
        "voxels: 1.5 mm in a slice, 8 mm from slice to slice; slices are as stored, axes xyz towards LAI",
        "8 bits by the window -160 (black) and 240 (white)",
    ):
        assert words in told
    assert not (tmp_path / "root").exists()


def test_what_was_done_is_kept_and_a_second_run_adds_to_it(tmp_path):
    """Percentiles of each volume, and what labels mean; of unlabelled volumes, what the others' do."""
    root, words = tmp_path / "root", ["--classes", CLASSES, "--percentiles", "1,99"]
    for name in ("a", "b"):
        store(tmp_path / f"{name}.nii.gz", volume(seed=ord(name)))
    store(tmp_path / "m.nii.gz", label_map())
    run(
        tmp_path / "s", tmp_path / "a.nii.gz", tmp_path / "m.nii.gz", "--to", root, *words, "--labels", MAPPED
    )
    before = everything(root)
    run(tmp_path / "s", tmp_path / "b.nii.gz", "--to", root, *words, "--unmasked-to-test", "--source", "")
    assert everything(root).items() >= {name: held for name, held in before.items() if ".png" in name}.items()
    first, second = record.read(root)
    low, high = np.percentile(volume(seed=ord("b")), [1, 99], method="inverted_cdf")
    assert (second.levels, second.percentiles, second.window) == ([low, high], [1, 99], None)
    assert (first.name, first.set, second.name, second.set) == ("a", "train", "b", "test")
    assert first.values == second.values == {"right ventricle": 1, "myocardium": 3, "left ventricle": 6}
    assert first.image == "a.nii.gz"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window=0,240"], "--window: 0,240, but a of .*root was made with -160,240; give the same"),
        (["--percentiles=1,99"], "--window: not given, but a of .* was made with -160,240"),
        (
            [WINDOW, "--classes", "myocardium,left ventricle,right ventricle"],
            "--classes: myocardium,.* with right",
        ),
    ],
)
def test_a_data_set_is_made_in_one_way(tmp_path, words, said):
    """Else a network would see other values in test volumes than in those that it learnt from."""
    for name in ("a", "b"):
        store(tmp_path / f"{name}.nii", volume())
    store(tmp_path / "m.nii", label_map())
    run(tmp_path / "s", tmp_path / "a.nii", tmp_path / "m.nii", "--to", tmp_path / "root", *TOLD)
    for dry in ([], ["--dry-run"]):
        with pytest.raises(InputError, match=said):
            run(
                tmp_path / "s",
                tmp_path / "b.nii",
                "--to",
                tmp_path / "root",
                "--unmasked-to-test",
                *words,
                *dry,
            )
    run(tmp_path / "s", tmp_path / "b.nii", "--to", tmp_path / "root", "--unmasked-to-test", WINDOW)


def test_what_is_added_does_not_change_what_a_link_leads_to(tmp_path):
    """A data set is extended in a folder of links, which takes its place when all is well."""
    store(tmp_path / "a.nii", volume())
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", WINDOW)
    before = everything(tmp_path / "root")
    shutil.copytree(tmp_path / "root", tmp_path / "more", copy_function=os.link)
    (entry,) = record.read(tmp_path / "root")
    record.add(tmp_path / "more", [replace(entry, name="b")], Meaning([], {}), [])
    assert everything(tmp_path / "root") == before
    assert [each.name for each in record.read(tmp_path / "more")] == ["a", "b"]


def test_frames_of_a_patient_are_of_one_group_and_two_volumes(tmp_path):
    """As `make new` and decode take them: a fold holds a patient, scores are of patient and frame."""
    for patient in ("patient001", "patient002"):
        acdc(tmp_path / "in", patient)
    words = "--to", tmp_path / "root", "--classes", CLASSES, "--percentiles", "1,99"
    run(tmp_path / "s", tmp_path / "in", *words)
    run(tmp_path / "s", acdc(tmp_path / "test", "patient101"), *words, "--set", "test")
    guess = new.guessed(tmp_path / "root", CLASSES.split(",")).sections
    data = guess["data"]
    assert (data["group"], guess["split"]["by"], guess["split"]["count"]) == (["group"], "group", 2)
    told = [*data["group"], data["z"]]
    tables = folders.read_both(tmp_path / "root", organs=["a"], sources=["b"], pixel_size=1.0, told=told)
    index = volumes.located(pd.concat(tables, ignore_index=True), *tables, data["z"], data["group"])
    frames = [f"patient{number}_frame{frame}" for number in ("001", "002", "101") for frame in ("01", "12")]
    assert Counter(index["volume"]) == dict.fromkeys(frames, SHAPE[2])
    assert Counter(index["group"]) == {"patient001": 8, "patient002": 8, "patient101": 8}


def test_a_patient_on_both_sides_of_a_score_is_told(tmp_path, capsys):
    """By their names, though each came alone, so that nothing told of the other."""
    words = "--to", tmp_path / "root", *TOLD
    for name, part in (("patient001_frame01", "train"), ("sub-2_a", "train"), ("sub-3_a", "train")):
        store(tmp_path / f"{name}.nii", volume())
        store(tmp_path / "m.nii", label_map())
        run(tmp_path / "s", tmp_path / f"{name}.nii", tmp_path / "m.nii", *words, "--set", part)
    assert "patient" not in capsys.readouterr().err
    store(tmp_path / "patient001_frame12.nii", volume())
    run(tmp_path / "s", tmp_path / "patient001_frame12.nii", tmp_path / "m.nii", *words, "--set", "test")
    told = "in train and in test are volumes of one patient, which flatters scores: patient001_frame01"
    assert told in capsys.readouterr().err
    store(tmp_path / "sub-2_b.nii", volume())
    run(tmp_path / "s", tmp_path / "sub-2_b.nii", tmp_path / "m.nii", *words, "--dry-run")
    told = "one patient in two groups, which may lie in two folds; make them at once: sub-2_a and sub-2_b"
    assert told in capsys.readouterr().err


def test_names_that_share_a_patient_are_of_one_group(tmp_path):
    for name in ("sub-01_T1w", "sub-01_T2w", "sub-02_T1w"):
        store(tmp_path / f"in/{name}.nii", volume())
    words = "--to", tmp_path / "root", "--unmasked-to-test", WINDOW
    run(tmp_path / "s", tmp_path / "in", *words)
    assert [entry.group for entry in record.read(tmp_path / "root")] == ["sub-01", "sub-01", "sub-02"]


@pytest.mark.parametrize("labels", [np.int16, np.int64, np.uint64, np.float32, np.float64, ">i2"])
def test_labels_may_be_stored_in_any_type(tmp_path, labels):
    order = ">" if str(labels).startswith(">") else "<"
    store(tmp_path / "a.nii", volume())
    store(tmp_path / "m.nii", label_map().astype(labels), order=order)
    run(tmp_path / "s", tmp_path / "a.nii", tmp_path / "m.nii", "--to", tmp_path / "root", *TOLD)
    numbers = np.searchsorted([0, 1, 3, 6], label_map()[:, :, 1].T)
    np.testing.assert_array_equal(mask_of(tmp_path / "root", "a_z001"), numbers)


# ------------------------------------------------------------------ what is refused


def refused(tmp_path, said, *words, labels=None, image="a.nii"):
    """Refuse the volume of tmp_path with this message, and leave nothing."""
    files = [tmp_path / image, *([tmp_path / labels] if labels else [])]
    told = TOLD if labels else (WINDOW, "--unmasked-to-test")
    with pytest.raises(InputError, match=said):
        run(tmp_path / "s", *files, "--to", tmp_path / "root", *told, *words)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("shape", [(10, 12, 8, 6), (3, 10, 12, 8), (4, 5, 6, 1, 3)])
def test_several_volumes_in_a_file_are_refused(tmp_path, shape):
    store(tmp_path / "a.nii", volume(shape))
    refused(tmp_path, rf"a.nii: holds several volumes \({' x '.join(map(str, shape))}\)")


def test_a_volume_that_lies_nowhere_is_refused_unless_its_spacing_is_enough(tmp_path):
    store(tmp_path / "a.nii", volume(), sform=0, qform=0)
    refused(
        tmp_path,
        r"a.nii: does not say where it lies \(sform_code and qform_code are 0\).*1.5 x 1.5 x 8.*--pixdim",
    )
    words = "--to", tmp_path / "root", WINDOW, "--unmasked-to-test", "--pixdim"
    run(tmp_path / "s", tmp_path / "a.nii", *words)
    assert record.read(tmp_path / "root")[0].spacing == [8000, 1500, 1500]


@pytest.mark.parametrize(
    ("place", "content", "said"),
    [
        (PIXDIM + 8, np.float32(0), "have no size, 1.5 x 0 x 8"),
        (PIXDIM + 12, np.float32(np.nan), "have no size, 1.5 x 1.5 x nan"),
        (0, np.int32(7), "is no NIfTI"),
        (344, np.frombuffer(b"\0\0\0\0", np.int32)[0], "no NIfTI in one file"),
        (40, np.int16(1), "is of 7 voxels, which is no volume"),
        (44, np.int16(-9), "is of 7 x -9 x 4 voxels"),
        (42, np.int16(30000), "is cut off: it has"),
        (70, np.int16(999), "its header is damaged"),
        (108, np.float32(0), "begin at byte 0, in its header"),
        (123, np.uint8(7), "unit of length is none"),
        (280, np.float32(0), "its affine is none"),
        (280, np.float32(1e30), "its affine is none"),
        (292, np.float32(1e30), "its affine is none"),
        (PIXDIM + 4, np.float32(1e-30), "have no size, 1e-30 x 1.5 x 8"),
        (280, np.float32(np.nan), "its affine is none"),
        (116, np.float32(np.inf), "its header is damaged"),
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path, place, content, said):
    patched(store(tmp_path / "a.nii", volume()), place, content.tobytes())
    refused(tmp_path, f"a.nii: .*{said}")


def test_damage_of_a_header_ends_in_words_wherever_it_is(tmp_path):
    """nibabel and numpy raise and warn of their own; what reads is a volume, and can be written."""
    whole = store(tmp_path / "whole.nii", volume(), turned(), qform=1, slope=2, inter=1).read_bytes()
    rng = np.random.default_rng(0)
    for place in (*range(0, 44, 3), *range(68, 128, 3), *range(252, 352, 7)):
        patched(store(tmp_path / "a.nii", volume()), 0, whole)
        patched(tmp_path / "a.nii", place, rng.choice([0, 1, 127, 128, 255], 2).astype(np.uint8).tobytes())
        with suppress(InputError), warnings.catch_warnings(action="error"):
            found = nifti.opened(tmp_path / "a.nii", tmp_path)
            levels.of(found, None, (1, 99))
            nifti.write(tmp_path / "b.nii", np.zeros(found.grid.shape[2::-1], np.uint8), found.grid)


@pytest.mark.parametrize(
    "kind", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])], ids=["complex", "RGB"]
)
def test_values_that_are_no_single_numbers_are_refused(tmp_path, kind):
    store(tmp_path / "a.nii", np.zeros(SHAPE, kind))
    refused(tmp_path, "a.nii: has values of (complex64|RGB)")


def test_a_file_that_is_cut_off_is_refused_wherever(tmp_path):
    whole = store(tmp_path / "whole.nii.gz", volume()).read_bytes()
    for length in (*range(0, len(whole), len(whole) // 9), len(whole) - 1):
        (tmp_path / "a.nii.gz").write_bytes(whole[:length])
        refused(tmp_path, "a.nii.gz: is (cut off|no NIfTI)", image="a.nii.gz")
    plain = gzip.decompress(whole)
    for length in (3, 200, 352, len(plain) - 1):
        (tmp_path / "a.nii").write_bytes(plain[:length])
        refused(tmp_path, "a.nii: is (cut off|no NIfTI)")
    damaged = whole[: len(whole) // 2] + b"#" + whole[len(whole) // 2 + 1 :]
    (tmp_path / "a.nii.gz").write_bytes(damaged)
    refused(tmp_path, "a.nii.gz: is cut off or damaged", image="a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(plain)
    refused(tmp_path, r"a.nii.gz: is cut off or damaged \(Not a gzipped file", image="a.nii.gz")


def test_what_is_no_regular_file_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    os.mkfifo(tmp_path / "in/a.nii")
    with pytest.raises(InputError, match=r"a.nii: cannot be read as NIfTI \(no regular file"):
        run(tmp_path / "s", tmp_path / "in", "--dry-run", WINDOW, "--unmasked-to-test")


@pytest.mark.parametrize(
    ("labels", "affine", "said"),
    [
        (label_map((9, 7, 4)), PLAIN, "is of 9 x 7 x 4 voxels .*of 7 x 9 x 4"),
        (label_map((7, 9, 5)), PLAIN, "is of 7 x 9 x 5 voxels"),
        (label_map(), PLAIN + np.outer([1, 0, 0, 0], [0, 0, 0, 150]), "by up to 150 mm"),
        (
            label_map(),
            np.diag([0.98, 1.5, 8, 1]),
            "elsewhere .*voxels of 0.98 x 1.5 x 8 mm from 0 x 0 x 0, .*1.5 x 1.5 x 8",
        ),
        (label_map(), FLIPPED, "lies elsewhere than its image .*a.nii, by up to"),
        (label_map(), turned(), "lies elsewhere"),
    ],
)
def test_a_label_map_of_another_grid_is_refused(tmp_path, labels, affine, said):
    store(tmp_path / "a.nii", volume())
    store(tmp_path / "m.nii", labels, affine)
    refused(tmp_path, f"m.nii: .*({said})", labels="m.nii")


def test_grids_that_differ_by_rounding_are_one(tmp_path):
    near = turned() + 2e-8
    store(tmp_path / "a.nii", volume(), turned(), kind=nib.Nifti2Image)
    store(tmp_path / "m.nii", label_map(), near, kind=nib.Nifti2Image)
    run(tmp_path / "s", tmp_path / "a.nii", tmp_path / "m.nii", "--dry-run", *TOLD)


def test_a_label_map_of_another_kind_is_refused(tmp_path):
    store(tmp_path / "a.nii", volume())
    np.save(tmp_path / "m.npy", label_map().T)
    refused(tmp_path, r"m.npy: .*--axes", labels="m.npy")
    refused(tmp_path, "m.npy: is no NIfTI, and .*a.nii is", "--axes", "zyx", labels="m.npy")


def test_labels_outside_of_the_classes_are_named(tmp_path):
    store(tmp_path / "a.nii", volume())
    store(tmp_path / "m.nii", label_map())
    words = "--to", tmp_path / "root", WINDOW, "--classes", CLASSES
    with pytest.raises(InputError, match=r"m.nii: label '6' has no class"):
        run(tmp_path / "s", tmp_path / "a.nii", tmp_path / "m.nii", *words)
    store(tmp_path / "m.nii", label_map() + np.float32(0.5))
    refused(tmp_path, r"m.nii: has values like .*5, and a mask has whole numbers", labels="m.nii")
    store(tmp_path / "m.nii", np.where(label_map() == 6, np.nan, 1).astype(np.float32))
    refused(tmp_path, "m.nii: has values like nan", labels="m.nii")


def test_a_class_that_no_training_volume_has_is_refused(tmp_path, capsys):
    """Of a test volume it is told: the model may know it."""
    store(tmp_path / "a.nii", volume())
    store(tmp_path / "m.nii", np.where(label_map() == 3, 0, label_map()))
    refused(tmp_path, "--classes: no label map has a voxel of myocardium; labels are 0, 1, 6", labels="m.nii")
    refused(tmp_path, "--classes: no label map has a voxel of myocardium", "--dry-run", labels="m.nii")
    words = "--to", tmp_path / "root", *TOLD, "--set", "test"
    run(tmp_path / "s", tmp_path / "a.nii", tmp_path / "m.nii", *words)
    assert "no mask has a pixel of myocardium" in capsys.readouterr().err


def test_a_sheared_volume_is_told_and_read(tmp_path, capsys):
    """ITK refuses it."""
    sheared = PLAIN.copy()
    sheared[0, 1] = 0.02 * 1.5
    store(tmp_path / "a.nii", volume(), sheared)
    run(tmp_path / "s", tmp_path / "a.nii", "--dry-run", "--unmasked-to-test", WINDOW)
    assert "1 are sheared" in capsys.readouterr().err


def test_two_sizes_of_a_voxel_are_told(tmp_path, capsys):
    patched(store(tmp_path / "a.nii", volume()), PIXDIM + 12, np.float32(1).tobytes())
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", WINDOW)
    assert "1 say two sizes of a voxel" in capsys.readouterr().err
    assert record.read(tmp_path / "root")[0].spacing[0] == 8000


def test_without_nibabel_the_way_out_is_told(tmp_path, monkeypatch):
    store(tmp_path / "a.nii", volume())
    monkeypatch.setitem(sys.modules, "nibabel", None)
    refused(tmp_path, "uv sync --extra volumes")


def test_a_damaged_record_is_refused(tmp_path):
    store(tmp_path / "a.nii", volume())
    run(tmp_path / "s", tmp_path / "a.nii", "--to", tmp_path / "root", "--unmasked-to-test", WINDOW)
    path = tmp_path / "root/volumes.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    (entry,) = facts["volumes"]
    for change in (
        {"name": "../a"},
        {"spacing": [1, 0, 1]},
        {"set": "all"},
        {"header": "AAAA"},
        {"axes": "x"},
        {"values": {"a": "1"}},
        {"more": 1},
    ):
        path.write_text(json.dumps({"volumes": [entry | change]}), encoding="utf-8")
        with pytest.raises(InputError, match=r"volumes.json: |a.nii: "):
            record.read(tmp_path / "root")
    huge = nib.Nifti2Header()
    huge["dim"], huge["sform_code"] = [3, 7, 9, 2**40, 1, 1, 1, 1], 1
    claims = entry | {"header": record.encoded(huge.binaryblock)}
    path.write_text(json.dumps({"volumes": [claims]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"a.nii: a side of 9 x 1099511627776 px"):
        record.read(tmp_path / "root")
    path.write_text(json.dumps({"volumes": [entry, entry]}), encoding="utf-8")
    with pytest.raises(
        InputError, match=r"volumes.json: a stands there more than once; make the data set again"
    ):
        record.read(tmp_path / "root")
