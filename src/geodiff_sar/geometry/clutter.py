"""Ground clutter, its texture and receiver noise, seen through the same system as the target.

Compound-Gaussian model: complex Gaussian speckle times the square root of a gamma texture gives K-distributed amplitude
(Jakeman and Pusey 1976); without texture the amplitude is Rayleigh.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Complex64, Float, Float32

from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.radar import RadarOptions


def cell_area_m2(radar: RadarOptions, cos_depression: float) -> float:
    """Ground area whose backscatter adds up in one pixel: the equivalent area of the system response over cos(depression)."""
    return focuser(radar).equivalent_area_m2 / cos_depression


def background(
    radar: RadarOptions,
    lit: Float32[np.ndarray, "row column"],
    cos_depression: float,
    polarisations: list[str],
    rng: np.random.Generator,
) -> Complex64[np.ndarray, "polarisation row column"]:
    """Clutter where the ground is lit, noise everywhere; sqrt(m^2).

    The mean power is ``sigma0 A lit + nesz A`` with A from ``cell_area_m2``. HH and VV have independent speckle; HV
    and VH share theirs, as reciprocity demands, and lie ``cross_polar_db`` below. All polarisations share the texture.

    Args:
        lit: share of each pixel's ground that is seen.
        cos_depression: of the depression angle.
        polarisations: which ones, in the order of the result.
        rng: numbers are drawn for all polarisations whatever is asked for, so a chip does not depend on its neighbours.
    """
    shape = lit.shape
    area = radar.pixel_range_m * radar.pixel_cross_range_m / cos_depression
    reflectivity = 10 ** (radar.sigma0_db / 10) * area * lit
    if radar.texture_shape is not None:
        reflectivity = reflectivity * gamma_texture(radar, cos_depression, rng)
    root = np.sqrt(reflectivity, dtype=np.float32)
    noise_root = np.float32(np.sqrt(10 ** (radar.nesz_db / 10) * area))
    cross = np.float32(10 ** (radar.cross_polar_db / 20))
    co_h, co_v, cross_speckle = (_complex_normal(rng, shape) for _ in range(3))
    speckle = {"HH": (co_h, 1), "VV": (co_v, 1), "HV": (cross_speckle, cross), "VH": (cross_speckle, cross)}
    noise = {name: _complex_normal(rng, shape) for name in speckle}
    system = focuser(radar)
    planes = [
        system.filtered(field * (gain * root) + noise[name] * noise_root)
        for name, (field, gain) in ((name, speckle[name]) for name in polarisations)
    ]
    return np.stack(planes).astype(np.complex64)


def gamma_texture(
    radar: RadarOptions, cos_depression: float, rng: np.random.Generator
) -> Float32[np.ndarray, "row column"]:
    """Texture of mean 1 and gamma distribution of shape nu, correlated over ``texture_length_m`` of ground.

    A smooth Gaussian field is mapped point by point to the gamma distribution of the same probability.
    """
    shape_parameter = radar.texture_shape
    if shape_parameter is None:
        return np.ones((radar.rows, radar.columns), dtype=np.float32)
    white = np.fft.rfft2(rng.standard_normal((radar.rows, radar.columns), dtype=np.float32))
    smooth = np.fft.irfft2(white * _smoother(radar, round(cos_depression, 6)), s=(radar.rows, radar.columns))
    grid, values = _gamma_table(shape_parameter)
    return np.interp(smooth, grid, values).astype(np.float32)


def gamma_quantiles(shape_parameter: float | None, share: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Quantiles of the texture: gamma distribution of mean 1; all 1 without texture."""
    if shape_parameter is None:
        return np.ones(len(share))
    from scipy.special import gammaincinv

    return gammaincinv(shape_parameter, share) / shape_parameter


@lru_cache(maxsize=16)
def _smoother(radar: RadarOptions, cos_depression: float) -> Float32[np.ndarray, "row halfcolumn"]:
    """Gaussian low-pass whose output has variance 1; the field's correlation falls to 1/e at the texture length."""
    length = radar.texture_length_m
    rows = np.fft.fftfreq(radar.rows, radar.pixel_cross_range_m)[:, None]
    columns = np.fft.fftfreq(radar.columns, radar.pixel_range_m / cos_depression)[None]
    full = np.exp(-((np.pi * length) ** 2) * (rows**2 + columns**2) / 2)
    full /= np.sqrt(np.mean(full**2))
    return full[:, : radar.columns // 2 + 1].astype(np.float32)


@lru_cache(maxsize=16)
def _gamma_table(shape_parameter: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.special import ndtr  # here, since loading it takes longer than a chip

    grid = np.linspace(-6.0, 6.0, 2049)
    return grid, gamma_quantiles(shape_parameter, np.clip(ndtr(grid), 1e-12, 1 - 1e-12))


def _complex_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Complex64[np.ndarray, "row column"]:
    pair = rng.standard_normal((*shape, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))
    return pair.view(np.complex64)[..., 0]
