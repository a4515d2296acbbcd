"""Bounding volume hierarchy over triangles: binned surface-area heuristic, float32 boxes, numba.

Build after Wald (2007), "On fast construction of SAH-based bounding volume hierarchies"; ray against triangle after
Moeller and Trumbore (1997). An inner node holds the boxes of both children, so one node is one cache line and a half.
"""

from dataclasses import dataclass
from typing import no_type_check

import numpy as np
from jaxtyping import Float, Float32, Int, Int32
from numba import njit

LEAF_SIZE = 4
STACK_SIZE = 96
BINS = 16
_LEAF_FACTOR = 8  # a leaf is the number -(1 + first * 8 + count)


@dataclass(frozen=True)
class Bvh:
    """The tree as flat arrays, ready for the kernels.

    Attributes:
        boxes: (I, 12) low and high corner of the left child's box, then of the right child's; m.
        children: (I, 2) an inner node's number, or a leaf as ``-(1 + 8 first + count)``.
        triangles: (F, 9) first corner and two edge vectors, in the order of the leaves; m.
        order: (F,) face number of each triangle.
    """

    boxes: Float32[np.ndarray, "node 12"]
    children: Int32[np.ndarray, "node 2"]
    triangles: Float32[np.ndarray, "face 9"]
    order: Int32[np.ndarray, " face"]


def build_bvh(corners: Float[np.ndarray, "face 3 3"]) -> Bvh:
    """Build the tree over triangles given by their corners, m."""
    corners32 = np.ascontiguousarray(corners, dtype=np.float32)
    low, high = corners32.min(axis=1), corners32.max(axis=1)
    boxes, children, order = _build(low, high)
    sorted_corners = corners32[order]
    first = sorted_corners[:, 0]
    triangles = np.concatenate([first, sorted_corners[:, 1] - first, sorted_corners[:, 2] - first], axis=1)
    return Bvh(boxes, children, np.ascontiguousarray(triangles), order)


@njit(cache=True, nogil=True)
@no_type_check
def _bounds(low, high, order, start, stop, out):
    for axis in range(3):
        lowest, highest = np.float32(np.inf), np.float32(-np.inf)
        for i in range(start, stop):
            lowest = min(lowest, low[order[i], axis])
            highest = max(highest, high[order[i], axis])
        out[axis], out[3 + axis] = lowest, highest


@njit(cache=True, nogil=True)
@no_type_check
def _half_area(box):
    x, y, z = box[3] - box[0], box[4] - box[1], box[5] - box[2]
    return x * y + y * z + z * x


@njit(cache=True, nogil=True)
@no_type_check
def _best_split(low, high, order, start, stop):
    """Axis and centroid position of the cheapest of the binned splits; axis -1 where all centroids coincide."""
    c0, c1 = np.full(3, np.inf), np.full(3, -np.inf)
    for i in range(start, stop):
        for axis in range(3):
            centre = 0.5 * (np.float64(low[order[i], axis]) + np.float64(high[order[i], axis]))
            c0[axis], c1[axis] = min(c0[axis], centre), max(c1[axis], centre)
    best_cost, best_axis, best_position = np.inf, -1, 0.0
    widest = np.argmax(c1 - c0)
    count = np.zeros(BINS, dtype=np.int64)
    boxes = np.empty((BINS, 6), dtype=np.float32)
    right = np.empty(BINS)
    for axis in range(3):
        extent = c1[axis] - c0[axis]
        if extent <= 1e-9 or (stop - start > 4096 and axis != widest):
            continue
        count[:] = 0
        boxes[:, :3], boxes[:, 3:] = np.inf, -np.inf
        scale = BINS * (1.0 - 1e-6) / extent
        for i in range(start, stop):
            f = order[i]
            centre = 0.5 * (np.float64(low[f, axis]) + np.float64(high[f, axis]))
            b = int((centre - c0[axis]) * scale)
            count[b] += 1
            for k in range(3):
                boxes[b, k] = min(boxes[b, k], low[f, k])
                boxes[b, 3 + k] = max(boxes[b, 3 + k], high[f, k])
        running = np.empty(6, dtype=np.float32)
        running[:3], running[3:] = np.inf, -np.inf
        total = 0
        for b in range(BINS - 1, 0, -1):
            total += count[b]
            for k in range(3):
                running[k] = min(running[k], boxes[b, k])
                running[3 + k] = max(running[3 + k], boxes[b, 3 + k])
            right[b] = total * _half_area(running) if total else np.inf
        running[:3], running[3:] = np.inf, -np.inf
        total = 0
        for b in range(BINS - 1):
            total += count[b]
            for k in range(3):
                running[k] = min(running[k], boxes[b, k])
                running[3 + k] = max(running[3 + k], boxes[b, 3 + k])
            if total == 0 or right[b + 1] == np.inf:
                continue
            cost = total * _half_area(running) + right[b + 1]
            if cost < best_cost:
                best_cost, best_axis, best_position = cost, axis, c0[axis] + (b + 1) / scale
    return best_axis, best_position


@njit(cache=True, nogil=True)
@no_type_check
def _partition(low, high, order, start, stop, axis, position):
    i, j = start, stop - 1
    while i <= j:
        f = order[i]
        if 0.5 * (np.float64(low[f, axis]) + np.float64(high[f, axis])) < position:
            i += 1
        else:
            order[i], order[j] = order[j], f
            j -= 1
    return i


