"""Azimuth consistency: exact azimuths, chance, flips, and what is missing."""

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation_support import make_chips, make_comparison
from geodiff_sar.evaluation.metrics.azimuth_consistency import AzimuthConsistency, flipped


def measure(requested, read):
    chips = make_chips(len(requested), 0, "c", azimuth_deg=np.asarray(requested, dtype=float))
    comparison = replace(make_comparison(chips, count=8), azimuth_deg=np.asarray(read, dtype=float))
    measurement = AzimuthConsistency().measure(comparison)
    return {(s.quantity, s.group): s for s in measurement.scores}, measurement.details


def test_exact_azimuths():
    azimuth = np.arange(0, 360, 7.5)
    found, details = measure(azimuth, (azimuth + 360.0) % 360.0)
    assert found["median_error_deg", "all"].value == 0.0
    assert found["share_within_5_deg", "all"].value == 1.0
    assert found["share_within_5_deg", "all"].low < 1.0
    assert found["flip_share", "all"].value == 0.0
    assert details["error_deg"] == [0.0] * 48
    assert details["requested_deg"] == azimuth.tolist()
    assert details["ids"][3] == "c-0003"


def test_errors_go_round_the_circle():
    found, details = measure([359.0, 2.0, 180.0, 90.0], [1.0, 358.0, 176.0, 75.0])
    assert details["error_deg"] == pytest.approx([2.0, 4.0, 4.0, 15.0])
    assert found["share_within_5_deg", "all"].value == 0.75
    assert found["share_within_20_deg", "all"].value == 1.0
    assert found["median_error_deg", "azimuth: 330-360"].value == pytest.approx(2.0)
    assert found["median_error_deg", "azimuth: 0-30"].n == 1
    assert ("median_error_deg", "azimuth: 30-60") not in found
    assert found["median_error_deg", "target: tank"].n == 2


def test_flips_are_counted_apart():
    requested = np.arange(0, 360, 10.0)
    read = requested.copy()
    read[:9] += 180.0 + np.linspace(-19, 19, 9)
    found, _ = measure(requested, read % 360.0)
    assert found["flip_share", "all"].value == pytest.approx(9 / 36)
    assert found["median_error_mod_180_deg", "all"].value == 0.0
    assert found["share_within_20_deg", "all"].value == pytest.approx(27 / 36)
    assert flipped(np.array([159.9, 160.0, 180.0])).tolist() == [False, True, True]


def test_shuffled_azimuths_are_at_chance():
    rng = np.random.default_rng(0)
    comparison = make_comparison(count=8)
    many = comparison.candidate.take(np.arange(4000) % 2)
    requested = rng.uniform(0, 360, 4000)
    many = replace(many, azimuth_deg=requested)
    features = np.zeros((4000, comparison.reference_features.shape[1]), dtype=np.float32)
    read = rng.permutation(requested)
    comparison = replace(comparison, candidate=many, azimuth_deg=read, candidate_features=features)
    found = {s.quantity: s for s in AzimuthConsistency().measure(comparison).scores if s.group == "all"}
    chance = {"share_within_5_deg": 5 / 180, "share_within_10_deg": 10 / 180, "share_within_20_deg": 20 / 180}
    for quantity, share in {**chance, "flip_share": 20 / 180}.items():
        assert found[quantity].value == pytest.approx(share, abs=3.5 * math.sqrt(share / 4000))
        assert f"{100 * share:.1f} % by chance" in found[quantity].note
    assert found["median_error_deg"].value == pytest.approx(90, abs=4)
    assert found["median_error_mod_180_deg"].value == pytest.approx(45, abs=2)


def test_missing_azimuths_and_missing_estimator():
    requested = [0.0, math.nan, 90.0]
    found, details = measure(requested, [1.0, 50.0, 91.0])
    assert found["median_error_deg", "all"].n == 2
    assert "1 chips without requested azimuth" in found["median_error_deg", "all"].note
    assert details["requested_deg"] == [0.0, 90.0]
    found, details = measure([math.nan] * 3, [1.0, 50.0, 91.0])
    assert math.isnan(found["median_error_deg", "all"].value)
    assert found["median_error_deg", "all"].note == "no chip has a requested azimuth"
    without = replace(make_comparison(count=8), azimuth_deg=None)
    assert all(math.isnan(s.value) and s.note for s in AzimuthConsistency().measure(without).scores)
