"""What the radar sees of target and ground, on the chip's pixel grid: shadow, illumination, height; no fields."""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32
from numba import njit

from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.radar import RadarOptions, pixel_coordinates
from geodiff_sar.geometry.raster import rasterise_depth

SUBSAMPLES = 3


@dataclass(frozen=True)
class Visibility:
    """Maps on the chip's grid (rows cross-range, columns slant range).

    Attributes:
        lit: share of the pixel's ground that the radar sees, 0 to 1; 1 - lit is the shadow.
        illumination: 1 where a lit piece of the target is imaged (layover included), else 0.
        height: height of the highest lit piece imaged there, m; 0 where there is none.
    """

    lit: Float32[np.ndarray, "row column"]
    illumination: Float32[np.ndarray, "row column"]
    height: Float32[np.ndarray, "row column"]


def visibility(
    vertices: Float[np.ndarray, "vertex 3"], faces: np.ndarray, look: Look, radar: RadarOptions, ground: bool = True
) -> Visibility:
    """Shadow, illumination and height by a depth buffer finer than the pixels; no ground, no shadow."""
    spacing = min(radar.pixel_cross_range_m, radar.pixel_range_m) / 2
    depth, across_start, above_start = rasterise_depth(vertices, faces, look, spacing, ground)
    shape = (radar.rows, radar.columns)
    lit = np.ones(shape, dtype=np.float32)
    cross, slant = pixel_coordinates(radar)
    if ground:
        # the ground point of slant range r and cross-range c lies at (c, r tan(depression)) in the aperture plane
        steps = (np.arange(SUBSAMPLES) - (SUBSAMPLES - 1) / 2) / SUBSAMPLES
        tangent = look.sin_depression / look.cos_depression
        s = (cross[:, None] + steps * radar.pixel_cross_range_m).ravel()
        t = (slant[:, None] + steps * radar.pixel_range_m).ravel() * tangent
        columns = np.floor((s - across_start) / spacing).astype(np.int64)
        rows = np.floor((t - above_start) / spacing).astype(np.int64)
        inside = np.ix_((columns >= 0) & (columns < depth.shape[1]), (rows >= 0) & (rows < depth.shape[0]))
        hidden = np.zeros((len(s), len(t)), dtype=np.float32)
        kept_columns = columns[(columns >= 0) & (columns < depth.shape[1])]
        kept_rows = rows[(rows >= 0) & (rows < depth.shape[0])]
        hidden[inside] = np.isfinite(depth[np.ix_(kept_rows, kept_columns)]).T
        blocks = hidden.reshape(radar.rows, SUBSAMPLES, radar.columns, SUBSAMPLES)
        lit = (1.0 - blocks.mean(axis=(1, 3))).astype(np.float32)
    illumination, height = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    _image_surface(
        depth,
        np.array([across_start, above_start, spacing, look.above[2], look.toward[2]]),
        np.array([radar.pixel_cross_range_m, radar.pixel_range_m, radar.rows // 2 + 0.5, radar.columns // 2 + 0.5]),
        illumination,
        height,
    )
    return Visibility(lit, illumination, height)


@njit(cache=True, nogil=True)
@no_type_check
def _image_surface(depth, place, pixels, illumination, height):
    """Every lit sample of the target marks its pixel: slant range -w, cross-range s, height t v_z + w u_z."""
    rows, columns = illumination.shape
    for row in range(depth.shape[0]):
        t = place[1] + (row + 0.5) * place[2]
        for column in range(depth.shape[1]):
            w = np.float64(depth[row, column])
            if w == -np.inf:
                continue
            s = place[0] + (column + 0.5) * place[2]
            i = math.floor(s / pixels[0] + pixels[2])
            j = math.floor(-w / pixels[1] + pixels[3])
            if 0 <= i < rows and 0 <= j < columns:
                illumination[i, j] = 1.0
                height[i, j] = max(height[i, j], np.float32(t * place[3] + w * place[4]))
