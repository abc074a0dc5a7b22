"""Test-time augmentation and ensemble weights, chosen on out-of-fold predictions.

Both are chosen for all images at once, because one submission has one ensemble: first the set of views, with
the parameters' weights, then the weights.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tqdm import tqdm

from ftu.calibration.dice_curves import Curves, Sizes, curves, grid, on_grid
from ftu.calibration.held_out import Held
from ftu.files import png
from ftu.pipeline.workers.pool import Pool
from ftu.probabilities import ensemble, map_file
from ftu.probabilities.ensemble import Experiment
from ftu.probabilities.mean import Mean, native_probability

ROUNDS = 10

Bag = tuple[int, ...]  # how often each experiment is in


class Mixture(NamedTuple):
    """One set of views, and a weight for each experiment."""

    tta: str
    weights: tuple[float, ...]

    def of(self, experiments: Sequence[Experiment]) -> list[Experiment]:
        """The experiments, weighed so."""
        pairs = zip(experiments, self.weights, strict=True)
        return [experiment._replace(tta=self.tta, weight=weight) for experiment, weight in pairs]


def greedy(value: Callable[[Sequence[Bag]], Sequence[float]], members: int) -> Bag:
    """The best bag of ROUNDS greedy rounds, each of which adds the member that helps most, again or anew.

    `value` scores bags. All rounds are made, since a mixture may first get worse; the first of equals wins.
    Source: Caruana et al., Ensemble selection from libraries of models, ICML 2004,
    doi:10.1145/1015330.1015432.
    """
    bag, best, found = (0,) * members, -math.inf, (0,) * members
    for _ in range(ROUNDS):
        bags = [tuple(count + (k == member) for k, count in enumerate(bag)) for member in range(members)]
        values = value([_simplest(one) for one in bags])
        bag = bags[max(range(members), key=values.__getitem__)]
        if max(values) > best:
            best, found = max(values), _simplest(bag)
    return found


def shares(bag: Bag) -> tuple[float, ...]:
    """The weights that a bag stands for; they add up to 1 but for rounding."""
    return tuple(round(count / sum(bag), 6) for count in bag)


class Measured:
    """The curves of all cases for any mixture, each measured once: outer folds ask for much the same."""

    def __init__(
        self, cases: Sequence[Held], experiments: Sequence[Experiment], *, mean: Mean, pool: Pool
    ) -> None:
        self.cases, self.experiments, self.pool = cases, experiments, pool
        self.mean: Mean = mean
        self._known: dict[tuple[Mixture, Sizes], list[Curves]] = {}

    def of(self, mixtures: Sequence[Mixture], sizes: Sizes) -> list[list[Curves]]:
        """For each mixture the curves of each case; what is new is measured in one pass over the images."""
        new = [one for one in dict.fromkeys(mixtures) if (one, sizes) not in self._known]
        if new:
            count = len(self.cases)
            rows = self.pool.each(
                measure,
                self.cases,
                [[one.of(self.experiments) for one in new]] * count,
                [self.mean] * count,
                [sizes] * count,
                doing="measure",
            )
            for one, column in zip(new, zip(*rows, strict=True), strict=True):
                self._known[one, sizes] = list(column)
        return [self._known[one, sizes] for one in mixtures]


def measure(case: Held, mixtures: Sequence[Sequence[Experiment]], mean: Mean, sizes: Sizes) -> list[Curves]:
    """The curves of one case, for each of several mixtures."""
    native = png.read_mask(case.truth)
    height, width = grid(*native.shape)
    truth = on_grid(native, (height, width))
    pixel_size = case.pixel_size * (native.size / truth.size) ** 0.5
    found = []
    for experiments in mixtures:
        groups = ensemble.groups(experiments, case.part, case.id)
        probability = native_probability(groups, height=height, width=width, mean=mean)[0]
        found.append(curves(probability, truth, pixel_size=pixel_size, sizes=sizes))
    return found


def check(cases: Sequence[Held], experiments: Sequence[Experiment], sets: Sequence[str]) -> None:
    """Raise InputError unless every experiment has whole maps of every case in every set of views."""
    due = [
        (experiment._replace(tta=tta), case) for experiment in experiments for tta in sets for case in cases
    ]
    for experiment, case in tqdm(due, desc="check maps", disable=None):
        for path in experiment.maps(case.part, case.id):
            map_file.check(path)


def _simplest(bag: Bag) -> Bag:
    """The smallest bag with the same shares."""
    return tuple(count // math.gcd(*bag) for count in bag)
