"""Augmentation of chips that a practitioner would use anyway, with labels that follow."""

import numpy as np
from jaxtyping import Float, Float32
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.data.pixels import PixelRemap

WHITE = 255.0
"""Value of white in the decibel law."""


class AugmentOptions(Options):
    """How much chips are changed in training."""

    shift: int = Field(default=6, ge=0, le=64, description="largest shift along each axis, pixels; edges are reflected")
    speckle: float = Field(default=0.5, ge=0, le=1, description="share of chips that get speckle")
    looks: float = Field(default=10.0, gt=0, description="looks of that speckle (gamma on intensity)")
    gain_db: float = Field(default=1.0, ge=0, le=20, description="largest gain up or down, dB")
    surroundings: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of chips shown before the clutter of another chip; see surroundings.py",
    )
    mirror: bool = Field(default=True, description="half of the chips mirrored in cross-range, where that is allowed")


NO_AUGMENTATION = AugmentOptions(shift=0, speckle=0.0, gain_db=0.0, mirror=False)


def may_mirror(chips: ChipSet) -> bool:
    """Whether mirror images are allowed: the direction of range must be known, and with it that rows are cross-range.

    A mirror image in cross-range is the chip that the mirrored target gives at 360 degrees minus the azimuth; shadows still
    fall away from the radar. Targets are taken as symmetric about their long axis, as vehicles and aircraft nearly are.
    A mirror image in range would throw shadows towards the radar, and is never made.
    """
    return chips.grid.range_direction is not None


def augment(
    amplitude: Float32[np.ndarray, "chip cross_range range"],
    azimuth_deg: Float[np.ndarray, " chip"],
    options: AugmentOptions,
    remap: PixelRemap,
    mirror: bool,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "chip cross_range range"], Float[np.ndarray, " chip"]]:
    """Changed chips and their azimuths.

    Speckle multiplies intensity by a gamma variable of mean 1 and ``looks`` looks, pixel by pixel; gain is one factor for a
    chip. Both act on amplitude, and stored values follow by their law; values of an unknown law are taken as amplitude.

    Args:
        amplitude: stored values.
        azimuth_deg: NaN where it is not known.
        options: how much.
        remap: law of the stored values.
        mirror: whether mirror images are allowed for these chips (``may_mirror``).
        rng: draws everything.
    """
    count, height, width = amplitude.shape
    azimuth = np.array(azimuth_deg, dtype=np.float64)
    flip = rng.random(count) < 0.5 if options.mirror and mirror else np.zeros(count, dtype=bool)
    azimuth[flip] = (360.0 - azimuth[flip]) % 360.0
    s = min(options.shift, height - 1, width - 1)
    offsets = rng.integers(0, 2 * s + 1, (count, 2))
    gain = 10.0 ** (rng.uniform(-options.gain_db, options.gain_db, count) / 20.0)
    speckled = rng.random(count) < options.speckle
    result = np.empty_like(amplitude)
    for k in range(count):
        chip = amplitude[k, ::-1] if flip[k] else amplitude[k]
        top, left = offsets[k]
        chip = np.pad(chip, s, mode="reflect")[top : top + height, left : left + width]
        factor: float | np.ndarray = gain[k]
        if speckled[k]:
            intensity = rng.standard_gamma(options.looks, chip.shape, dtype=np.float32) / options.looks
            factor = factor * np.sqrt(intensity)
        result[k] = _scaled(chip, factor, remap)
    return result, azimuth


def _scaled(values: np.ndarray, factor: float | np.ndarray, remap: PixelRemap) -> np.ndarray:
    """Stored values after amplitude was multiplied by ``factor``; what is zero stays zero."""
    if remap.kind == "db":
        assert remap.range_db is not None
        moved = values + WHITE / remap.range_db * 20.0 * np.log10(np.maximum(factor, 1e-6))
        return np.where(values > 0, np.maximum(moved, 0.0), 0.0)
    return values * factor ** (remap.exponent or 1.0)
