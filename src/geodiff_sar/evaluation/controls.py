"""Rows beside the generated chips that show what good and bad look like."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.regions import fill_with_clutter, fixed_clutter_region


def control_rows(real: ChipSet, seed: int) -> Iterator[tuple[str, ChipSet]]:
    """Every control that these real chips allow, by its name in CONTROLS.

    ``class-shuffled`` needs two targets, ``azimuth-shuffled`` azimuths. Labels are shuffled so that no target stays the
    same; azimuths are permuted within their target.
    """
    yield "real half", real
    rng = np.random.default_rng([seed, 11])
    if np.isfinite(real.azimuth_deg).all():
        yield "azimuth-shuffled", shuffled_azimuths(real, rng)
    if len(set(real.target)) > 1:
        yield "class-shuffled", shuffled_classes(real, rng)
    yield "noise", noise_like(real, rng)
    keep = fixed_clutter_region(real)
    yield "clutter only", real.with_amplitude(fill_with_clutter(real.amplitude, keep, rng))


def shuffled_azimuths(chips: ChipSet, rng: np.random.Generator) -> ChipSet:
    """Azimuths permuted among the chips of each target; everything else stays."""
    azimuth = chips.azimuth_deg.copy()
    names = np.array(chips.target)
    for name in sorted(set(chips.target)):
        places = np.flatnonzero(names == name)
        azimuth[places] = azimuth[rng.permutation(places)]
    return replace(chips, azimuth_deg=azimuth)


def shuffled_classes(chips: ChipSet, rng: np.random.Generator) -> ChipSet:
    """Every chip under the name of another target, drawn at random among the others; everything else stays."""
    names = sorted(set(chips.target))
    steps = rng.integers(1, len(names), len(chips))
    moved = tuple(
        names[(names.index(name) + step) % len(names)] for name, step in zip(chips.target, steps, strict=True)
    )
    return replace(chips, target=moved)


def noise_like(chips: ChipSet, rng: np.random.Generator) -> ChipSet:
    """Single-look speckle of constant reflectivity: Rayleigh amplitudes with the mean of each chip, in the chips' remap.

    Under a law that is not known the values themselves are Rayleigh. Whole grey levels stay whole.
    """
    remap = chips.remap
    amplitude = remap.to_amplitude(chips.amplitude) if remap.invertible else chips.amplitude
    mean = amplitude.mean(axis=(1, 2), keepdims=True)
    noise = rng.rayleigh(np.sqrt(2.0 / np.pi), chips.amplitude.shape) * mean
    if remap.invertible:
        noise = remap.from_amplitude(noise)
    if np.array_equal(chips.amplitude, np.rint(chips.amplitude)):
        noise = np.rint(noise)
    return chips.with_amplitude(np.minimum(noise, chips.amplitude.max()).astype(np.float32))
