"""Folders of volumes as challenges hand them out: who is of whom, and what is left out, said."""

import numpy as np
import pytest

from ftu.errors import InputError
from ftu.files import csvfile
from ftu_tools.dataset.volumes import challenges, record
from nifti_files import CLASSES, LABELS, SHAPE, acdc, label_map, store, volume
from own_data import everything, mask_of, run

ACDC = "--classes", CLASSES, "--percentiles", "0.5,99.5"
ORGANS = "--classes", "spleen,gallbladder,stomach", "--window=-125,275"


@pytest.fixture
def training(tmp_path):
    """ACDC's folder of two patients, and what else lies there."""
    for number, patient in enumerate(("patient001", "patient002")):
        acdc(tmp_path / "training", patient, seed=10 * number)
    (tmp_path / "training/MANDATORY_CITATION.md").write_text("cite", encoding="utf-8")
    (tmp_path / "training/patient001/._patient001_frame01.nii.gz").write_bytes(b"\0\5\x16\7")
    return tmp_path / "training"


def test_acdc_is_frames_of_patients_without_their_films(tmp_path, training, capsys):
    run(tmp_path / "s", training, "--to", tmp_path / "root", *ACDC)
    told = [(entry.name, entry.group, entry.frame) for entry in record.read(tmp_path / "root")]
    assert told == [
        (f"{patient}_frame{frame}", patient, phase)
        for patient in ("patient001", "patient002")
        for frame, phase in (("01", "ED"), ("12", "ES"))
    ]
    left = "2 .cfg, 1 .md, 2 films of all frames (_4d), 1 hidden (.DS_Store, ._name)"
    assert f"left out of the folders: {left}" in capsys.readouterr().out
    for seed, name in ((0, "patient001_frame01"), (11, "patient002_frame12")):
        expected = np.searchsorted(LABELS, label_map(seed=seed)[:, :, 1].T)
        np.testing.assert_array_equal(mask_of(tmp_path / "root", f"{name}_z001"), expected)


def test_folders_of_kinds_are_no_patients(tmp_path):
    for kind in ("images", "labels"):
        store(tmp_path / "in" / kind / "a.nii.gz", label_map())
    with pytest.raises(InputError, match=r"in: holds no image .*but folders: images, labels; name one"):
        run(tmp_path / "s", tmp_path / "in", "--dry-run", *ACDC)


def test_one_patient_may_be_named_alone(tmp_path, training):
    run(tmp_path / "s", training / "patient002", "--to", tmp_path / "root", *ACDC)
    groups = csvfile.read_csv(tmp_path / "root/images.csv")["group"]
    assert list(groups) == ["patient002"] * 2 * SHAPE[2]


def test_a_frame_without_its_label_map_is_named(tmp_path, training):
    (training / "patient001/patient001_frame12_gt.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1 of 4 images have no mask: patient001_frame12.nii.gz"):
        run(tmp_path / "s", training, "--to", tmp_path / "root", *ACDC)
    (training / "patient001/patient001_frame12.nii.gz").unlink()
    (training / "patient002/patient002_frame12.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1 of 3 masks have no image: patient002_frame12_gt.nii.gz"):
        run(tmp_path / "s", training, "--to", tmp_path / "root", *ACDC)


def test_a_film_alone_is_no_volume_and_refused(tmp_path):
    store(tmp_path / "in/patient001_4d.nii.gz", volume((7, 9, 4, 3)))
    with pytest.raises(InputError, match=r"patient001_4d.nii.gz: holds several volumes \(7 x 9 x 4 x 3\)"):
        run(tmp_path / "s", tmp_path / "in", "--dry-run", "--unmasked-to-test", *ACDC)


