"""Frechet distance: closed forms, identical sets, fewer chips than features, and its limit."""

import numpy as np
import pytest
import scipy.linalg

from geodiff_sar.evaluation.frechet import frechet_distance, frechet_limit


def exactly(mean, covariance, rng, n=200):
    """n samples whose mean and covariance are exactly these."""
    z = rng.standard_normal((n, len(mean)))
    z = (z - z.mean(axis=0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T
    return z @ np.linalg.cholesky(covariance).T + mean


def test_gaussians_of_known_moments():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 6, 6))
    c1, c2 = a @ a.T + np.eye(6), b @ b.T + np.eye(6)
    m1, m2 = rng.standard_normal((2, 6))
    root = scipy.linalg.sqrtm(c1 @ c2)
    expected = np.sum((m1 - m2) ** 2) + np.trace(c1 + c2 - 2 * np.real(root))
    assert frechet_distance(exactly(m1, c1, rng), exactly(m2, c2, rng, 150)) == pytest.approx(expected, rel=1e-9)


def test_commuting_covariances():
    rng = np.random.default_rng(1)
    first = exactly(np.zeros(3), np.diag([1.0, 4.0, 9.0]), rng)
    second = exactly(np.array([1.0, 0, 0]), np.diag([4.0, 4.0, 1.0]), rng)
    assert frechet_distance(first, second) == pytest.approx(1 + 1 + 0 + 4, rel=1e-9)


@pytest.mark.parametrize(("n", "width"), [(60, 10), (20, 100), (2, 5)])
def test_identical_sets_are_at_zero_even_with_singular_covariance(n, width):
    x = np.random.default_rng(2).standard_normal((n, width))
    assert frechet_distance(x, x) == pytest.approx(0.0, abs=1e-9 * width)
    assert frechet_distance(x, x + 2.0) == pytest.approx(4.0 * width)


def test_fewer_samples_than_features_agrees_with_the_root_of_the_covariances():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((15, 40)), rng.standard_normal((12, 40)) * 1.5
    c1, c2 = np.cov(x.T), np.cov(y.T)
    values, vectors = np.linalg.eigh(c1)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    trace = np.sqrt(np.linalg.eigvalsh(root @ c2 @ root).clip(0)).sum()
    expected = np.sum((x.mean(0) - y.mean(0)) ** 2) + np.trace(c1) + np.trace(c2) - 2 * trace
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)


def test_limit_takes_most_of_the_bias_away():
    rng = np.random.default_rng(4)
    plain, limit = [], []
    for seed in range(6):
        x, y = rng.standard_normal((300, 32)), rng.standard_normal((300, 32))
        y[:, :2] += 1.0
        plain.append(frechet_distance(x, y))
        limit.append(frechet_limit(x, y, seed))
    assert np.mean(plain) > 3.2, "2 is the truth"
    assert np.mean(limit) == pytest.approx(2.0, abs=0.35)
