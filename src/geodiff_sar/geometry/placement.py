"""Moving a finished prior over the ground, as its chip has the target off the centre."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.geometry.descriptors import with_positions


def moved_prior(prior: GeometryPrior, rows: int, columns: int, pixel_m: tuple[float, float]) -> GeometryPrior:
    """The prior of the same target that stands a few pixels further on: maps, coordinates and the features that hold places.

    What the maps lose over one border is gone; at the other one comes lit ground without target, which is 0 in all maps.

    Args:
        prior: features of ``geometry.descriptors`` with coordinates; maps, if any, on the chip's grid.
        rows: move towards larger cross-range, pixels.
        columns: move towards larger slant range, pixels.
        pixel_m: pixel spacing in cross-range and in slant range, m.
    """
    assert prior.coordinates is not None
    step = np.array([columns * pixel_m[1], rows * pixel_m[0], 0.0])
    coordinates = (prior.coordinates + step).astype(np.float32)
    return replace(
        prior,
        features=with_positions(prior.features, coordinates),
        coordinates=coordinates,
        maps=None if prior.maps is None else moved_maps(prior.maps, rows, columns),
    )


def moved_maps(
    maps: Float32[np.ndarray, "map row column"], rows: int, columns: int
) -> Float32[np.ndarray, "map row column"]:
    """Maps moved by whole pixels; zeros come in."""
    moved = np.zeros_like(maps)
    height, width = maps.shape[1:]

    def spans(step: int, length: int) -> tuple[slice, slice]:
        reach = min(abs(step), length)
        return (
            (slice(reach, None), slice(0, length - reach))
            if step >= 0
            else (slice(0, length - reach), slice(reach, None))
        )

    (row_to, row_from), (column_to, column_from) = spans(rows, height), spans(columns, width)
    moved[:, row_to, column_to] = maps[:, row_from, column_from]
    return moved
