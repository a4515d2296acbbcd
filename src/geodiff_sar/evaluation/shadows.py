"""Length of radar shadows, measured in the pixels."""

import numpy as np
from jaxtyping import Float, UInt8

from geodiff_sar.data.chip_set import SHADOW, ChipSet
from geodiff_sar.evaluation.regions import find_regions
from geodiff_sar.evaluation.remembered import Remembered, content_key

ROW_QUANTILE = 0.9
"""The length of a shadow is this quantile of the lengths of its rows: nearly the longest, without the fringe of speckle."""

_LENGTHS: Remembered[Float[np.ndarray, " chip"]] = Remembered(4)


def shadow_lengths(chips: ChipSet) -> Float[np.ndarray, " chip"]:
    """Extent of each chip's shadow in range, pixels; 0 where no shadow is found. Masks are not used: they say where a shadow
    ought to be."""
    key = content_key(chips, options="shadow")
    return _LENGTHS.get(key, lambda: np.array([row_extent(codes) for codes in find_regions(chips, False).codes]))


def row_extent(codes: UInt8[np.ndarray, "height width"]) -> float:
    """The 90 % quantile over rows of the distance from the first to past the last shadow pixel; 0 without shadow."""
    rows = [np.flatnonzero(row) for row in codes == SHADOW]
    extents = [int(columns[-1]) - int(columns[0]) + 1 for columns in rows if len(columns)]
    return float(np.quantile(extents, ROW_QUANTILE)) if extents else 0.0


def implied_height_m(length_m: Float[np.ndarray, " chip"], depression_deg: Float[np.ndarray, " chip"]) -> np.ndarray:
    """Height of the edge that casts a shadow of this slant-range length: h = L sin(depression).

    The edge and the far end of its shadow lie on one ray, the slant-range direction, which descends by the depression (the
    grazing angle on flat ground): over the length L it loses the height L sin(depression). The edge is imaged where the
    shadow begins when the target's own returns fill the image up to it, as a vehicle's roof does. In front of a thin
    pole the ground is lit up to its foot: there the dark part alone is h cos^2(depression) / sin(depression) long.
    """
    return length_m * np.sin(np.radians(depression_deg))
