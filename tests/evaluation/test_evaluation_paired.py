"""Means, medians and differences over seeds and blocks of views, and the kernel distance chip by chip."""

import numpy as np
import pytest
from scipy.stats import t

from evaluation_support import BlockMeans, make_chips
from geodiff_sar.evaluation.kernels import cubic_kernel
from geodiff_sar.evaluation.kid_values import kid_values
from geodiff_sar.evaluation.mmd import discrepancy
from geodiff_sar.evaluation.paired import (
    SHARE,
    SHARE_DIFFERENCE,
    blocks_of,
    mean_difference,
    mean_estimate,
    median_difference,
    median_estimate,
)


def test_blocks_are_targets_and_azimuths():
    blocks = blocks_of(["a", "a", "b", "a", "a"], np.array([1.0, 9.9, 1.0, 10.0, 361.0]), 10.0)
    assert blocks.tolist() == [0, 0, 2, 1, 0]


def test_one_seed_is_students_interval_over_blocks():
    values = np.array([[1.0, 3.0, 5.0, 7.0, 2.0, 6.0]])
    found = mean_estimate(values, np.array([0, 0, 1, 1, 2, 2]))
    means = np.array([2.0, 6.0, 4.0])
    half = t.ppf(0.975, 2) * means.std(ddof=1) / 3**0.5
    assert found.value == pytest.approx(4.0)
    assert (found.low, found.high) == pytest.approx((4.0 - half, 4.0 + half))
    assert found.n == 6


def test_the_mean_is_that_of_views_whatever_the_sizes_of_blocks():
    rng = np.random.default_rng(0)
    values, blocks = rng.normal(size=(3, 40)), rng.integers(0, 7, 40)
    found = mean_estimate(values, blocks)
    assert found.value == pytest.approx(values.mean())
    assert found.per_seed == pytest.approx(values.mean(axis=1))


def test_a_constant_difference_is_found_without_width():
    rng = np.random.default_rng(1)
    before, blocks = rng.normal(size=(3, 60)), np.arange(60) // 5
    found = mean_difference(before + 0.25, before, blocks)
    assert (found.value, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))
    both = median_difference(before + 0.25, before, blocks, 0)
    assert (both.value, both.low, both.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_known_difference_of_shares():
    before = np.zeros((2, 40))
    after = before.copy()
    after[:, ::4] = 1.0
    found = mean_difference(after, before, np.arange(40) // 4, SHARE_DIFFERENCE)
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == pytest.approx((0.25 - 3 / 40, 0.25 + 3 / 40))  # every block has the same share


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_where_blocks_fail_together(seeds):
    rng = np.random.default_rng(4)
    blocks = np.repeat(np.arange(24), 10)
    inside = 0
    for _ in range(600):
        of_seed, of_block = rng.normal(0, 0.1 if seeds > 1 else 0.0, (seeds, 1)), rng.normal(0, 0.5, 24)[blocks]
        values = 1.0 + of_seed + of_block + rng.normal(0, 0.5, (seeds, 240))
        found = mean_estimate(values, blocks)
        inside += found.low <= 1.0 <= found.high
    assert 0.925 <= inside / 600 <= 0.99


def test_shares_without_a_miss_keep_a_width_and_stay_within_bounds():
    found = mean_estimate(np.ones((2, 50)), np.arange(50) // 10, SHARE)
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low == pytest.approx(1 - 3 / 50)


def test_views_that_cannot_be_measured_are_left_out():
    values = np.array([[1.0, np.nan, 3.0, 5.0], [1.0, 2.0, 3.0, 5.0]])
    assert mean_estimate(values, np.arange(4)).value == pytest.approx(3.0)
    nothing = mean_estimate(np.full((2, 3), np.nan), np.arange(3))
    assert nothing.n == 0
    assert np.isnan(nothing.value)


def test_median_with_its_interval():
    rng = np.random.default_rng(3)
    values = rng.exponential(size=(3, 400))
    found = median_estimate(values, np.arange(400) // 10, 0)
    assert found.value == pytest.approx(float(np.median(values)))
    assert found.low < np.log(2) < found.high


def test_kid_values_have_the_kid_as_their_mean():
    space = BlockMeans()
    candidate, reference = (space.extract(make_chips(n, seed).amplitude) for n, seed in ((25, 1), (30, 2)))
    values = kid_values(candidate, reference)
    pairs = ((candidate, candidate), (reference, reference), (candidate, reference))
    grams = [cubic_kernel(*pair) for pair in pairs]
    assert values.mean() == pytest.approx(discrepancy(*grams).value, rel=1e-9)
    rest = kid_values(candidate[1:], reference).mean()
    assert values[0] == pytest.approx(25 * values.mean() - 24 * rest, rel=1e-9)
