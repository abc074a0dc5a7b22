"""The paper's claims on differences whose reaches are known."""

import math

import pytest

from ftu_tools.studies import switched_aux
from ftu_tools.studies.statistics import UNKNOWN, Estimate, Interval
from ftu_tools.studies.switched_aux import Contrasts, judge, movement


def known(low: float, high: float) -> Estimate:
    """Of one seed: its reach is its interval over images."""
    return Estimate((low + high) / 2, Interval(low, high), UNKNOWN, {42: (low + high) / 2}, 10)


def contrasts(
    switched_none: Estimate | None,
    switched_single: Estimate | None = None,
    single_none: Estimate | None = None,
    kind: switched_aux.Kind = "transformer",
) -> Contrasts:
    return Contrasts(kind, switched_none, switched_single, single_none)


NOTHING = known(0.0, 0.0)


@pytest.mark.parametrize(
    ("switched", "single", "expected"),
    [
        (known(-0.03, -0.01), NOTHING, (0.01, 0.03)),  # a loss moves as far as a gain
        (NOTHING, known(-0.03, -0.01), (0.01, 0.03)),
        (known(0.01, 0.02), known(-0.05, -0.04), (0.04, 0.05)),  # the larger counts
        (known(0.01, 0.05), known(0.02, 0.03), (0.02, 0.05)),  # at each end
        (known(-0.01, 0.03), NOTHING, (0.0, 0.03)),  # perhaps it did not move
        (known(-0.04, 0.03), NOTHING, (0.0, 0.04)),
        (known(0.01, 0.02), None, (0.01, math.inf)),  # of what was not run anything may be
    ],
)
def test_a_movement_is_the_larger_of_two_distances(switched, single, expected):
    assert movement(contrasts(switched, single_none=single)) == pytest.approx(expected)


ONE = known(0.006, 0.014)


@pytest.mark.parametrize(
    ("over_none", "over_single", "expected"),
    [
        (ONE, ONE, "holds"),
        (known(0.0055, 0.0145), ONE, "holds"),
        (known(0.0045, 0.0145), ONE, "cannot be told"),
        (known(0.0055, 0.0155), ONE, "cannot be told"),
        (known(0.016, 0.02), ONE, "does not hold"),
        (ONE, known(-0.02, 0.004), "does not hold"),
        (known(0.016, 0.02), None, "does not hold"),  # whatever the other would be
        (None, known(0.016, 0.02), "does not hold"),
        (ONE, None, "not run"),
        (None, ONE, "not run"),
        (known(0.0, 0.02), None, "not run"),
        (None, None, "not run"),
    ],
)
def test_about_one_percent_is_what_rounds_to_a_point_over_both(over_none, over_single, expected):
    judged = judge({"CoaT": contrasts(over_none, over_single)})["one percent"]
    assert judged.parts == {"CoaT": expected}


@pytest.mark.parametrize(
    ("transformer", "cnn", "expected"),
    [
        (known(0.03, 0.04), known(-0.02, -0.01), "holds"),
        (known(-0.04, -0.03), known(0.01, 0.02), "holds"),
        (known(0.01, 0.02), known(-0.04, -0.03), "does not hold"),
        (known(0.01, 0.03), known(0.02, 0.04), "cannot be told"),
    ],
)
def test_losses_count_as_movement_where_kinds_are_compared(transformer, cnn, expected):
    models = {
        "t": contrasts(transformer, single_none=NOTHING),
        "c": contrasts(cnn, single_none=NOTHING, kind="cnn"),
    }
    assert judge(models)["cnns less sensitive"].verdict == expected
