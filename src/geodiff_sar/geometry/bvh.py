"""Bounding volume hierarchy over triangles: eight children per node, eight triangles per leaf, so that one vector instruction
tests all of them; and the casting of rays."""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, Int32
from numba import njit

from geodiff_sar.geometry.bvh_build import build_tree
from geodiff_sar.geometry.kernels import inner_kernel
from geodiff_sar.geometry.simd import LANES, hit_boxes, hit_triangles

STACK_SIZE = 256
"""Entries of the work space ``stack`` (int32) of a cast; ``near`` (float32) has LANES more."""

_LOWEST = np.array([(k & -k).bit_length() - 1 for k in range(1 << LANES)], dtype=np.int32)  # lowest bit that is set


@dataclass(frozen=True)
class Bvh:
    """The tree as flat arrays, ready for the kernels.

    Attributes:
        boxes: (I, 48) of the eight children: low x, y, z, then high x, y, z, eight each; m. Missing children lie far away.
        children: (I, 8) an inner node's number, or a leaf as ``-(1 + block)``.
        triangles: (B, 72) of the eight triangles of a block: first corner x, y, z and two edge vectors, eight each; m.
        order: (8 B,) face number of each triangle; -1 where a block has fewer.
    """

    boxes: Float32[np.ndarray, "node 48"]
    children: Int32[np.ndarray, "node 8"]
    triangles: Float32[np.ndarray, "block 72"]
    order: Int32[np.ndarray, " slot"]


def build_bvh(corners: Float[np.ndarray, "face 3 3"]) -> Bvh:
    """Build the tree over triangles given by their corners, m."""
    return Bvh(*build_tree(np.ascontiguousarray(corners, dtype=np.float32)))


@inner_kernel
@no_type_check
def cast(boxes, children, triangles, order, ox, oy, oz, dx, dy, dz, limit, any_hit, stack, near):
    """Face number of the nearest triangle before ``limit`` (of any triangle, if ``any_hit``), or -1; distance beside it.

    All numbers are float32; ``stack`` (int32, STACK_SIZE) and ``near`` (float32, STACK_SIZE + LANES) are work space.
    """
    zero, one, huge = np.float32(0.0), np.float32(1.0), np.float32(1e30)
    ix = one / dx if dx != zero else huge
    iy = one / dy if dy != zero else huge
    iz = one / dz if dz != zero else huge
    best, found = limit, -1
    depth, code = 0, 0
    while True:
        if code >= 0:
            mask = hit_boxes(boxes, code, ox, oy, oz, ix, iy, iz, best, near)
            if mask != 0 and mask & (mask - 1) == 0:  # one child: straight on
                code = children[code, _LOWEST[mask]]
                continue
            bottom = depth
            while mask != 0:
                lane = _LOWEST[mask]
                mask &= mask - 1
                distance = near[lane]
                place = depth
                while place > bottom and near[LANES + place - 1] < distance:  # the nearest child comes on top
                    stack[place], near[LANES + place] = stack[place - 1], near[LANES + place - 1]
                    place -= 1
                stack[place], near[LANES + place] = children[code, lane], distance
                depth += 1
        else:
            block = -code - 1
            mask = hit_triangles(triangles, block, ox, oy, oz, dx, dy, dz, best, near)
            while mask != 0:
                lane = _LOWEST[mask]
                mask &= mask - 1
                if near[lane] < best:
                    best, found = near[lane], block * LANES + lane
            if any_hit and found >= 0:
                break
        while depth > 0 and near[LANES + depth - 1] >= best:
            depth -= 1
        if depth == 0:
            break
        depth -= 1
        code = stack[depth]
    return (order[found] if found >= 0 else -1), best


@njit(cache=True, nogil=True)
@no_type_check
def cast_many(boxes, children, triangles, order, origins, directions, limits, any_hit):
    """Face number per ray, or -1. Origins and directions (N, 3) float32, limits (N,) float32 in m."""
    faces = np.empty(len(origins), dtype=np.int32)
    stack, near = np.empty(STACK_SIZE, dtype=np.int32), np.empty(STACK_SIZE + LANES, dtype=np.float32)
    for i in range(len(origins)):
        o, d = origins[i], directions[i]
        faces[i], _ = cast(
            boxes, children, triangles, order, o[0], o[1], o[2], d[0], d[1], d[2], limits[i], any_hit, stack, near
        )
    return faces


def cast_rays(
    bvh: Bvh,
    origins: Float[np.ndarray, "ray 3"],
    directions: Float[np.ndarray, "ray 3"],
    limit_m: float | Float[np.ndarray, " ray"] = 1e9,
    any_hit: bool = False,
) -> Int[np.ndarray, " ray"]:
    """Face that each ray meets first before ``limit_m`` (some face, if ``any_hit``), or -1."""
    limits = np.broadcast_to(np.asarray(limit_m, dtype=np.float32), (len(origins),))
    return cast_many(
        bvh.boxes,
        bvh.children,
        bvh.triangles,
        bvh.order,
        np.ascontiguousarray(origins, dtype=np.float32),
        np.ascontiguousarray(directions, dtype=np.float32),
        np.ascontiguousarray(limits),
        any_hit,
    )
