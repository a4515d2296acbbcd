"""Building the tree: references, a binary tree over them, folded to eight children per node.

The binary tree is built by the binned surface-area heuristic (Wald 2007, "On fast construction of SAH-based bounding volume
hierarchies") and folded as by Wald, Benthin and Boulos 2008, "Getting rid of packets". Long thin triangles that lie
askew have
boxes that are mostly empty, so they enter the tree in several pieces, each with its own box (Ernst and Greiner 2007, "Early
split clipping").
"""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int32
from numba import njit

from geodiff_sar.geometry.simd import LANES

BINS = 16
PIECES_PER_FACE = 1.6
MOST_PIECES = 32
_BUILD_STACK = 96
_LEAF_FACTOR = 16  # in the binary tree a leaf is the number -(1 + first * 16 + count)


def build_tree(
    corners: Float32[np.ndarray, "face 3 3"],
) -> tuple[
    Float32[np.ndarray, "node 48"],
    Int32[np.ndarray, "node 8"],
    Float32[np.ndarray, "block 72"],
    Int32[np.ndarray, " slot"],
]:
    """Boxes, children, triangles and order as ``bvh.Bvh`` holds them."""
    pieces = _pieces(corners)
    faces = np.repeat(np.arange(len(corners), dtype=np.int32), pieces)
    low, high = _reference_boxes(corners, pieces)
    boxes, children, order = _build(low, high)
    return _fold(boxes, children, faces[order], corners)


def _pieces(corners: Float32[np.ndarray, "face 3 3"]) -> Int32[np.ndarray, " face"]:
    """In how many pieces each triangle enters the tree; on average at most PIECES_PER_FACE.

    The longest triangles whose box has more than four times the area that they need are cut to a common length.
    """
    size = corners.max(axis=1) - corners.min(axis=1)
    box = size[:, 0] * size[:, 1] + size[:, 1] * size[:, 2] + size[:, 2] * size[:, 0]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    longest = np.where(box > 4 * area, size.max(axis=1), 0.0)
    allowed = PIECES_PER_FACE * len(corners)
    low, high = 0.0, max(float(longest.max()), 1e-6)
    for _ in range(30):
        middle = 0.5 * (low + high)
        total = np.clip(np.ceil(longest / middle), 1, MOST_PIECES).sum()
        low, high = (low, middle) if total <= allowed else (middle, high)
    return np.clip(np.ceil(longest / high), 1, MOST_PIECES).astype(np.int32)


@njit(cache=True, nogil=True)
@no_type_check
def _reference_boxes(corners, pieces):
    """Boxes of the pieces: every triangle is cut into slabs of equal width along its longest side."""
    count = pieces.sum()
    low, high = np.empty((count, 3), dtype=np.float32), np.empty((count, 3), dtype=np.float32)
    r = 0
    for f in range(len(corners)):
        t = corners[f]
        axis, widest = 0, np.float32(-1.0)
        for k in range(3):
            extent = max(t[0, k], t[1, k], t[2, k]) - min(t[0, k], t[1, k], t[2, k])
            if extent > widest:
                axis, widest = k, extent
        start = np.float64(min(t[0, axis], t[1, axis], t[2, axis]))
        width = np.float64(widest) / pieces[f]
        for piece in range(pieces[f]):
            left, right = start + piece * width, start + (piece + 1) * width
            for k in range(3):
                low[r, k], high[r, k] = np.inf, -np.inf
            for i in range(3):
                a, b = t[i], t[(i + 1) % 3]
                xa, xb = np.float64(a[axis]), np.float64(b[axis])
                if left <= xa <= right or pieces[f] == 1:
                    for k in range(3):
                        low[r, k], high[r, k] = min(low[r, k], a[k]), max(high[r, k], a[k])
                for cut in (left, right):
                    if (xa - cut) * (xb - cut) < 0.0:
                        share = (cut - xa) / (xb - xa)
                        for k in range(3):
                            x = np.float64(a[k]) + share * (np.float64(b[k]) - np.float64(a[k]))
                            slack = 1e-6 * (1.0 + abs(x))  # a hair larger, against rounding
                            low[r, k], high[r, k] = min(low[r, k], x - slack), max(high[r, k], x + slack)
            if low[r, 0] > high[r, 0]:  # a sliver between two rounded cuts
                for k in range(3):
                    low[r, k], high[r, k] = min(t[0, k], t[1, k], t[2, k]), max(t[0, k], t[1, k], t[2, k])
            r += 1
    return low, high


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
    stack = np.empty((_BUILD_STACK, 3), dtype=np.int64)
    stack[0] = (0, 0, n)
    depth, nodes = 1, 1
    part = np.empty(6, dtype=np.float32)
    while depth > 0:
        depth -= 1
        node, start, stop = stack[depth]
        if stop - start <= LANES:  # only the root of a tiny mesh: one leaf, and an empty box that no ray meets
            _bounds(low, high, order, start, stop, part)
            boxes[node, :6] = part
            boxes[node, 6:9], boxes[node, 9:] = np.inf, -np.inf
            children[node, 0] = -(1 + start * _LEAF_FACTOR + (stop - start))
            children[node, 1] = -1
            continue
        axis, position = _best_split(low, high, order, start, stop)
        middle = _partition(low, high, order, start, stop, axis, position) if axis >= 0 else start
        # coinciding centroids, or a tree too deep for the stack: halve the list
        if middle in (start, stop) or depth > _BUILD_STACK // 2:
            middle = (start + stop) // 2
        for side in range(2):
            first, last = (start, middle) if side == 0 else (middle, stop)
            _bounds(low, high, order, first, last, part)
            boxes[node, 6 * side : 6 * side + 6] = part
            if last - first <= LANES:
                children[node, side] = -(1 + first * _LEAF_FACTOR + (last - first))
            else:
                children[node, side] = nodes
                stack[depth] = (nodes, first, last)
                depth += 1
                nodes += 1
    return boxes[:nodes].copy(), children[:nodes].copy(), order


