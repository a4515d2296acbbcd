"""Edges of a triangle mesh, and normals of its corners within smoothing groups."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

_FLAT_DEG = 0.05  # faces that differ by less are one plate
_BULGE = 1 / 400


@dataclass(frozen=True)
class EdgeTable:
    """Edges; half-edge 3 f + k runs from corner k of face f to corner k + 1.

    Attributes:
        ends: (E, 2) vertex numbers, the lower one first.
        of_half: (3F,) edge of every half-edge.
        count: (E,) how many faces meet at the edge.
        forward: (3F,) whether the half-edge runs from the lower vertex to the higher one.
    """

    ends: Int[np.ndarray, "edge 2"]
    of_half: Int[np.ndarray, " half"]
    count: Int[np.ndarray, " edge"]
    forward: Bool[np.ndarray, " half"]

    @property
    def pairs(self) -> Int[np.ndarray, "pair 2"]:
        """The two half-edges of every edge at which exactly two faces meet."""
        order = np.argsort(self.of_half, kind="stable")
        first = (np.cumsum(self.count) - self.count)[self.count == 2]
        return np.stack([order[first], order[first + 1]], axis=1)


def edge_table(faces: Int[np.ndarray, "face 3"]) -> EdgeTable:
    """The edges of ``faces``."""
    start, end = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    low, high = np.minimum(start, end), np.maximum(start, end)
    width = int(faces.max()) + 1
    keys, of_half, count = np.unique(low * width + high, return_inverse=True, return_counts=True)
    return EdgeTable(np.stack([keys // width, keys % width], axis=1), of_half.reshape(-1), count, start < end)


def components(links: Int[np.ndarray, "link 2"], count: int) -> Int[np.ndarray, " node"]:
    """Number of the connected component of each of ``count`` nodes."""
    graph = coo_matrix((np.ones(len(links), dtype=np.int8), (links[:, 0], links[:, 1])), shape=(count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def face_vectors(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Float[np.ndarray, "face 3"], Float[np.ndarray, " face"]]:
    """Unit normals (zero without area) and areas."""
    a, b, c = np.moveaxis(vertices[faces], 1, 0)
    normal = np.cross(b - a, c - a)
    length = np.linalg.norm(normal, axis=1)
    return normal / np.where(length > 0, length, 1.0)[:, None], 0.5 * length


def smooth_normals(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], crease_deg: float
) -> tuple[Int[np.ndarray, "face 3"], Float[np.ndarray, "group 3"]]:
    """Normals of the smooth surface that the facets stand for.

    The faces round a vertex fall into groups, parted by creases: edges whose faces differ by more than ``crease_deg``,
    at which other than two faces meet, whose faces are wound against each other, or between flat plates (one of them
    more than a quad) so wide that a smooth surface through them would stand off by more than 1/400 of the model's
    extent, as where plates of armour meet at a small angle. The normal of a group is the mean of its faces' normals
    weighted by their angle at the vertex, so that it does not depend on how a surface is cut into triangles. A flat
    piece of surface that is more than four times as large as every other one in its group gives its own normal, so
    that a plate stays flat up to where a small fillet begins.

    Returns:
        Number of the group at every corner, and unit normals of the groups.
    """
    normals, areas = face_vectors(vertices, faces)
    edges = edge_table(faces)
    pairs = edges.pairs
    cosine = np.einsum("ij,ij->i", normals[pairs[:, 0] // 3], normals[pairs[:, 1] // 3])
    opposite = edges.forward[pairs[:, 0]] != edges.forward[pairs[:, 1]]
    flat = opposite & (cosine > np.cos(np.radians(_FLAT_DEG)))
    plate = components(pairs[flat] // 3, len(faces))
    plate_area = np.bincount(plate, areas)
    sides = plate[pairs // 3]
    width = _plate_widths(vertices, faces, plate, areas)[sides].min(axis=1)
    bulge = np.where(np.bincount(plate)[sides].max(axis=1) > 2, width * np.arccos(np.clip(cosine, -1, 1)) / 8, 0.0)
    too_wide = bulge > _BULGE * np.ptp(vertices[faces], axis=(0, 1)).max()
    smooth = opposite & (cosine > np.cos(np.radians(crease_deg))) & ~too_wide
    group = components(_corner_links(pairs[smooth]), faces.size)

    weight = _angles(vertices, faces).ravel()
    face = np.repeat(np.arange(len(faces)), 3)
    corner_area = plate_area[plate[face]]
    largest = np.zeros(group.max() + 1)
    np.maximum.at(largest, group, corner_area)
    is_largest = corner_area > (1 - 1e-9) * largest[group]
    plate_of_group = np.zeros(len(largest), dtype=np.int64)
    plate_of_group[group[is_largest]] = plate[face[is_largest]]
    other = plate[face] != plate_of_group[group]
    second = np.zeros(len(largest))
    np.maximum.at(second, group[other], corner_area[other])
    dominated = other & (largest > 4 * second)[group]
    weight = np.where(dominated, 0.0, weight)
    total = np.stack([np.bincount(group, weight * normals[face, axis]) for axis in range(3)], axis=1)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return group.reshape(-1, 3), total / np.where(length > 0, length, 1.0)


def _plate_widths(
    vertices: np.ndarray, faces: np.ndarray, plate: Int[np.ndarray, " face"], areas: np.ndarray
) -> Float[np.ndarray, " plate"]:
    """Narrow width of every plate: that of the rectangle with its second moments."""
    corners = vertices[faces]
    area = np.maximum(np.bincount(plate, areas), 1e-300)
    middle = np.stack([np.bincount(plate, areas * corners.mean(axis=1)[:, i]) / area for i in range(3)], axis=1)
    offset = corners - middle[plate][:, None]
    centre = offset.sum(axis=1)
    # integral of x x^T over a triangle with corners p: A / 12 (sum of p p^T + (sum of p) (sum of p)^T)
    moment = np.einsum("fki,fkj->fij", offset, offset) + np.einsum("fi,fj->fij", centre, centre)
    moment *= areas[:, None, None] / 12
    second = np.stack([np.bincount(plate, moment[:, i, j]) for i in range(3) for j in range(3)], axis=1)
    spread = np.linalg.eigvalsh((second / area[:, None]).reshape(-1, 3, 3))[:, 1]
    return np.sqrt(12 * np.clip(spread, 0, None))


def _corner_links(pairs: Int[np.ndarray, "pair 2"]) -> Int[np.ndarray, "link 2"]:
    """Corners (3 f + k) of two faces that share a vertex, for edges run in opposite directions."""
    first, second = pairs[:, 0], pairs[:, 1]

    def after(half: np.ndarray) -> np.ndarray:
        return half - half % 3 + (half % 3 + 1) % 3

    return np.concatenate([np.stack([first, after(second)], axis=1), np.stack([after(first), second], axis=1)], axis=0)


def _angles(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corners = vertices[faces]
    along = np.roll(corners, -1, axis=1) - corners
    back = -np.roll(along, 1, axis=1)
    cross = np.linalg.norm(np.cross(along, back), axis=2)
    return np.arctan2(cross, np.einsum("ijk,ijk->ij", along, back))
