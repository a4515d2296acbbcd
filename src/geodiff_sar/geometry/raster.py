"""Which triangle each ray of the regular grid meets first, by rasterising instead of casting rays.

A ray that starts on the aperture plane and travels along the line of sight is a sample of a parallel projection, so a depth
buffer answers it exactly. A ray that reaches the ground first goes on as the ray of the same sample towards the mirror image
(z -> -z) of the target, so a second buffer answers its next question.
"""

import math
from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int32
from numba import njit

from geodiff_sar.core.errors import DataError
from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.options import GroundOptions, TraceOptions

BYTES_PER_RAY = 16
MAX_RAYS = 100_000_000
THINNEST_M = 1e-3
"""A plate seen from its edge counts as this thick, else its rays would lie closer than atoms."""


@dataclass(frozen=True)
class RayGrid:
    """Regular grid in the aperture plane; ray (row, column) lies at (across, above) = start + (column, row + 1/2) spacing.

    Attributes:
        across_start, above_start: lower corner of the grid in the coordinates a.p and v.p, m.
        spacing: distance of the rays, m.
        rows, columns: numbers of rays along ``above`` and ``across``.
    """

    across_start: float
    above_start: float
    spacing: float
    rows: int
    columns: int


@dataclass(frozen=True)
class FirstHits:
    """Face number per ray, or -1: on the target, and on its mirror image for rays that pass the target."""

    direct: Int32[np.ndarray, "row column"]
    mirrored: Int32[np.ndarray, "row column"]


def ray_grid(vertices: Float[np.ndarray, "vertex 3"], look: Look, options: TraceOptions) -> RayGrid:
    """Grid over the projection of the target and, with ground, of its mirror image.

    The spacing is rounded so that it divides the width: areas are exact, and the rays of a symmetric target are symmetric.
    """
    across, above = vertices @ look.across, vertices @ look.above
    low, high = float(above.min()), float(above.max())
    if options.ground.enabled:
        mirrored = above - 2 * vertices[:, 2] * look.above[2]
        low, high = min(low, float(mirrored.min())), max(high, float(mirrored.max()))
    width, height = float(across.max() - across.min()), high - low
    spacing = options.spacing_m or math.sqrt(max(width, THINNEST_M) * max(height, THINNEST_M) / options.rays)
    columns = max(round(width / spacing), 1)
    spacing = width / columns if width > 1e-6 else spacing
    rows = max(math.ceil(height / spacing - 1e-6), 1)
    if rows * columns > MAX_RAYS:
        raise DataError(
            "ray spacing",
            f"{spacing:.4g} m makes {rows * columns:.3g} rays over {width:.1f} x {height:.1f} m,"
            f" which need {rows * columns * BYTES_PER_RAY / 2**30:.1f} GiB",
            f"at most {MAX_RAYS:.0e} rays",
            "use a larger spacing, or a smaller target",
        )
    return RayGrid(float(across.min()), low, spacing, rows, columns)


def first_hits(
    vertices: Float[np.ndarray, "vertex 3"], faces: np.ndarray, look: Look, grid: RayGrid, ground: bool
) -> FirstHits:
    """Rasterise target and mirror image; with ground, what lies below z = 0 is hidden."""
    shape = (grid.rows, grid.columns)
    direct = np.full(shape, -1, dtype=np.int32)
    depth = np.full(shape, -np.inf, dtype=np.float32)
    projected = np.column_stack([vertices @ look.across, vertices @ look.above, vertices @ look.toward, vertices[:, 2]])
    size = (grid.across_start, grid.above_start, grid.spacing)
    clipped = bool(ground and vertices[:, 2].min() < -1e-6)
    _rasterise(projected, faces, *size, clipped, direct, depth)
    if not ground:
        return FirstHits(direct, np.full(shape, -1, dtype=np.int32))
    height = vertices[:, 2:] * np.array([[look.above[2], look.toward[2]]])
    projected[:, 1:3] -= 2 * height
    mirrored = np.full(shape, -1, dtype=np.int32)
    depth.fill(-np.inf)
    _rasterise(projected, faces, *size, clipped, mirrored, depth)
    np.copyto(mirrored, -1, where=direct >= 0)
    return FirstHits(direct, mirrored)


