"""Ground clutter, its texture and receiver noise, seen through the same system as the target.

Slab joints, if any, are straight lines of scatterers across the line of sight. Edges along the electric field scatter more
than edges across it, so their strength in HH and in VV are two options.

Compound-Gaussian model: complex Gaussian speckle times the square root of a gamma texture gives K-distributed amplitude
(Jakeman and Pusey 1976); without texture the amplitude is Rayleigh.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Complex64, Float, Float32

from geodiff_sar.geometry.cross_talk import leaked
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.radar import RadarOptions

JOINT_SPREAD_DB = 3.0
"""Standard deviation of the strengths of joint edges."""


def cell_area_m2(radar: RadarOptions, cos_depression: float) -> float:
    """Ground area whose backscatter adds up in one pixel: the equivalent area of the system response over cos(depression)."""
    return focuser(radar).equivalent_area_m2 / cos_depression


def background(
    radar: RadarOptions,
    lit: Float32[np.ndarray, "row column"],
    cos_depression: float,
    polarisations: list[str],
    rng: np.random.Generator,
    azimuth_deg: float = 0.0,
) -> Complex64[np.ndarray, "polarisation row column"]:
    """Clutter and slab joints where the ground is lit, noise everywhere; sqrt(m^2).

    Between joints and without cross-talk the mean power is ``sigma0 A lit + nesz A`` with A from ``cell_area_m2``. HH and
    VV have independent speckle; HV and VH share theirs, as reciprocity demands, and lie ``cross_polar_db`` below. All
    polarisations share the texture.

    Args:
        lit: share of each pixel's ground that is seen.
        cos_depression: of the depression angle.
        polarisations: which ones, in the order of the result.
        rng: every part has its own stream of numbers, so a chip does not depend on the other polarisations asked for.
        azimuth_deg: aspect of the target, which is parked along the slabs.
    """
    names = ("texture", "joints", "HH", "VV", "cross", *(f"noise {name}" for name in ("HH", "HV", "VH", "VV")))
    streams = dict(zip(names, rng.spawn(len(names)), strict=True))
    area = radar.pixel_range_m * radar.pixel_cross_range_m / cos_depression
    reflectivity = 10 ** (radar.sigma0_db / 10) * area * lit
    level = np.sqrt(reflectivity, dtype=np.float32)
    root = level
    if radar.texture_shape is not None:
        root = np.sqrt(reflectivity * gamma_texture(radar, cos_depression, streams["texture"]), dtype=np.float32)
    cross = np.float32(10 ** (radar.cross_polar_db / 20))
    sources = {"HH": ("HH", 1), "VV": ("VV", 1), "HV": ("cross", cross), "VH": ("cross", cross)}
    wanted = dict.fromkeys([*polarisations, *(() if radar.cross_talk_db is None else ("HH", "VV"))])
    speckle = {name: _complex_normal(streams[name], lit.shape) for name in {sources[name][0] for name in wanted}}
    clutter = {name: speckle[sources[name][0]] * (sources[name][1] * root) for name in wanted}
    if _joints_show(radar, azimuth_deg):
        lines = _joint_lines(radar, cos_depression, streams["joints"]) * level
        for name, gain_db in (("HH", radar.joint_db), ("VV", radar.joint_db + radar.joint_vv_db)):
            if name in clutter:
                clutter[name] = clutter[name] + np.float32(10 ** (gain_db / 20)) * lines
    if radar.cross_talk_db is not None:
        cross_talk = leaked(clutter["HH"], clutter["VV"], radar)
        clutter = {name: field + cross_talk if name in ("HV", "VH") else field for name, field in clutter.items()}
    system = focuser(radar)
    planes = []
    for name in polarisations:
        noise_root = np.float32(np.sqrt(10 ** (radar.noise_db(name) / 10) * area))
        noise = _complex_normal(streams[f"noise {name}"], lit.shape) * noise_root
        planes.append(system.filtered(clutter[name] + noise))
    return np.stack(planes).astype(np.complex64)


def _joints_show(radar: RadarOptions, azimuth_deg: float) -> bool:
    """Whether joints flash: slabs lie along the target's axes, and an edge flashes within half the aperture."""
    return radar.joint_spacing_m is not None and abs((azimuth_deg + 45) % 90 - 45) <= radar.azimuth_aperture_deg / 2


def _joint_lines(
    radar: RadarOptions, cos_depression: float, rng: np.random.Generator
) -> Complex64[np.ndarray, "row column"]:
    """Scatterers of all joints, of median power 1 per pixel: at columns of constant slant range, at a random distance."""
    lines = np.zeros((radar.rows, radar.columns), dtype=np.complex64)
    spacing = (radar.joint_spacing_m or 1.0) * cos_depression / radar.pixel_range_m  # pixels of slant range
    gap = radar.joint_gap_m * cos_depression / radar.pixel_range_m
    start = (rng.random() - 1) * spacing
    for first in np.arange(start, radar.columns, spacing):
        for edge in [first] if gap == 0 else [first, first + gap]:
            strength = np.float32(10 ** (JOINT_SPREAD_DB * rng.standard_normal() / 20))
            scatterers = strength * _complex_normal(rng, (radar.rows, 1))[:, 0]
            column = round(edge)
            if 0 <= column < radar.columns:
                lines[:, column] += scatterers
    return lines


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
