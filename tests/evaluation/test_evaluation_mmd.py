"""The kernel distance: its closed form between Gaussians, and intervals that cover at their rate."""

import numpy as np
import pytest

from geodiff_sar.evaluation.kernels import cubic_kernel, gaussian_kernel, median_distance, unit_length
from geodiff_sar.evaluation.mmd import Discrepancy, discrepancy, mean_discrepancy, permutation_p_value

WIDTH = 24


def between(x, y) -> Discrepancy:
    return discrepancy(cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y))


def mean_cubic_kernel(m1, s1, m2, s2):
    """Mean of (x.y / d + 1)^3 over independent x ~ N(m1, s1), y ~ N(m2, s2), from their moments up to the third."""
    d, first = len(m1), m1 @ m2
    second = np.trace((s1 + np.outer(m1, m1)) @ (s2 + np.outer(m2, m2)))
    third = first**3 + 3 * (m1 @ s2 @ m1 + m2 @ s1 @ m2 + np.trace(s1 @ s2)) * first + 6 * (m2 @ s1 @ s2 @ m1)
    return third / d**3 + 3 * second / d**2 + 3 * first / d + 1


def gaussians(shift: float, stretch: float):
    """Two Gaussians with falling spectrum, and MMD^2 between them."""
    rng = np.random.default_rng(3)
    deviation = 1.6 / np.arange(1, WIDTH + 1) ** 0.6
    turn = np.linalg.qr(rng.standard_normal((WIDTH, WIDTH)))[0]
    first = np.full(WIDTH, 0.5)
    second = first + shift * turn[:, 1]
    root = turn * deviation
    s1, s2 = root @ root.T, stretch**2 * root @ root.T
    truth = (
        mean_cubic_kernel(first, s1, first, s1)
        + mean_cubic_kernel(second, s2, second, s2)
        - 2 * mean_cubic_kernel(first, s1, second, s2)
    )

    def draw(n: int, m: int, rng: np.random.Generator):
        x = first + rng.standard_normal((n, WIDTH)) @ root.T
        return x, second + stretch * rng.standard_normal((m, WIDTH)) @ root.T

    return draw, float(truth)


def test_closed_form_of_the_kernel_mean_is_that_of_many_draws():
    rng = np.random.default_rng(0)
    root = rng.standard_normal((3, 3)) * 0.4
    m1, m2 = rng.standard_normal(3), rng.standard_normal(3)
    x = m1 + rng.standard_normal((3000, 3)) @ root.T
    y = m2 + rng.standard_normal((3000, 3))
    expected = mean_cubic_kernel(m1, root @ root.T, m2, np.eye(3))
    assert cubic_kernel(x, y).mean() == pytest.approx(expected, rel=0.08)


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 1.0), (1.0, 1.0), (0.0, 1.3), (3.0, 1.0)])
def test_unbiased_and_interval_covers_the_closed_form(shift, stretch):
    draw, truth = gaussians(shift, stretch)
    rng = np.random.default_rng(1)
    runs = 400
    found = [between(*draw(60, 90, rng)) for _ in range(runs)]
    values = np.array([f.value for f in found])
    assert abs(values.mean() - truth) < 4 * values.std() / np.sqrt(runs)
    covered = np.mean([low <= truth <= high for low, high in (f.interval() for f in found)])
    # 95 % within three standard errors below; above, an interval is wider than it need be where the difference
    # is as large as the noise, for its direction cannot be told there.
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs) <= covered <= 0.99


def test_variance_of_the_estimate_is_what_it_says():
    for shift in (0.0, 3.0):
        draw, _ = gaussians(shift, 1.0)
        rng = np.random.default_rng(2)
        found = [between(*draw(100, 60, rng)) for _ in range(300)]
        # Where nothing differs the second part is nothing but noise, cut off at zero.
        variance = np.mean([2 * f.noise + (4 * f.along if shift else 0.0) for f in found])
        seen = np.var([f.value for f in found])
        assert variance == pytest.approx(seen, rel=0.25), shift


@pytest.mark.parametrize("n", [30, 100])
def test_halves_of_one_set_cover_zero_at_the_stated_rate(n):
    rng = np.random.default_rng(4)
    pool = np.maximum(rng.standard_normal((2 * n, WIDTH)) @ rng.standard_normal((WIDTH, WIDTH)) / 5 + 0.3, 0)
    gram = cubic_kernel(pool, pool)
    runs, covered, values = 800, 0, []
    for _ in range(runs):
        order = rng.permutation(2 * n)
        a, b = order[:n], order[n:]
        found = discrepancy(gram[np.ix_(a, a)], gram[np.ix_(b, b)], gram[np.ix_(a, b)])
        low, high = found.interval()
        assert low <= found.value <= high
        covered += low <= 0 <= high
        values.append(found.value)
    assert abs(covered / runs - 0.95) < 3 * np.sqrt(0.95 * 0.05 / runs)
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(runs), "unbiased"


def test_means_of_subsets_would_not_cover():
    """What the interval improves on: mean over subsets with its standard error, as torch-fidelity reports."""
    rng = np.random.default_rng(5)
    runs, covered, subsets = 200, 0, 20
    for _ in range(runs):
        x, y = rng.standard_normal((80, 8)), rng.standard_normal((80, 8))
        xx, yy, xy = cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y)
        values = []
        for _ in range(subsets):
            a, b = rng.permutation(80)[:40], rng.permutation(80)[:40]
            values.append(discrepancy(xx[np.ix_(a, a)], yy[np.ix_(b, b)], xy[np.ix_(a, b)]).value)
        covered += abs(np.mean(values)) <= 1.96 * np.std(values, ddof=1) / np.sqrt(subsets)
    assert covered / runs < 0.7


def test_mean_over_cells_covers_too():
    draw, truth = gaussians(0.7, 1.0)
    rng = np.random.default_rng(6)
    runs, covered = 300, 0
    for _ in range(runs):
        cells = [between(*draw(n, m, rng)) for n, m in ((8, 9), (10, 12), (20, 9), (14, 30))]
        low, high = mean_discrepancy(cells, [1.0, 2.0, 2.0, 3.0]).interval()
        covered += low <= truth <= high
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / runs) <= covered / runs


def test_permutation_p_value():
    rng = np.random.default_rng(7)
    values = []
    for _ in range(150):
        x, y = rng.standard_normal((25, 6)), rng.standard_normal((20, 6))
        grams = cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y)
        values.append(permutation_p_value(*grams, seed=1, draws=99))
    assert np.mean(np.array(values) <= 0.05) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)
    assert np.mean(values) == pytest.approx(0.5, abs=0.08)
    y = y + 2.0
    assert permutation_p_value(cubic_kernel(x, x), cubic_kernel(y, y), cubic_kernel(x, y), 1, draws=99) == 0.01


def test_kernels():
    x = np.array([[3.0, 4.0], [0.0, 0.0]])
    assert unit_length(x).tolist() == [[0.6, 0.8], [0.0, 0.0]]
    assert cubic_kernel(x, x)[0, 0] == pytest.approx(13.5**3)
    assert gaussian_kernel(x, x, 10.0)[0, 1] == pytest.approx(np.exp(-25 / 200))
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == 2.0
