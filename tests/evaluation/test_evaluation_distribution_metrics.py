"""Distribution metrics on chips: what they see, what they cannot, and known answers of precision and its kin."""

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation_support import make_chips, make_comparison
from geodiff_sar.evaluation.base import CONTROLS, Comparison, Score
from geodiff_sar.evaluation.cells import cells_by_target, cells_by_target_and_azimuth
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.metrics.density_coverage import expected_coverage
from geodiff_sar.evaluation.neighbourhoods import NEIGHBOURS

DISTRIBUTION = sorted(name for name in METRICS.names() if METRICS.get(name).family == "distribution")


def scores(name: str, comparison: Comparison) -> dict[str, Score]:
    return {s.quantity: s for s in METRICS.get(name)().measure(comparison).scores if s.group == "all"}


def with_features(candidate, reference, **more) -> Comparison:
    """A comparison of these vectors; chips are as many."""
    base = make_comparison(make_chips(len(candidate), 1, "c"), make_chips(len(reference), 2, "r"), count=8)
    common = min(len(candidate), len(reference))
    features = {"candidate_features": np.float32(candidate), "reference_features": np.float32(reference)}  # (N, D)
    return replace(base, common_n=common, **features, **more)


@pytest.fixture(scope="module")
def rows() -> dict[str, Comparison]:
    reference = make_chips(240, 1, "reference")
    control = make_chips(240, 2, "control")
    return {name: make_comparison(chips, reference, name, count=8) for name, chips in control_rows(control, 0)}


@pytest.mark.parametrize("name", DISTRIBUTION)
def test_sees_what_it_claims_and_clearly(name, rows):
    metric = METRICS.get(name)
    assert set(rows) == set(CONTROLS)
    good = scores(name, rows["real half"])
    for control in CONTROLS[1:]:
        bad = scores(name, rows[control])
        for quantity, score in good.items():
            if not score.headline or control not in (metric.sees if score.sees is None else score.sees):
                continue
            sign = 1 if score.direction == "lower" else -1
            assert sign * (bad[quantity].value - score.value) > 0, (control, quantity)
            if score.low is not None:
                apart = bad[quantity].low > score.high if sign > 0 else bad[quantity].high < score.low
                assert apart, (control, quantity, score, bad[quantity])


def test_real_halves_cover_zero(rows):
    for quantity in ("kid", "kid_within_class", "kid_within_class_and_azimuth"):
        score = scores("kid", rows["real half"])[quantity]
        assert score.low < 0 < score.high, score
    assert scores("kid", rows["real half"])["kid_p_value"].value > 0.02
    assert scores("kid", rows["noise"])["kid_p_value"].value == pytest.approx(1 / 500)


def test_labels_do_not_sway_what_does_not_claim_to_see_them(rows):
    for control in ("azimuth-shuffled", "class-shuffled"):
        for name in DISTRIBUTION:
            good, bad = scores(name, rows["real half"]), scores(name, rows[control])
            for quantity in set(good) - {"kid_within_class", "kid_within_class_and_azimuth"}:
                assert good[quantity].value == bad[quantity].value


def test_kid_of_each_target_and_of_thin_cells(rows):
    groups = {s.group for s in METRICS.get("kid")().measure(rows["real half"]).scores}
    assert groups == {"all", "target: tank", "target: truck"}
    few = scores("kid", make_comparison(count=30))
    assert math.isnan(few["kid_within_class"].value)
    assert "none of 2 targets has 20 chips" in few["kid_within_class"].note


def test_cells():
    reference = make_chips(6, 0, "r", azimuth_deg=np.array([0, 59.9, 60, 359, 10, np.nan]))
    candidate = make_chips(4, 1, "c", azimuth_deg=np.array([30, 400, 61, 130]))
    assert [(c.label, len(c.reference), len(c.candidate)) for c in cells_by_target(reference, candidate)] == [
        ("tank", 3, 2),
        ("truck", 3, 2),
    ]
    cells = {
        c.label: (c.reference.tolist(), c.candidate.tolist()) for c in cells_by_target_and_azimuth(reference, candidate)
    }
    assert cells == {
        "tank, 0-60 deg": ([0, 4], [0]),
        "tank, 60-120 deg": ([2], [2]),
        "truck, 0-60 deg": ([1], [1]),
        "truck, 300-360 deg": ([3], []),
    }


