"""Scattering centres of every chip of a set, and of their priors."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from geodiff_sar.data.chip_set import TARGET, ChipSet
from geodiff_sar.data.features import load_features
from geodiff_sar.data.pixels import ChipGrid
from geodiff_sar.evaluation.radar_values import amplitude_of
from geodiff_sar.evaluation.regions import find_regions, margin_px
from geodiff_sar.evaluation.scatterers import OVER_CLUTTER_DB, Centres, extract_centres
from geodiff_sar.evaluation.speckle import tile_statistics
from geodiff_sar.geometry.maps import CENTRES_RANGE_DB, MAP_NAMES

CELL_PX = 1.5
"""Side of a resolution cell where resolution or spacing is not known, pixels."""


@dataclass(frozen=True)
class PriorCentres:
    """Centres of a prior, or the reason why there are none."""

    centres: Centres | None
    reason: str


def resolution_cell(grid: ChipGrid) -> tuple[float, float, str]:
    """Rows and columns of a resolution cell in pixels, and a note where it is assumed."""
    rows = _ratio(grid.resolution_cross_range_m, grid.pixel_cross_range_m)
    columns = _ratio(grid.resolution_range_m, grid.pixel_range_m)
    note = "" if rows and columns else f"resolution or spacing is not known: a cell of {CELL_PX:g} pixels is assumed"
    return rows or CELL_PX, columns or CELL_PX, note


def chip_centres(chips: ChipSet, use_masks: bool) -> list[Centres]:
    """Of every chip: within its target region and a margin around it; in the middle half where no target is found."""
    regions = find_regions(chips, use_masks)
    amplitude = amplitude_of(chips)
    clutter = np.sqrt(tile_statistics(amplitude, regions.clutter).intensity)
    by = margin_px(chips)
    result = []
    for chip, codes, level in zip(amplitude, regions.codes, clutter, strict=True):
        region = codes == TARGET
        if region.any():
            region = ndimage.binary_dilation(region, np.ones((2 * by + 1, 2 * by + 1)))
        else:
            height, width = region.shape
            region[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
        floor = 10 ** (OVER_CLUTTER_DB / 20) * float(level) if np.isfinite(level) else 0.0
        result.append(extract_centres(chip, region, floor))
    return result


def prior_centres(chips: ChipSet) -> list[PriorCentres]:
    """Of the map "centres" of every chip's prior, where there is one on the chip's grid."""
    if chips.grid.range_direction is None:  # maps have range to the right, and nobody knows how these chips lie
        return [PriorCentres(None, "the direction of range is not known")] * len(chips)
    return [_of_prior(path, chips.amplitude.shape[1:]) for path in chips.priors]


def _of_prior(path, shape: tuple[int, ...]) -> PriorCentres:
    if path is None:
        return PriorCentres(None, "no prior")
    maps = load_features(path, expected_width=None).maps
    if maps is None or maps.shape[0] != len(MAP_NAMES):
        return PriorCentres(None, "a prior without the map of centres")
    if maps.shape[1:] != shape:
        return PriorCentres(None, "a prior whose maps are not on the chip's grid")
    level = maps[MAP_NAMES.index("centres")]
    # 1 is the strongest, 0 is 30 dB below
    amplitude = np.where(level > 0, 10.0 ** ((level - 1.0) * CENTRES_RANGE_DB / 20.0), 0.0).astype(np.float32)
    return PriorCentres(extract_centres(amplitude, level > 0, 0.0), "")


def _ratio(resolution: float | None, spacing: float | None) -> float | None:
    return None if resolution is None or spacing is None else resolution / spacing
