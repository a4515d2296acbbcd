"""From calibrated amplitude to 8-bit grey levels, with a record that says how."""

import math
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.geometry.clutter import cell_area_m2, gamma_quantiles
from geodiff_sar.geometry.radar import RadarOptions


class GreyOptions(Options):
    """How amplitude becomes grey."""

    mode: Literal["linear", "root", "db"] = Field(
        default="linear", description="linear: gain, clipped, as published; root: square root; db: decibels"
    )
    range_db: float = Field(default=60.0, gt=0, le=200, description="db: decibels from black to white")


def background_gain(radar: RadarOptions, cos_depression: float, polarisation: str) -> float:
    """Grey levels per amplitude that put the median of the expected background, slab joints aside, at
    ``radar.background_grey`` or at its own level in ``radar.grey_by_polarisation``.

    The gain depends on the radar alone, never on the chip, so grey levels of different chips can be compared. Cross-polar
    chips have their own, larger gain, as published.
    """
    area = cell_area_m2(radar, cos_depression)
    clutter, noise = 10 ** (radar.sigma0_db / 10) * area, 10 ** (radar.noise_db(polarisation) / 10) * area
    if polarisation in ("HV", "VH"):
        leak = 0.0 if radar.cross_talk_db is None else 2 * 10 ** (radar.cross_talk_db / 10)  # of HH and of VV
        clutter *= 10 ** (radar.cross_polar_db / 10) + leak
    return radar.grey_level(polarisation) / math.sqrt(_median_power(clutter, noise, radar.texture_shape))


@lru_cache(maxsize=64)
def _median_power(clutter: float, noise: float, texture_shape: float | None) -> float:
    """Median of |z|^2 for complex Gaussian z whose mean power is clutter x texture + noise, texture of gamma distribution.

    Given the texture t, P(|z|^2 > x) = exp(-x / (clutter t + noise)); the median is where its mean over t is 1/2.
    """
    texture = gamma_quantiles(texture_shape, np.arange(0.5, 512) / 512)
    low, high = 0.0, 2 * (clutter + noise)
    for _ in range(60):
        middle = 0.5 * (low + high)
        above = float(np.mean(np.exp(-middle / (clutter * texture + noise))))
        low, high = (middle, high) if above > 0.5 else (low, middle)
    return 0.5 * (low + high)


def to_grey(
    amplitude: Float[np.ndarray, "row column"], gain: float, options: GreyOptions
) -> tuple[UInt8[np.ndarray, "row column"], dict[str, Any]]:
    """Grey levels 0..255 and the record of the remap.

    linear: ``round(gain a)``; root: ``round(sqrt(255 gain a))``; db: white is the amplitude that linear would clip at.
    """
    level = gain * np.asarray(amplitude, dtype=np.float32)
    record: dict[str, Any] = {"mode": options.mode, "gain": gain}
    if options.mode == "root":
        level = np.sqrt(255.0 * level)
    elif options.mode == "db":
        record["range_db"] = options.range_db
        level = 255.0 * (1.0 + 20.0 * np.log10(np.maximum(level, 1e-12) / 255.0) / options.range_db)
    return np.clip(np.rint(level), 0, 255).astype(np.uint8), record