@njit(cache=True, nogil=True)
@no_type_check
def _fold(binary_boxes, binary_children, faces, corners):
    """From two children per node to eight: the largest inner child is replaced by its own two until eight are there."""
    count = len(binary_children)
    boxes = np.full((count, 6 * LANES), 1e30, dtype=np.float32)
    children = np.zeros((count, LANES), dtype=np.int32)
    leaves = 0
    for node in range(count):
        for side in range(2):
            if binary_children[node, side] < -1:
                leaves += 1
    triangles = np.zeros((leaves, 9 * LANES), dtype=np.float32)
    order = np.full(leaves * LANES, -1, dtype=np.int32)
    source = np.empty(count, dtype=np.int32)  # binary node that a wide node stands for
    source[0] = 0
    nodes, done, blocks = 1, 0, 0
    code = np.empty(LANES, dtype=np.int32)
    box = np.empty((LANES, 6), dtype=np.float32)
    while done < nodes:
        held = 0
        for side in range(2):
            code[held] = binary_children[source[done], side]
            box[held] = binary_boxes[source[done], 6 * side : 6 * side + 6]
            held += 1
        while held < LANES:
            largest, chosen = np.float32(-1.0), -1
            for k in range(held):
                if code[k] >= 0 and _half_area(box[k]) > largest:
                    largest, chosen = _half_area(box[k]), k
            if chosen < 0:
                break
            inner = code[chosen]
            code[chosen], box[chosen] = binary_children[inner, 0], binary_boxes[inner, :6]
            code[held], box[held] = binary_children[inner, 1], binary_boxes[inner, 6:]
            held += 1
        for k in range(held):
            if code[k] == -1:  # the empty half of a tiny mesh
                continue
            for i in range(6):
                boxes[done, i * LANES + k] = box[k, i]
            if code[k] >= 0:
                children[done, k] = nodes
                source[nodes] = code[k]
                nodes += 1
                continue
            packed = -code[k] - 1
            first, size = packed // _LEAF_FACTOR, packed % _LEAF_FACTOR
            children[done, k] = -(1 + blocks)
            for j in range(size):
                f = faces[first + j]
                order[blocks * LANES + j] = f
                for i in range(3):
                    triangles[blocks, i * LANES + j] = corners[f, 0, i]
                    triangles[blocks, (3 + i) * LANES + j] = corners[f, 1, i] - corners[f, 0, i]
                    triangles[blocks, (6 + i) * LANES + j] = corners[f, 2, i] - corners[f, 0, i]
            blocks += 1
        done += 1
    return boxes[:nodes].copy(), children[:nodes].copy(), triangles, order
