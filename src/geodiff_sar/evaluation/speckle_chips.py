"""Statistics of clutter for every chip of a set, shared by the radar metrics."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import Comparison
from geodiff_sar.evaluation.radar_values import both_masked, sampled, spread_amplitude_of
from geodiff_sar.evaluation.regions import Regions, find_regions
from geodiff_sar.evaluation.remembered import Remembered, content_key
from geodiff_sar.evaluation.speckle import TileStatistics, correlation_length, tile_statistics


@dataclass(frozen=True)
class ClutterChips:
    """Sampled chips, their regions and the statistics of their clutter.

    Attributes:
        chips: at most ``radar_values.MOST_CHIPS``.
        amplitude: linear, whole grey levels spread over their cells.
        regions: of these chips.
        tiles: moments.
        rows_px, columns_px: correlation lengths.
    """

    chips: ChipSet
    amplitude: Float32[np.ndarray, "chip height width"]
    regions: Regions
    tiles: TileStatistics
    rows_px: Float[np.ndarray, " chip"]
    columns_px: Float[np.ndarray, " chip"]


_CLUTTER: Remembered[ClutterChips] = Remembered(3)


def clutter_pair(comparison: Comparison) -> tuple[ClutterChips, ClutterChips]:
    """Of the candidate and of the reference, regions of both found in one way."""
    masked = both_masked(comparison)
    return (
        clutter_chips(comparison.candidate, masked, comparison.seed),
        clutter_chips(comparison.reference, masked, comparison.seed),
    )


def clutter_chips(chips: ChipSet, use_masks: bool, seed: int) -> ClutterChips:
    """See ClutterChips."""
    return _CLUTTER.get(content_key(chips, options=("clutter", use_masks, seed)), lambda: _make(chips, use_masks, seed))


def _make(chips: ChipSet, use_masks: bool, seed: int) -> ClutterChips:
    few = sampled(chips, seed)
    amplitude = spread_amplitude_of(few, seed)
    regions = find_regions(few, use_masks)
    return ClutterChips(
        few,
        amplitude,
        regions,
        tile_statistics(amplitude, regions.clutter),
        correlation_length(amplitude, regions.clutter, 1),
        correlation_length(amplitude, regions.clutter, 2),
    )
