"""What a stage costs, as a sum of terms that grow with images, pixels and folds; fitted, and extrapolated.

CPU seconds and peak memory, not wall time: they hardly depend on what else the machine does.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

TEST_SHARE = 0.1  # test images for each training image
DEALT = 5  # folds


class Setting(NamedTuple):
    """The size of a data set and of what is done with it."""

    images: int  # for training
    native: float  # million px of an image
    network: float  # million px of what the network sees of it
    folds: int = 1  # that are trained, of DEALT
    epochs: int = 2

    @property
    def test(self) -> int:
        return max(2, round(TEST_SHARE * self.images))

    @property
    def all(self) -> int:
        return self.images + self.test

    @property
    def held_out(self) -> float:
        """Images that one fold holds out."""
        return self.images / DEALT


CACHED = "network Mpx of all"  # train.cache: 3 bytes of a px's image and 1 of its mask
KNOWN = {CACHED: 4e6 / 2**20}  # MB; too little of all to be fitted, and the first to grow
Terms = dict[str, float]  # what a cost grows with -> how much of it a setting has


def work(stage: str, s: Setting) -> Terms:
    """What the CPU seconds of a stage grow with, of one fold where the stage has folds."""
    learnt, scored = s.images - s.held_out, s.folds * s.held_out
    return {"one": 1.0} | {
        "decode": {"image": s.all, "native Mpx": s.all * s.native},
        "resize": {"image": s.all, "native Mpx": s.all * s.native, "network Mpx": s.all * s.network},
        "normalize": {"image": s.all, "network Mpx": s.all * s.network},
        "split": {"image": s.images},
        "train": {"image": s.images, "learnt Mpx": s.epochs * learnt * s.network},
        "predict": {"image": s.held_out + s.test, "network Mpx": (s.held_out + s.test) * s.network},
        "calibrate": {"image": s.images, "native Mpx": s.images * s.native},
        "evaluate": {"image": scored, "native Mpx": scored * s.native, "map": s.folds * s.test},
        "submit": {"image": s.test, "native Mpx": s.test * s.native, "map": s.folds * s.test},
        "dvc": {"file": 4 * s.images + 2 * s.test, "network Mpx": 2 * s.all * s.network},
        "dvc, nothing to do": {"file": 4 * s.images + 2 * s.test},
    }.get(stage, {})


def memory(stage: str, s: Setting) -> Terms:
    """What the peak memory of a stage grows with: what is held of all images, and what of one."""
    one = {"one": 1.0, "image": float(s.all)}
    return one | {
        "decode": {"native Mpx of one": s.native, "native Mpx of all": s.all * s.native},  # all: RLEs
        "resize": {"native Mpx of one": s.native},
        "normalize": {"network Mpx of one": s.network},
        "train": {"network Mpx of one": s.network, CACHED: s.images * s.network},
        "predict": {"network Mpx of one": s.network},
        "calibrate": {"native Mpx of one": s.native},
        "evaluate": {"native Mpx of one": s.native},
        "submit": {"native Mpx of one": s.native, "native Mpx of all": s.test * s.native},  # all: RLEs
    }.get(stage, {})


class Fit(NamedTuple):
    """Coefficients of terms, none below 0, and the largest relative error at what was measured."""

    coefficients: Terms
    error: float

    def at(self, terms: Terms) -> float:
        """The cost of these terms."""
        return sum(self.coefficients[name] * amount for name, amount in terms.items())


def fit(rows: Sequence[Terms], costs: Sequence[float]) -> Fit:
    """Least squares of the relative errors: a small setting counts as much as a large one.

    Terms of KNOWN are taken as they are.
    """
    known = {name: KNOWN[name] for name in rows[0] if name in KNOWN}
    names = [name for name in rows[0] if name not in known]
    table, target = np.array([[row[name] for name in names] for row in rows]), np.array(costs)
    target -= [sum(known[name] * row[name] for name in known) for row in rows]
    scale = table.max(axis=0)
    solution, _ = nnls(table / scale / target[:, None], np.ones(len(target)))
    error = float(np.abs(table / scale @ solution / target - 1).max())
    return Fit(dict(zip(names, (solution / scale).tolist(), strict=True)) | known, error)


def formula(found: Fit, digits: int = 2) -> str:
    """A fit in words, the terms that are not 0."""
    terms = [
        f"{value:.{digits}g}" + ("" if name == "one" else f" per {name}")
        for name, value in found.coefficients.items()
        if value > 0
    ]
    return " + ".join(terms) or "0"


def fit_all(
    measured: Mapping[str, Mapping[Setting, tuple[float, float]]],
) -> dict[str, tuple[Fit, Fit]]:
    """For each stage the fits of its CPU seconds and of its peak memory (MB)."""
    found = {}
    for stage, by_setting in measured.items():
        seconds, peaks = zip(*by_setting.values(), strict=True)
        found[stage] = (
            fit([work(stage, setting) for setting in by_setting], seconds),
            fit([memory(stage, setting) for setting in by_setting], peaks),
        )
    return found