def test_common_number_of_chips():
    rng = np.random.default_rng(0)
    full = with_features(rng.standard_normal((60, 4)), rng.standard_normal((60, 4)))
    fewer = replace(full, common_n=30)
    assert scores("fid", full)["fid"].n == 60
    assert scores("fid", fewer)["fid"].n == 30
    assert "biased below 2,048 chips: n = 30" in scores("fid", fewer)["fid"].note
    assert scores("precision_recall", fewer)["precision"].n == 30
    assert scores("kid", fewer)["kid"].n == 60


def test_precision_and_recall_of_a_collapsed_set():
    rng = np.random.default_rng(1)
    real = np.concatenate([rng.standard_normal((100, 3)), 50 + rng.standard_normal((100, 3))])
    one_mode = rng.standard_normal((200, 3))
    found = scores("precision_recall", with_features(one_mode, real))
    assert found["precision"].value > 0.8
    assert found["recall"].value == pytest.approx(0.5, abs=0.06)
    covered = scores("density_coverage", with_features(one_mode, real))
    assert covered["coverage"].value == pytest.approx(0.5, abs=0.02)


def test_far_away_is_zero_and_identical_is_one():
    rng = np.random.default_rng(2)
    real = rng.standard_normal((50, 4))
    far, same = with_features(real + 100, real), with_features(real, real)
    for name in ("precision_recall", "density_coverage"):
        assert all(s.value == 0.0 for s in scores(name, far).values())
    assert all(s.value == 1.0 for s in scores("precision_recall", same).values())
    # Every chip counts itself as well as those whose k nearest it is among: k + 1 on the average.
    assert scores("density_coverage", same)["density"].value == pytest.approx((NEIGHBOURS + 1) / NEIGHBOURS)


def test_density_and_coverage_of_equal_distributions():
    rng = np.random.default_rng(3)
    found = [scores("density_coverage", with_features(*rng.standard_normal((2, 80, 5)))) for _ in range(12)]
    assert np.mean([f["coverage"].value for f in found]) == pytest.approx(expected_coverage(80, 80), abs=0.015)
    assert np.mean([f["density"].value for f in found]) == pytest.approx(1.0, abs=0.1)


def test_cmmd_in_the_space_of_clip_uses_the_published_bandwidth():
    rng = np.random.default_rng(4)
    comparison = with_features(rng.standard_normal((30, 8)) + 1.0, rng.standard_normal((30, 8)))
    published = scores("cmmd", replace(comparison, space="clip 0123abcd"))["cmmd"]
    adapted = scores("cmmd", comparison)["cmmd"]
    assert "bandwidth 10, as published" in published.note
    assert "median distance" in adapted.note
    # exp(-t / 200) is nearly linear: MMD^2 of unit vectors is |difference of means|^2 / 100.
    x, y = (
        f / np.linalg.norm(f, axis=1, keepdims=True)
        for f in (comparison.candidate_features, comparison.reference_features)
    )
    trace = x.var(axis=0, ddof=1).sum() / 30 + y.var(axis=0, ddof=1).sum() / 30
    expected = 10.0 * (np.sum((x.mean(0) - y.mean(0)) ** 2) - trace)
    assert published.value == pytest.approx(expected, rel=0.03)


def test_equal_features_have_no_bandwidth():
    same = with_features(np.ones((10, 3)), np.ones((10, 3)))
    assert math.isnan(scores("cmmd", same)["cmmd"].value)
    assert scores("fid", same)["fid"].value == 0.0
    kid = scores("kid", same)["kid"]
    assert (kid.low, kid.value, kid.high) == (0.0, 0.0, 0.0)
