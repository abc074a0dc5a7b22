"""The second paper's claims on scores of our own: what holds, what does not, and what nobody can tell."""

import numpy as np
import pandas as pd
import pytest

from ftu.errors import InputError
from ftu_tools.studies import second_paper_claims
from ftu_tools.studies.second_paper import CLAIMS

IMAGES = [f"{number:03d}" for number in range(12)]


def scored(means, seeds=(42,), spread=0.001):
    """Every variant's Dice of each image and seed, about its mean; some images are easy for all."""
    rng, rows = np.random.default_rng(0), []
    ease = dict(zip(IMAGES, rng.normal(0, 0.05, len(IMAGES)), strict=True))
    for mode, mean in means.items():
        for seed in seeds:
            noise = rng.normal(0, spread, len(IMAGES))
            rows += [
                ("effect", mode, seed, name, mean + ease[name] + one)
                for name, one in zip(IMAGES, noise, strict=True)
            ]
    return pd.DataFrame(rows, columns=["model", "mode", "seed", "id", "dice"])


def of(text, better, worse):
    (line,) = [line for line in text.splitlines() if line.startswith(f"- {better} above {worse} (")]
    return line


def test_a_difference_beyond_its_interval_is_told_both_ways_and_a_small_one_is_not():
    above = second_paper_claims.report(scored({"none": 0.5, "low_resolution": 0.6, "noise": 0.6}), "em-ssl")
    assert "Here: **holds** (+0.100, " in of(above, "low_resolution", "none")
    assert "Here: **cannot be told**" in of(above, "low_resolution", "noise")
    assert "Here: **not run**." in of(above, "low_resolution", "pixel_dropout")
    below = second_paper_claims.report(scored({"none": 0.6, "low_resolution": 0.5}), "em-ssl")
    assert "Here: **does not hold** (-0.100, " in of(below, "low_resolution", "none")
    assert "over 12 images, one seed, whose chance is not counted)" in of(below, "low_resolution", "none")


def test_seeds_that_disagree_leave_it_open():
    table = scored({"none": 0.5, "low_resolution": 0.55}, seeds=(42, 43))
    table.loc[(table["seed"] == 43) & (table["mode"] == "none"), "dice"] += 0.09
    said = of(second_paper_claims.report(table, "em-ssl"), "low_resolution", "none")
    assert "Here: **cannot be told**" in said
    assert "over 12 images and 2 seeds" in said


def test_its_own_numbers_stand_beside_ours():
    text = second_paper_claims.report(
        scored({"none": 0.5, "pixel_dropout": 0.6, "none, longer": 0.7}), "em-ssl"
    )
    assert "its own numbers: open" in of(text, "pixel_dropout", "none")
    assert "| pixel_dropout | 0.6" in text
    assert "| 0.861 ± 0.011 |" in text
    assert text.rstrip().endswith("| - |")  # a control of ours, which the paper has not


def test_claims_of_another_direction_are_said_to_be_put_to_these_images():
    """The paper has matching above CLAHE one way, and CLAHE above matching the other."""
    found = scored({"Attention U-Net, matching": 0.6, "Attention U-Net, CLAHE": 0.5})
    text = second_paper_claims.report(found, "em-adapt")
    assert text.count("Here: **holds**") == text.count("Here: **does not hold**") == 1
    assert "put to the images of these runs, whichever of its data sets, or which way between two" in text


def test_every_claim_belongs_to_one_study():
    found = [claim for study in second_paper_claims.STUDIES for claim in second_paper_claims.claims_of(study)]
    assert sorted(map(id, found)) == sorted(map(id, CLAIMS))


def test_variants_of_other_names_are_refused_before_anything_runs():
    second_paper_claims.check("em-ssl", ["none", "noise"])
    with pytest.raises(InputError, match=r"CLAIMS em-ssl: none of its claims .* call them .*low_resolution"):
        second_paper_claims.check("em-ssl", ["none", "nois"])
