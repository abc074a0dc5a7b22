"""What names seem to say: patterns that data.group and data.z take, or nothing where names are not plain."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftu.files import names
from ftu_tools.dataset import naming

PATIENTS = [f"patient{n:03}_frame{f:02}_slice_{z}" for n in (12, 13) for f in (1, 9) for z in (2, 5)]
STACK = ["lucchi_train_z005", "lucchi_train_z016", "lucchi_train_z027"]


@pytest.mark.parametrize(
    ("found", "groups", "volumes"),
    [
        (PATIENTS, {"patient012": 4, "patient013": 4}, 4),
        (STACK, {"lucchi_train": 3}, 1),
        (["heart_Z1", "heart_Z2", "liver_Z1"], {"heart": 2, "liver": 1}, 2),
        (["sub-rat1_a", "sub-rat3_a", "sub-rat3_b"], {"sub-rat1": 1, "sub-rat3": 2}, 0),
        (["case_00001 x", "case_00001 y", "case_2 x"], {"case_00001": 2, "case_2": 1}, 0),
    ],
)
def test_plain_names_say_who_belongs_together(found, groups, volumes):
    guess = naming.guess(found)
    assert guess.groups == Counter(groups)
    assert [not names.fault(told) for told in guess[:2] if told] == [True] * (1 + bool(volumes))
    if volumes:
        assert len({names.without(name, guess.z) for name in found}) == volumes
        assert all(re.search(guess.z, name) for name in found)


@pytest.mark.parametrize(
    "found",
    [
        ["001", "NA", "1e5"],
        ["fuzz1", "fuzz2"],  # ends in a z and a number, of nothing
        ["img_1", "img_2", "img_3"],
        ["001_a", "002_a"],  # each its own
        ["2020_1", "2020_2"],  # one group, and no slices
        ["heart_z1", "heart_z2", "photo"],
        ["heart_z1", "liver_z1"],  # a slice of each
        ["one"],
    ],
)
def test_names_that_say_nothing_of_all_images_are_not_read(found):
    assert naming.guess(found) == ("", "", {})


def test_test_images_have_to_be_slices_too_and_need_no_known_patient():
    assert naming.guess(STACK, ["photo"]) == ("", "", {})
    assert naming.guess(STACK, ["other_slice-7"]).z == naming.SLICE
    assert naming.guess(["sub-rat1_a", "sub-rat3_a", "sub-rat3_b"], ["photo"]).group == naming.SUBJECT


@given(st.lists(st.text("ab1z_- ", min_size=1, max_size=8), min_size=1, max_size=6, unique=True))
def test_a_guess_finds_a_value_in_every_name_and_joins_whole_volumes(found):
    group, z, groups = naming.guess(found)
    assert groups.total() == (len(found) if group else 0)
    assert group or not z
    if z:
        of = {name: re.search(group, name) for name in found}
        volumes = {name: names.without(name, z) for name in found}
        parted = {(volumes[name], match[1]) for name, match in of.items() if match}
        assert len(parted) == len(set(volumes.values()))
