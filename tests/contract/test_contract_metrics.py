"""Every metric says what it is, and returns scores that keep the rules."""

import json
import math

import pytest

from evaluation_support import make_chips, make_comparison
from geodiff_sar.evaluation.base import CONTROLS, Measurement
from geodiff_sar.evaluation.metrics import METRICS

FAMILIES = {"distribution", "paired", "azimuth", "radar", "memorisation"}
DIRECTIONS = {"lower", "higher", "match"}


@pytest.fixture(scope="module")
def comparison():
    return make_comparison()


@pytest.mark.parametrize("name", METRICS.names())
def test_says_what_it_is(name):
    metric = METRICS.get(name)
    assert metric.__doc__
    assert len(metric.__doc__.split()) > 30, "formula, source, unit, direction and limits"
    assert metric.title
    assert metric.family in FAMILIES
    assert metric.sees <= set(CONTROLS[1:])


@pytest.mark.parametrize("name", METRICS.names())
def test_scores_keep_the_rules(name, comparison):
    measurement = METRICS.get(name)().measure(comparison)
    check(measurement)
    assert any(score.headline for score in measurement.scores)
    again = METRICS.get(name)().measure(comparison)
    assert repr(again.scores) == repr(measurement.scores), "the same draw again"


@pytest.mark.parametrize("name", METRICS.names())
def test_few_chips_do_not_break_it(name):
    check(METRICS.get(name)().measure(make_comparison(make_chips(3, 9, "few"))))


def check(measurement: Measurement) -> None:
    keys = [(score.quantity, score.group) for score in measurement.scores]
    assert len(keys) == len(set(keys)), "a quantity stands once per group"
    json.dumps(measurement.details)
    for score in measurement.scores:
        assert score.direction in DIRECTIONS
        assert score.unit
        assert score.n >= 0
        assert math.isfinite(score.value) or score.note, f"{score.quantity}: not measured, and no word why"
        assert not math.isinf(score.value)
        assert (score.low is None) == (score.high is None)
        if score.low is not None and score.high is not None:
            assert score.low <= score.value <= score.high
        assert score.sees is None or set(score.sees) <= set(CONTROLS[1:])
