"""Prior maps as conditions: what they hold, and their fit to a picture's size."""

import numpy as np
from jaxtyping import Float16, Float32
from scipy import ndimage

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.buckets import fit_to_bucket

TARGET_MAPS = ("illumination", "shadow")
TARGET_MARGIN = 2
"""Pixels beyond target and shadow that count as theirs: the system response spreads what is there."""


def map_names(prior: GeometryPrior) -> tuple[str, ...] | None:
    """What the maps of a prior hold, by the names in its provenance, or numbered from 1; None where it has no maps.

    Raises:
        DataError: as many names as maps are wanted.
    """
    if prior.maps is None:
        return None
    named = prior.provenance.get("maps")
    if named is None:
        return tuple(f"map {number}" for number in range(1, len(prior.maps) + 1))
    if not isinstance(named, list) or len(named) != len(prior.maps):
        raise DataError(
            str(prior.provenance.get("file", "prior")),
            f"holds {len(prior.maps)} maps and names {named}",
            "one name per map",
            "make the prior again with `geodiff-sar prior`",
        )
    return tuple(str(name) for name in named)


def target_area(
    maps: Float16[np.ndarray, "map height width"], names: tuple[str, ...]
) -> Float16[np.ndarray, "height width"]:
    """1 where target or shadow is imaged and up to TARGET_MARGIN pixels beyond, 0 elsewhere.

    Raises:
        DataError: maps that do not say so by their names.
    """
    lacking = [name for name in TARGET_MAPS if name not in names]
    if lacking:
        raise DataError(
            "objective.target_weight",
            f"not 1, but the priors have no map {', '.join(lacking)}, only {', '.join(names)}",
            f"the maps {' and '.join(TARGET_MAPS)} say where target and shadow are",
            "make the priors again with `geodiff-sar prior`, or leave objective.target_weight at 1",
        )
    covered = np.maximum(*(maps[names.index(name)] for name in TARGET_MAPS)) > 0.5
    return ndimage.binary_dilation(covered, iterations=TARGET_MARGIN).astype(np.float16)


def fit_maps(
    maps: Float32[np.ndarray, "map rows columns"], width: int, height: int
) -> Float16[np.ndarray, "map height width"]:
    """Maps scaled and cut exactly as a chip of their shape is, to (width, height) pixels.

    In half precision, in training and generation alike: maps lie in 0..1, and a data set's maps are all held in memory.
    """
    return np.stack([fit_to_bucket(single, width, height)[0] for single in maps]).astype(np.float16)
