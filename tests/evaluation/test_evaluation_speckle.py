"""Looks, correlation and laws of clutter with known parameters."""

import numpy as np
import pytest
from scipy import integrate, ndimage, stats

from geodiff_sar.evaluation.speckle import correlation_length, tile_statistics
from geodiff_sar.evaluation.speckle_laws import (
    MOST_SHAPE,
    G0Law,
    KLaw,
    RayleighLaw,
    fit_g0,
    fit_k,
    fit_rayleigh,
    kolmogorov_distance,
    mean_log_likelihood,
)


def gamma_amplitude(looks: float, chips: int = 12, seed: int = 0) -> np.ndarray:
    """Amplitudes of L-look speckle of mean intensity 1."""
    intensity = np.random.default_rng([seed, 1]).gamma(looks, 1.0 / looks, (chips, 128, 128))
    return np.sqrt(intensity).astype(np.float32)


@pytest.mark.parametrize("looks", [1.0, 2.0, 4.0, 10.0])
def test_looks_of_gamma_clutter(looks):
    amplitude = gamma_amplitude(looks)
    found = tile_statistics(amplitude, np.ones(amplitude.shape, dtype=bool))
    error = found.looks.std() / np.sqrt(len(found.looks))
    assert found.looks.mean() == pytest.approx(looks, abs=4 * error + 0.005 * looks)
    assert found.looks.std() < 0.05 * looks
    assert found.intensity.mean() == pytest.approx(1.0, abs=0.01)
    if looks == 1.0:
        assert found.variation.mean() == pytest.approx(np.sqrt(4 / np.pi - 1), abs=0.003)


def test_looks_do_not_suffer_from_slow_texture_nor_from_one_bright_object():
    amplitude = gamma_amplitude(4.0)
    amplitude *= np.sqrt(np.linspace(0.5, 2.0, 128, dtype=np.float32))
    amplitude[:, 10, 10] = 100.0
    whole = (amplitude**2).mean(axis=(1, 2)) ** 2 / (amplitude**2).var(axis=(1, 2))
    found = tile_statistics(amplitude, np.ones(amplitude.shape, dtype=bool))
    assert whole.max() < 0.1
    assert np.median(found.looks) == pytest.approx(4.0, rel=0.1)


def test_chips_without_clutter_have_no_looks():
    found = tile_statistics(gamma_amplitude(1.0, 2), np.zeros((2, 128, 128), dtype=bool))
    assert np.isnan(found.looks).all()
    assert (found.tiles == 0).all()
    assert np.isnan(correlation_length(gamma_amplitude(1.0, 2), np.zeros((2, 128, 128), dtype=bool), 1)).all()


def test_correlation_length_of_smoothed_noise():
    clutter = np.ones((8, 128, 128), dtype=bool)
    noise = np.random.default_rng(2).normal(0, 1, clutter.shape)
    smooth = (5.0 + ndimage.gaussian_filter(noise, (0, 2.0, 1.0))).astype(np.float32)
    # the autocorrelation of a Gaussian filter of width s is exp(-x^2 / 4 s^2): 1/e at 2 s
    assert correlation_length(smooth, clutter, 1).mean() == pytest.approx(4.0, abs=0.2)
    assert correlation_length(smooth, clutter, 2).mean() == pytest.approx(2.0, abs=0.1)
    white = noise.astype(np.float32) + 5
    assert correlation_length(white, clutter, 1).mean() == pytest.approx(1 - np.exp(-1), abs=0.02)


LAWS = [RayleighLaw(2.0), KLaw(1.5, 2.0, 3.0), KLaw(40.0, 0.5, 1.0), KLaw(MOST_SHAPE, 2.0, 4.0), G0Law(-2.5, 3.0, 2.0)]


@pytest.mark.parametrize("law", LAWS, ids=str)
def test_densities_sum_to_their_distribution_functions(law):
    for value in (0.3, 1.0, 4.0):
        total, _ = integrate.quad(lambda x: float(np.exp(law.log_density(np.array([x])))[0]), 0.0, value)
        assert float(law.cumulative(np.array([value]))[0]) == pytest.approx(total, abs=2e-4)


def test_k_without_texture_is_gamma():
    x = np.array([0.2, 1.0, 3.0])
    expected = stats.gamma.logpdf(x, 4.0, scale=2.0 / 4.0)
    np.testing.assert_allclose(KLaw(MOST_SHAPE, 2.0, 4.0).log_density(x), expected, rtol=1e-12)
    np.testing.assert_allclose(KLaw(5e3, 2.0, 4.0).log_density(x), expected, atol=5e-3)


@pytest.mark.parametrize("looks", [1.0, 4.0])
@pytest.mark.parametrize("shape", [0.7, 2.0, 8.0])
def test_k_fit_recovers_its_shape(shape, looks):
    rng = np.random.default_rng(7)
    intensity = 5.0 * rng.gamma(looks, 1 / looks, 60_000) * rng.gamma(shape, 1 / shape, 60_000)
    law = fit_k(intensity, looks)
    assert 1 / law.shape == pytest.approx(1 / shape, rel=0.1)
    assert law.mean == pytest.approx(5.0, rel=0.03)
    _prefers(intensity, law, fit_g0(intensity, looks))


@pytest.mark.parametrize("looks", [1.0, 4.0])
@pytest.mark.parametrize("alpha", [-1.5, -3.0, -8.0])
def test_g0_fit_recovers_alpha(alpha, looks):
    rng = np.random.default_rng(8)
    intensity = 5.0 * rng.gamma(looks, 1 / looks, 60_000) / rng.gamma(-alpha, 1.0, 60_000)
    law = fit_g0(intensity, looks)
    assert 1 / law.shape == pytest.approx(1 / alpha, rel=0.1)
    assert law.scale == pytest.approx(5.0, rel=0.15)
    _prefers(intensity, law, fit_k(intensity, looks))


def _prefers(intensity, right, wrong):
    """Both measures of fit prefer the right law, to the other textured one and to Rayleigh."""
    for other in (wrong, fit_rayleigh(intensity)):
        assert kolmogorov_distance(intensity, right) < kolmogorov_distance(intensity, other)
        assert mean_log_likelihood(intensity, right) > mean_log_likelihood(intensity, other)
    assert kolmogorov_distance(intensity, right) < 0.01


def test_speckle_without_texture_is_rayleigh():
    intensity = np.random.default_rng(9).exponential(3.0, 40_000)
    law = fit_rayleigh(intensity)
    assert law.mean == pytest.approx(3.0, rel=0.02)
    assert kolmogorov_distance(intensity, law) < 0.01
    assert 1 / fit_k(intensity, 1.0).shape < 0.03
    # what varies less than speckle can has no texture at all
    assert fit_k(np.random.default_rng(9).gamma(8.0, 1.0, 5000), 1.0).shape == MOST_SHAPE


def test_kolmogorov_distance_equals_scipy():
    intensity = np.random.default_rng(3).exponential(1.3, 500)
    expected = stats.kstest(intensity, lambda x: RayleighLaw(1.0).cumulative(x)).statistic
    assert kolmogorov_distance(intensity, RayleighLaw(1.0)) == pytest.approx(expected, abs=1e-12)