@njit(cache=True, nogil=True)
@no_type_check
def _build(low, high):
    n = low.shape[0]
    order = np.arange(n).astype(np.int32)
    boxes = np.empty((max(n, 1), 12), dtype=np.float32)
    children = np.empty((max(n, 1), 2), dtype=np.int32)
    stack = np.empty((STACK_SIZE, 3), dtype=np.int64)
    stack[0] = (0, 0, n)
    depth, nodes = 1, 1
    part = np.empty(6, dtype=np.float32)
    while depth > 0:
        depth -= 1
        node, start, stop = stack[depth]
        if stop - start <= LEAF_SIZE:  # only the root of a tiny mesh: one leaf, and an empty box that no ray meets
            _bounds(low, high, order, start, stop, part)
            boxes[node, :6] = part
            boxes[node, 6:9], boxes[node, 9:] = np.inf, -np.inf
            children[node, 0] = -(1 + start * _LEAF_FACTOR + (stop - start))
            children[node, 1] = -1
            continue
        axis, position = _best_split(low, high, order, start, stop)
        middle = _partition(low, high, order, start, stop, axis, position) if axis >= 0 else start
        # coinciding centroids, or a tree too deep for the stack: halve the list
        if middle in (start, stop) or depth > STACK_SIZE // 2:
            middle = (start + stop) // 2
        for side in range(2):
            first, last = (start, middle) if side == 0 else (middle, stop)
            _bounds(low, high, order, first, last, part)
            boxes[node, 6 * side : 6 * side + 6] = part
            if last - first <= LEAF_SIZE:
                children[node, side] = -(1 + first * _LEAF_FACTOR + (last - first))
            else:
                children[node, side] = nodes
                stack[depth] = (nodes, first, last)
                depth += 1
                nodes += 1
    return boxes[:nodes].copy(), children[:nodes].copy(), order


@njit(cache=True, nogil=True, fastmath=True)
@no_type_check
def cast(boxes, children, triangles, order, ox, oy, oz, dx, dy, dz, limit, any_hit, stack, near):
    """Face number of the nearest triangle before ``limit`` (of any triangle, if ``any_hit``), or -1; distance beside it.

    All numbers are float32; ``stack`` (int32) and ``near`` (float32) are work space of STACK_SIZE entries.
    """
    zero, one, huge = np.float32(0.0), np.float32(1.0), np.float32(1e30)
    ix = one / dx if dx != zero else huge
    iy = one / dy if dy != zero else huge
    iz = one / dz if dz != zero else huge
    best, found = limit, -1
    depth, node = 0, 0
    while True:
        # the two children; a leaf is tested at once, an inner child is entered or kept for later
        next_node, next_near, later, later_near = -1, zero, -1, zero
        for side in range(2):
            k = 6 * side
            a, b = (boxes[node, k] - ox) * ix, (boxes[node, k + 3] - ox) * ix
            t0, t1 = min(a, b), max(a, b)
            a, b = (boxes[node, k + 1] - oy) * iy, (boxes[node, k + 4] - oy) * iy
            t0, t1 = max(t0, min(a, b)), min(t1, max(a, b))
            a, b = (boxes[node, k + 2] - oz) * iz, (boxes[node, k + 5] - oz) * iz
            t0, t1 = max(t0, min(a, b)), min(t1, max(a, b))
            if t0 > t1 or t1 < zero or t0 >= best:
                continue
            child = children[node, side]
            if child >= 0:
                if next_node < 0:
                    next_node, next_near = child, t0
                elif t0 < next_near:
                    later, later_near = next_node, next_near
                    next_node, next_near = child, t0
                else:
                    later, later_near = child, t0
                continue
            packed = -child - 1
            first, count = packed // _LEAF_FACTOR, packed % _LEAF_FACTOR
            for i in range(first, first + count):
                e1x, e1y, e1z = triangles[i, 3], triangles[i, 4], triangles[i, 5]
                e2x, e2y, e2z = triangles[i, 6], triangles[i, 7], triangles[i, 8]
                px, py, pz = dy * e2z - dz * e2y, dz * e2x - dx * e2z, dx * e2y - dy * e2x
                det = e1x * px + e1y * py + e1z * pz
                if det == zero:
                    continue
                inv = one / det
                tx, ty, tz = ox - triangles[i, 0], oy - triangles[i, 1], oz - triangles[i, 2]
                u = (tx * px + ty * py + tz * pz) * inv
                if u < np.float32(-1e-6) or u > np.float32(1.000001):
                    continue
                qx, qy, qz = ty * e1z - tz * e1y, tz * e1x - tx * e1z, tx * e1y - ty * e1x
                v = (dx * qx + dy * qy + dz * qz) * inv
                if v < np.float32(-1e-6) or u + v > np.float32(1.000001):
                    continue
                t = (e2x * qx + e2y * qy + e2z * qz) * inv
                if t > zero and t < best:
                    best, found = t, i
                    if any_hit:
                        return order[i], best
        if next_node >= 0:
            if later >= 0:
                stack[depth], near[depth] = later, later_near
                depth += 1
            node = next_node
            continue
        while depth > 0 and near[depth - 1] >= best:
            depth -= 1
        if depth == 0:
            break
        depth -= 1
        node = stack[depth]
    return (order[found] if found >= 0 else -1), best


@njit(cache=True, nogil=True)
@no_type_check
def cast_many(boxes, children, triangles, order, origins, directions, limits, any_hit):
    """Face number per ray, or -1. Origins and directions (N, 3) float32, limits (N,) float32 in m."""
    faces = np.empty(len(origins), dtype=np.int32)
    stack, near = np.empty(STACK_SIZE, dtype=np.int32), np.empty(STACK_SIZE, dtype=np.float32)
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