def rasterise_depth(
    vertices: Float[np.ndarray, "vertex 3"], faces: np.ndarray, look: Look, spacing: float, ground: bool
) -> tuple[Float32[np.ndarray, "row column"], float, float]:
    """Depth u.p of the first target hit over the target's projection, -inf where there is none; and the grid's corner."""
    grid = ray_grid(vertices, look, TraceOptions(spacing_m=spacing, ground=GroundOptions(enabled=False)))
    depth = np.full((grid.rows, grid.columns), -np.inf, dtype=np.float32)
    owner = np.full((grid.rows, grid.columns), -1, dtype=np.int32)
    projected = np.column_stack([vertices @ look.across, vertices @ look.above, vertices @ look.toward, vertices[:, 2]])
    clipped = bool(ground and vertices[:, 2].min() < -1e-6)
    _rasterise(projected, faces, grid.across_start, grid.above_start, spacing, clipped, owner, depth)
    return depth, grid.across_start, grid.above_start


@njit(cache=True, nogil=True)
@no_type_check
def _rasterise(projected, faces, across_start, above_start, spacing, clipped, owner, depth):
    rows, columns = owner.shape
    scale = 1.0 / spacing
    for f in range(len(faces)):
        a, b, c = faces[f, 0], faces[f, 1], faces[f, 2]
        # corners in units of rays, sample (row, column) at whole numbers
        ax = (projected[a, 0] - across_start) * scale - 0.5
        ay = (projected[a, 1] - above_start) * scale - 0.5
        bx = (projected[b, 0] - across_start) * scale - 0.5
        by = (projected[b, 1] - above_start) * scale - 0.5
        cx = (projected[c, 0] - across_start) * scale - 0.5
        cy = (projected[c, 1] - above_start) * scale - 0.5
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-9:
            continue
        first_column = max(math.ceil(min(ax, bx, cx) - 1e-9), 0)
        last_column = min(math.floor(max(ax, bx, cx) + 1e-9), columns - 1)
        first_row = max(math.ceil(min(ay, by, cy) - 1e-9), 0)
        last_row = min(math.floor(max(ay, by, cy) + 1e-9), rows - 1)
        if first_column > last_column or first_row > last_row:
            continue
        # barycentric weights are linear in the sample: w_b = w_b0 + w_bx x + w_by y, likewise w_c
        inverse = 1.0 / area
        wbx, wby = (cy - ay) * inverse, -(cx - ax) * inverse
        wcx, wcy = -(by - ay) * inverse, (bx - ax) * inverse
        da, db, dc = projected[a, 2], projected[b, 2] - projected[a, 2], projected[c, 2] - projected[a, 2]
        za, zb, zc = projected[a, 3], projected[b, 3] - projected[a, 3], projected[c, 3] - projected[a, 3]
        for row in range(first_row, last_row + 1):
            # the columns in which all three weights are positive: a thin oblique triangle fills little of its box
            wb0 = wbx * -ax + wby * (row - ay)
            wc0 = wcx * -ax + wcy * (row - ay)
            left, right = _clip(wb0, wbx, np.float64(first_column), np.float64(last_column))
            left, right = _clip(wc0, wcx, left, right)
            left, right = _clip(1.0 - wb0 - wc0, -wbx - wcx, left, right)
            for column in range(math.ceil(left), math.floor(right) + 1):
                wb, wc = wb0 + wbx * column, wc0 + wcx * column
                w = np.float32(da + wb * db + wc * dc)
                if w > depth[row, column] and (not clipped or za + wb * zb + wc * zc >= -1e-6):
                    depth[row, column] = w
                    owner[row, column] = f


@njit(cache=True, nogil=True)
@no_type_check
def _clip(value, slope, left, right):
    """The part of [left, right] where value + slope x >= 0, a hair more than that so that shared edges leave no gap."""
    if slope > 1e-12:
        left = max(left, (-value - 1e-9) / slope - 1e-9)
    elif slope < -1e-12:
        right = min(right, (-value - 1e-9) / slope + 1e-9)
    elif value < -1e-9:
        right = left - 1.0
    return left, right
