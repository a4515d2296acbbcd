"""The azimuth estimator on oriented bars, and the mean over a window of bins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.azimuth_network import AzimuthFit, AzimuthOptions, train_azimuth_estimator, windowed_mean
from geodiff_sar.evaluation.learning.heads import AzimuthHead
from learning_support import bar_chips


def test_the_azimuth_of_bars_is_recovered_and_kept(tmp_path: Path):
    chips, held = bar_chips(256, 0), bar_chips(64, 1)
    options = AzimuthOptions(bins=36, spread_deg=12.0, fit=AzimuthFit(steps=200, batch_size=32))
    estimator = train_azimuth_estimator(chips, options, tmp_path, seed=0)
    read = estimator.predict(held.amplitude)
    assert ((read >= 0) & (read < 360)).all()
    assert np.median(circular_distance(read, held.azimuth_deg)) < 8.0
    again = train_azimuth_estimator(chips, options, tmp_path, seed=0)
    assert again.fingerprint == estimator.fingerprint
    assert np.array_equal(again.predict(held.amplitude), read)


@pytest.mark.parametrize("azimuth", [0.0, 2.5, 123.4, 357.5, 359.9])
def test_the_mean_of_a_target_distribution_is_its_azimuth(azimuth: float):
    weight = AzimuthHead(72, 6.0).targets(np.array([0]), np.array([azimuth]))
    assert circular_distance(windowed_mean(weight, 6), np.array([azimuth]))[0] < 0.3


def test_two_opposite_peaks_give_the_higher_and_not_what_lies_between():
    both = AzimuthHead(72, 6.0).targets(np.array([0, 0]), np.array([40.0, 220.0]))
    read = windowed_mean((0.6 * both[0] + 0.4 * both[1])[None], 3)
    assert circular_distance(read, np.array([40.0]))[0] < 1.0


def test_chips_without_azimuth_and_too_few_chips_are_refused():
    chips = bar_chips(30, 0)
    missing = chips.azimuth_deg.copy()
    missing[3] = np.nan
    with pytest.raises(DataError, match="bars-3"):
        train_azimuth_estimator(replace(chips, azimuth_deg=missing))
    with pytest.raises(DataError, match="at least 24"):
        train_azimuth_estimator(chips.take(range(10)))
