"""Mending a mesh: welding, faces without area, doubled faces, winding; every step says what it did."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int

from geodiff_sar.core.errors import DataError
from geodiff_sar.geometry.mesh_edges import components, edge_table
from geodiff_sar.geometry.triangles import TriangleMesh

WELD_M = 5e-5
"""Vertices closer than half of this become one: programs write the same corner with other last digits, and surfaces
that should be smooth would be torn there."""

_THIN_M = 1e-6


def repair(mesh: TriangleMesh) -> tuple[TriangleMesh, list[str]]:
    """Weld, clean and orient a mesh given in metres.

    Returns:
        The mended mesh and sentences that say what was found and mended.

    Raises:
        DataError: no face has an area.
    """
    report = []
    vertices, faces = weld(mesh.vertices, mesh.faces)
    if merged := len(np.unique(mesh.faces)) - len(vertices):
        report.append(f"{merged:,} vertices at the place of another one were welded to it.")
    thick = _height(vertices, faces) > _THIN_M
    if not thick.any():
        raise DataError(
            mesh.name,
            f"all {len(faces):,} triangles are degenerate (thinner than 1 micrometre)",
            "triangles with an area",
            "export the model again; check that its coordinates are not all on a line",
        )
    if removed := int((~thick).sum()):
        report.append(f"{removed:,} degenerate faces (thinner than 1 micrometre) were removed.")
    part_of_face = mesh.part_of_face[thick]
    faces = faces[thick]
    _, first = np.unique(np.sort(faces, axis=1), axis=0, return_index=True)
    if doubled := len(faces) - len(first):
        report.append(f"{doubled:,} faces that lay on another face with the same corners were merged with it.")
    first = np.sort(first)
    faces, sentences = _oriented(vertices, faces[first])
    used, renumbered = np.unique(faces, return_inverse=True)
    mended = replace(mesh, vertices=vertices[used], faces=renumbered.reshape(-1, 3), part_of_face=part_of_face[first])
    return mended, [*report, *sentences]


def weld(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], tolerance: float = WELD_M
) -> tuple[Float[np.ndarray, "welded 3"], Int[np.ndarray, "face 3"]]:
    """Vertices closer than half of ``tolerance`` (in the mesh's unit) become one, the first; unused ones are left out.

    They are put into cubes of that size, and once more into cubes moved by half of it, so that no wall between two
    cubes parts them; those in one cube become one.
    """
    used, renumbered = np.unique(faces, return_inverse=True)
    points = vertices[used]
    cube, moved = _cubes(points / tolerance), _cubes(points / tolerance + 0.5)
    count = int(cube.max()) + 1
    place = components(np.stack([cube, moved + count], axis=1), count + int(moved.max()) + 1)[cube]
    _, first, number = np.unique(place, return_index=True, return_inverse=True)
    return points[np.sort(first)], np.argsort(np.argsort(first))[number.reshape(-1)][renumbered].reshape(-1, 3)


def _cubes(points: Float[np.ndarray, "vertex 3"]) -> Int[np.ndarray, " vertex"]:
    """Number of the cube of side 1 that each point is nearest to the middle of."""
    key = np.round(points).astype(np.int64)
    order = np.lexsort(key.T)
    starts = np.concatenate([[True], (np.diff(key[order], axis=0) != 0).any(axis=1)])
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.cumsum(starts) - 1
    return number


def _height(vertices: np.ndarray, faces: np.ndarray) -> Float[np.ndarray, " face"]:
    """Shortest height of every triangle: twice the area over the longest side."""
    corners = vertices[faces]
    sides = np.roll(corners, -1, axis=1) - corners
    longest = np.linalg.norm(sides, axis=2).max(axis=1)
    return np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / np.where(longest > 0, longest, 1.0)


def _oriented(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]
) -> tuple[Int[np.ndarray, "face 3"], list[str]]:
    """Wind neighbouring faces alike, and closed pieces outward.

    Every face stands twice in a graph, as it is and turned round; neighbours are linked so that a connected component
    is one consistent winding of a piece. A piece whose two windings are connected cannot be wound alike (a Moebius
    strip) and is left as it is.
    """
    edges = edge_table(faces)
    pairs, count = edges.pairs, len(faces)
    one, two = pairs[:, 0] // 3, pairs[:, 1] // 3
    against = (edges.forward[pairs[:, 0]] == edges.forward[pairs[:, 1]]) * count
    links = np.stack([np.concatenate([one, one + count]), np.concatenate([two + against, two + count - against])], 1)
    winding = components(links, 2 * count)
    as_is, turned = winding[:count], winding[count:]
    size = np.bincount(as_is, minlength=winding.max() + 1)
    flip = (size[turned] > size[as_is]) | ((size[turned] == size[as_is]) & (turned < as_is))
    flip &= as_is != turned
    against_neighbours = int(flip.sum())
    faces = np.where(flip[:, None], faces[:, ::-1], faces)

    piece = np.minimum(as_is, turned)
    closed = np.ones(winding.max() + 1, dtype=bool)
    open_half = edges.count[edges.of_half] != 2
    closed[piece[np.flatnonzero(open_half) // 3]] = False
    inside_out = _inside_out(vertices, faces, piece) & (closed[piece]) & (as_is != turned)
    faces = np.where(inside_out[:, None], faces[:, ::-1], faces)

    pieces, closed_pieces = len(np.unique(piece)), len(np.unique(piece[closed[piece]]))
    report = []
    if against_neighbours:
        report.append(f"{against_neighbours:,} faces wound against their neighbours were turned round.")
    if inside_out.any():
        report.append(
            f"{len(np.unique(piece[inside_out])):,} closed pieces ({int(inside_out.sum()):,} faces) were inside out "
            "(negative volume) and were turned round."
        )
    if closed_pieces == pieces:
        report.append(f"The mesh is watertight: {pieces:,} closed piece{'s' if pieces > 1 else ''}.")
    else:
        report.append(
            f"The mesh is not watertight: {closed_pieces:,} of {pieces:,} connected pieces are closed. The ray tracer "
            "takes facets as two-sided, so the winding of open pieces does not matter."
        )
    return faces, report


def _inside_out(vertices: np.ndarray, faces: np.ndarray, piece: np.ndarray) -> Bool[np.ndarray, " face"]:
    """Whether the piece of each face has a negative volume, by the right-hand rule."""
    a, b, c = np.moveaxis(vertices[faces] - vertices.mean(axis=0), 1, 0)
    volume = np.bincount(piece, np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)
    return (volume < 0)[piece]
