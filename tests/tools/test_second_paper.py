"""The second paper's claims: Welch's t by hand, which of them its numbers bear, and the page."""

import math

import pytest

from ftu.training.pretraining.corruptions import CORRUPTIONS
from ftu_tools.studies import second_paper
from ftu_tools.studies.second_paper import CLAIMS, PRETRAINED, Claim, Score, verdict, welch
from imports import ROOT

# Reckoned by another hand from the paper's tables.
KNOWN = {
    ("Attention U-Net", "U-Net"): 1.2,
    ("Attention U-Net", "UNETR Mini"): 16.7,
    ("Attention U-Net", "YNETR Small"): 4.0,
    ("YNETR Mini", "U-Net"): 6.1,
    ("32", "16"): 1.7,
    ("32", "64"): 0.5,
    ("He", "batch norm"): 0.8,
    ("pixel_dropout", "none"): 1.5,
    ("low_resolution", "none"): 4.6,
    ("low_resolution", "noise"): 1.1,
    ("low_resolution", "pixel_dropout"): 3.6,
    ("Attention U-Net, matching", "Attention U-Net, CLAHE"): 2.8,
    ("Attention U-Net, matching", "Attention Y-Net, matching"): 0.7,
    ("Attention U-Net, CLAHE", "Attention U-Net, matching"): 5.4,
    ("Attention Y-Net, matching", "DAMT-Net"): 4.3,
}
OPEN = [pair for pair, t in KNOWN.items() if t < 2]


def test_t_is_that_of_other_hands_and_says_what_is_open():
    found = {(claim.better, claim.worse): claim for claim in CLAIMS}
    assert set(KNOWN) <= set(found)
    for pair, expected in KNOWN.items():
        claim = found[pair]
        assert welch(claim.table[claim.better], claim.table[claim.worse])[0] == pytest.approx(
            expected, abs=0.06
        )
        assert verdict(claim) == ("open" if pair in OPEN else "borne out")


def test_t_by_hand():
    t, chance = welch(Score(0.9, 0.03), Score(0.8, 0.04))
    assert t == pytest.approx(0.1 / math.sqrt((0.03**2 + 0.04**2) / 10))
    assert 0 < chance < 0.001


def test_a_claim_the_wrong_way_round_is_contradicted():
    assert verdict(Claim("", PRETRAINED, "none", "low_resolution")) == "contradicted"


def test_every_task_of_pre_training_is_a_claim():
    assert {claim.better for claim in CLAIMS if claim.worse == "none"} == set(CORRUPTIONS)


def test_the_committed_page_is_that_of_the_code():
    assert (ROOT / second_paper.PAGE).read_text(encoding="utf-8") == second_paper.page(), "make docs"
