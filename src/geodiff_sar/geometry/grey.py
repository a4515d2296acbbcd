"""From calibrated amplitude to 8-bit grey levels, with a record that says how."""

from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.geometry.clutter import cell_area_m2
from geodiff_sar.geometry.radar import RadarOptions


class GreyOptions(Options):
    """How amplitude becomes grey."""

    mode: Literal["linear", "root", "db"] = Field(
        default="linear", description="linear: gain, clipped, as published; root: square root; db: decibels"
    )
    range_db: float = Field(default=60.0, gt=0, le=200, description="db: decibels from black to white")


def background_gain(radar: RadarOptions, cos_depression: float, polarisation: str) -> float:
    """Grey levels per amplitude that put the median of the expected background at ``radar.background_grey``.

    The median of a Rayleigh amplitude of mean power P is sqrt(P ln 2). The gain depends on the radar alone, never on
    the chip,
    so grey levels of different chips can be compared. Cross-polar chips have their own, larger gain, as published.
    """
    sigma0_db = radar.sigma0_db + (radar.cross_polar_db if polarisation in ("HV", "VH") else 0.0)
    power = (10 ** (sigma0_db / 10) + 10 ** (radar.nesz_db / 10)) * cell_area_m2(radar, cos_depression)
    return radar.background_grey / float(np.sqrt(power * np.log(2)))


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