@pytest.mark.parametrize(
    ("info", "phase"),
    [("ED: 1\nES: 9\n", "ED"), ("ES:01\n", "1"), ("ED: 2", "1"), (None, "1"), ("Group: 1", "1")],
)
def test_the_moment_of_a_frame_is_what_info_says_or_its_number(tmp_path, info, phase):
    if info is not None:
        (tmp_path / "Info.cfg").write_text(info, encoding="utf-8")
    assert challenges.frame(tmp_path / "patient001_frame01.nii.gz") == phase
    assert challenges.frame(tmp_path / "patient001.nii.gz") == ""


def btcv(folder, images="imagesTr", labels="labelsTr"):
    """Synapse's layout: two cases, img0001 and label0001."""
    for case in ("0001", "0022"):
        store(folder / images / f"img{case}.nii.gz", volume(seed=int(case)), slope=1, inter=-24)
        store(
            folder / labels / f"label{case}.nii.gz",
            np.searchsorted(LABELS, label_map(seed=int(case))).astype("u1"),
        )
    return folder


@pytest.mark.parametrize("names", [("imagesTr", "labelsTr"), ("img", "label")])
def test_synapse_is_cases_by_their_number(tmp_path, names, capsys):
    """Named by the folder around, or by both folders: the same."""
    btcv(tmp_path / "in", *names)
    folders = [tmp_path / "in" / name for name in names]
    for root, given in (("one", [tmp_path / "in"]), ("two", folders)):
        if names[0] == "imagesTr" or root == "two":
            run(tmp_path / "s", *given, "--to", tmp_path / root, *ORGANS)
    told = record.read(tmp_path / "two")
    assert [(entry.name, entry.group, entry.labels) for entry in told] == [
        (f"img{case}", f"img{case}", f"label{case}.nii.gz") for case in ("0001", "0022")
    ]
    assert told[0].window == [-125, 275]
    if names[0] == "imagesTr":
        store(tmp_path / "in/imagesTs/img0061.nii.gz", volume())
        run(tmp_path / "s", tmp_path / "in", "--dry-run", *ORGANS)
        assert "left out of the folders: 1 imagesTs" in capsys.readouterr().out
        assert everything(tmp_path / "one") == everything(tmp_path / "two")
    expected = np.searchsorted(LABELS, label_map(seed=22)[:, :, 2].T)
    np.testing.assert_array_equal(mask_of(tmp_path / "two", "img0022_z002"), expected)


def test_nnunets_images_have_the_number_of_a_channel(tmp_path):
    store(tmp_path / "imagesTr/case_7_0000.nii.gz", volume())
    store(tmp_path / "labelsTr/case_7.nii.gz", np.searchsorted(LABELS, label_map()).astype("u1"))
    run(tmp_path / "s", tmp_path, "--to", tmp_path / "root", *ORGANS)
    assert [entry.name for entry in record.read(tmp_path / "root")] == ["case_7_0000"]
    store(tmp_path / "imagesTr/case_7_0001.nii.gz", volume())
    with pytest.raises(InputError, match=r"1 of 2 images have no mask: case_7_0001.nii.gz"):
        run(tmp_path / "s", tmp_path, "--dry-run", *ORGANS)


def test_a_name_ends_before_nii_gz(tmp_path):
    """The public case: a.1.2.nii.gz is a.1.2."""
    store(tmp_path / "in/a.1.2.nii.gz", volume())
    store(tmp_path / "in/a.1.2_seg.NII", label_map())
    run(tmp_path / "s", tmp_path / "in", "--to", tmp_path / "root", *ORGANS[:1], "any", *ORGANS[2:])
    assert [entry.name for entry in record.read(tmp_path / "root")] == ["a.1.2"]
    assert (tmp_path / "root/train/masks/a.1.2_z003.png").exists()


def test_two_volumes_of_one_name_are_refused(tmp_path):
    store(tmp_path / "in/a.nii", volume())
    store(tmp_path / "in/a.nii.gz", volume())
    with pytest.raises(InputError, match=r"a.nii and .*a.nii.gz: two images of one stem"):
        run(tmp_path / "s", tmp_path / "in", "--dry-run", "--unmasked-to-test", "--window=0,1")
