"""Connected pieces of a mesh, and those among them that stand for a turning propeller."""

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.spatial import ConvexHull, QhullError

from geodiff_sar.geometry.mesh_edges import components, face_vectors
from geodiff_sar.geometry.mesh_repair import weld
from geodiff_sar.geometry.triangles import TriangleMesh

MOST_PIECES = 200
"""Pieces with a name of their own; smaller ones are called REST together."""
REST = "rest"

_WELD = 5e-6  # of the model's extent
_CROSSWISE_DEG = 10.0
_RADIUS = (0.03, 0.3)  # of the model's extent
_HUB = 0.3  # of the radius
_ROUND = 0.03  # of the radius
_LARGEST_GAP_DEG = 45.0
_SMALLEST_SECTOR_DEG = 15.0


def piece_of_face(mesh: TriangleMesh) -> Int[np.ndarray, " face"]:
    """Number of the connected piece of every face, from 0: the largest area first, equal ones as in the file.

    Faces are connected that share a vertex, where vertices closer than 2.5 millionths of the model's extent count as
    one. A mesh whose extent is zero or beyond all numbers is one piece.
    """
    low, high = mesh.bounds
    with np.errstate(over="ignore"):
        span = float(np.max(high - low))
    if not 0 < span < np.inf:
        return np.zeros(len(mesh.faces), dtype=np.int64)
    vertices, faces = weld((mesh.vertices - low) / span, mesh.faces, _WELD)
    component = components(np.concatenate([faces[:, :2], faces[:, 1:]]), len(vertices))[faces[:, 0]]
    numbers, first, component = np.unique(component, return_index=True, return_inverse=True)
    area = np.bincount(component.reshape(-1), face_vectors(vertices, faces)[1])
    rounded = np.round(area / max(area.max(), 1e-300), 7)  # mirrored pieces tie whatever the last digits
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[np.lexsort((first, -rounded))] = np.arange(len(numbers))
    return rank[component.reshape(-1)]


def split_pieces(mesh: TriangleMesh) -> TriangleMesh:
    """The same mesh with a part for every connected piece, "piece 1" the largest; a single piece keeps its name."""
    piece = piece_of_face(mesh)
    count = int(piece.max()) + 1
    if count == 1:
        return mesh
    names = [f"piece {number + 1}" for number in range(min(count, MOST_PIECES))]
    if count > MOST_PIECES:
        names.append(REST)
    return replace(mesh, part_of_face=np.minimum(piece, MOST_PIECES), parts=tuple(names))


def find_discs(mesh: TriangleMesh) -> Bool[np.ndarray, " face"]:
    """Faces of the discs and sectors that models of aircraft have in place of a turning propeller.

    Such a piece is a thin sheet: all its faces lie within 10 degrees of the plane crosswise to the nose. Seen from the
    nose its outline is a circle, or one or more arcs of 15 degrees or more with corners near their centre (within 30 %
    of the radius) and none between. Its radius is 3 to 30 % of the model's extent. Blades are no such sheets, for
    their faces turn by more; plates with straight edges have no arc.

    Args:
        mesh: x to the nose, in any unit.
    """
    piece = piece_of_face(mesh)
    low, high = mesh.bounds
    with np.errstate(over="ignore"):
        span = float(np.max(high - low))
    if not 0 < span < np.inf:
        return np.zeros(len(piece), dtype=bool)
    normals, areas = face_vectors((mesh.vertices - low) / span, mesh.faces)
    off = (np.abs(normals[:, 0]) < np.cos(np.radians(_CROSSWISE_DEG))) & (areas > 0)
    crosswise = np.bincount(piece, off) == 0
    crosswise[MOST_PIECES:] = False
    found = np.zeros(len(crosswise), dtype=bool)
    for number in np.flatnonzero(crosswise):
        corners = np.unique(mesh.faces[piece == number])
        found[number] = _is_disc((mesh.vertices[corners][:, 1:] - low[1:]) / span)
    return found[piece]


def _is_disc(points: Float[np.ndarray, "point 2"]) -> bool:
    """Whether the outline is a circle, or arcs round a hub."""
    try:
        outline = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):  # fewer than three points, or all on a line
        return False
    if len(outline) < 3:
        return False
    for start in range(len(outline)):
        centre = _circle(outline[[start - 2, start - 1, start]])
        if centre is None:
            continue
        distance = np.linalg.norm(outline - centre, axis=1)
        radius = float(distance[start])
        rim = np.abs(distance - radius) <= _ROUND * radius
        if not _RADIUS[0] <= radius <= _RADIUS[1] or not (rim | (distance <= _HUB * radius)).all():
            continue
        has_hub = bool((np.linalg.norm(points - centre, axis=1) <= _HUB * radius).any())
        if _is_round(outline[rim] - centre, has_hub):
            return True
    return False


def _is_round(rim: Float[np.ndarray, "point 2"], has_hub: bool) -> bool:
    """Whether points round the origin make a circle or, round a hub, arcs of at least 15 degrees and three points."""
    angle = np.sort(np.degrees(np.arctan2(rim[:, 1], rim[:, 0])))
    gaps = np.diff(angle, append=angle[0] + 360.0)
    wide = np.flatnonzero(gaps > _LARGEST_GAP_DEG)
    if len(wide) == 0 or not has_hub:
        return len(wide) == 0
    first = np.roll(wide, 1) + 1  # an arc runs from behind one wide gap to the next
    count = (wide - first) % len(angle) + 1
    span = (angle[wide] - angle[first % len(angle)]) % 360.0
    return bool((count >= 3).all() and (span >= _SMALLEST_SECTOR_DEG).all())


def _circle(points: Float[np.ndarray, "3 2"]) -> Float[np.ndarray, "2"] | None:
    """Centre of the circle through three points."""
    sides = points[1:] - points[0]
    twice = 2 * (sides[0, 0] * sides[1, 1] - sides[0, 1] * sides[1, 0])
    square = (sides**2).sum(axis=1)
    if abs(twice) <= 1e-9 * square.max():
        return None
    return (
        points[0]
        + np.array(
            [sides[1, 1] * square[0] - sides[0, 1] * square[1], sides[0, 0] * square[1] - sides[1, 0] * square[0]]
        )
        / twice
    )
