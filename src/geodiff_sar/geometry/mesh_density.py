"""Facet density: the rule, the check, and subdivision of curved regions with smooth normals.

The rule is L <= 0.3 sqrt(lambda R / 2) for a facet of length L along a curvature of radius R. With R = L / theta, theta
the angle between the surface normals at the ends of an edge, it reads L theta <= 0.045 lambda: the arc stands off its
chord by at most lambda / 178. L counts along the curvature only, so that L theta is d . (n1 - n0) for an edge d with
normals n0 and n1, and the long edges of a cylinder are free.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from geodiff_sar.geometry.mesh_edges import EdgeTable, edge_table, smooth_normals
from geodiff_sar.geometry.triangles import TriangleMesh

_RULE = 0.3**2 / 2
_LEVELS = 12
_STEEP = np.sin(np.radians(30.0))  # an edge that rises more from the tangent plane is no chord of a smooth surface


@dataclass(frozen=True)
class DensityReport:
    """What the check found and what subdivision did.

    Attributes:
        edges: edges before.
        too_long_before, too_long_after: edges that break the rule, before and after.
        faces_before, faces_after: number of faces.
        budget_reached: the face budget stopped the subdivision.
    """

    edges: int
    too_long_before: int
    too_long_after: int
    faces_before: int
    faces_after: int
    budget_reached: bool


@dataclass
class _Surface:
    """Faces with two vertex numbers per corner: the position, and the smooth normal of its group."""

    vertices: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "group 3"]
    faces: Int[np.ndarray, "face 3"]
    groups: Int[np.ndarray, "face 3"]
    part_of_face: Int[np.ndarray, " face"]


def check_density(mesh: TriangleMesh, wavelength_m: float, crease_deg: float = 30.0) -> tuple[int, int]:
    """Edges that break the rule, and edges in all; the mesh must be welded."""
    excess = _excess(_surface(mesh, crease_deg), edge_table(mesh.faces), wavelength_m)
    return int((excess > 1).sum()), len(excess)


def subdivide(
    mesh: TriangleMesh, wavelength_m: float, crease_deg: float, face_budget: int
) -> tuple[TriangleMesh, DensityReport]:
    """Split edges that break the rule until none is left, and move the new vertices onto the smooth surface.

    A midpoint lies on the circular arc through the ends of its edge whose end tangents follow the smooth surface, and
    its normal is the mean of theirs (the idea is that of Phong tessellation, Boubekeur and Alexa 2008, which takes a
    parabola). Along a crease the arc follows the line in which both surfaces meet, so that the rim of a disc becomes
    round and the disc stays flat. An edge is split for all its faces at once, so no cracks open. Flat regions are not
    touched, but for faces beside a curved rim, whose new vertices lie in their plane. Where the faces would exceed
    the budget, the edges that break the rule most are split first.

    Args:
        mesh: welded, in metres.
        wavelength_m: lambda.
        crease_deg: faces that differ by more are parted by a crease.
        face_budget: most faces of the result.
    """
    surface = _surface(mesh, crease_deg)
    edges = edge_table(surface.faces)
    excess = _excess(surface, edges, wavelength_m)
    found = (len(excess), int((excess > 1).sum()))
    finished, left, budget_reached = [], found[1], False
    count = len(surface.faces)
    for _ in range(_LEVELS):
        chosen = excess > 1
        added = int(edges.count[chosen].sum())
        if count + added > face_budget:
            budget_reached = True
            worst = np.argsort(-excess, kind="stable")
            within = worst[np.cumsum(edges.count[worst]) <= face_budget - count]
            chosen &= np.isin(np.arange(len(excess)), within)
            added = int(edges.count[chosen].sum())
        if not added:
            break
        left -= int(chosen.sum())
        # an edge that keeps the rule is never split later, so that faces without a split edge are finished
        is_active = np.asarray(chosen[edges.of_half].reshape(-1, 3).any(axis=1))
        finished.append((surface.faces[~is_active], surface.part_of_face[~is_active]))
        surface = _split(surface, edges, chosen, is_active)
        count += added
        edges = edge_table(surface.faces)
        excess = _excess(surface, edges, wavelength_m)
        left = int((excess > 1).sum())
        if budget_reached:
            break
    faces = np.concatenate([*(rows for rows, _ in finished), surface.faces])
    part_of_face = np.concatenate([*(parts for _, parts in finished), surface.part_of_face])
    result = replace(mesh, vertices=surface.vertices, faces=faces, part_of_face=part_of_face)
    return result, DensityReport(*found, left, len(mesh.faces), len(faces), budget_reached)


def _surface(mesh: TriangleMesh, crease_deg: float) -> _Surface:
    groups, normals = smooth_normals(mesh.vertices, mesh.faces, crease_deg)
    return _Surface(mesh.vertices, normals, mesh.faces, groups, mesh.part_of_face)


def _half_groups(surface: _Surface, edges: EdgeTable) -> Int[np.ndarray, "half 2"]:
    """Normal groups at the ends of every half-edge, that of the edge's lower vertex first."""
    pair = np.stack([surface.groups.ravel(), np.roll(surface.groups, -1, axis=1).ravel()], axis=1)
    return np.where(edges.forward[:, None], pair, pair[:, ::-1])


def _excess(surface: _Surface, edges: EdgeTable, wavelength_m: float) -> Float[np.ndarray, " edge"]:
    """L theta over what the rule allows, for every edge; the larger one of its sides."""
    groups = _half_groups(surface, edges)
    ends = edges.ends[edges.of_half]
    along = surface.vertices[ends[:, 1]] - surface.vertices[ends[:, 0]]
    rise = [np.einsum("ij,ij->i", along, surface.normals[groups[:, end]]) for end in range(2)]
    trusted = np.maximum(*np.abs(rise)) <= _STEEP * np.linalg.norm(along, axis=1)
    bend = np.where(trusted, np.abs(rise[1] - rise[0]), 0.0) / (_RULE * wavelength_m)
    result = np.zeros(len(edges.ends))
    np.maximum.at(result, edges.of_half, bend)
    return result


def _split(
    surface: _Surface, edges: EdgeTable, chosen: Bool[np.ndarray, " edge"], is_active: Bool[np.ndarray, " face"]
) -> _Surface:
    """Split the chosen edges in the middle, and their faces into two, three or four; other faces are left out."""
    halves = _half_groups(surface, edges)
    vertex_of_edge = np.full(len(chosen), -1)
    vertex_of_edge[chosen] = len(surface.vertices) + np.arange(int(chosen.sum()))
    split_half = chosen[edges.of_half]

    key = halves[:, 0] * len(surface.normals) + halves[:, 1]
    _, first, number = np.unique(key[split_half], return_index=True, return_inverse=True)
    group_of_half = np.full(len(halves), -1)
    group_of_half[split_half] = len(surface.normals) + number.reshape(-1)
    sample = np.flatnonzero(split_half)[first]
    new_normals = _unit(surface.normals[halves[sample, 0]] + surface.normals[halves[sample, 1]])
    new_vertices = _middles(surface, edges, halves, np.flatnonzero(chosen))

    middle_vertex = vertex_of_edge[edges.of_half].reshape(-1, 3)
    middle_group = group_of_half.reshape(-1, 3)
    six = np.stack(  # (F, 6, 2): corners, then middles of the edges that start there; vertex and group
        [np.concatenate([surface.faces, middle_vertex], 1), np.concatenate([surface.groups, middle_group], 1)], axis=2
    )
    vertices = np.concatenate([surface.vertices, new_vertices])
    rows, origin = _split_faces(six[is_active], vertices)
    return _Surface(
        vertices,
        np.concatenate([surface.normals, new_normals]),
        np.ascontiguousarray(rows[:, :, 0]),
        np.ascontiguousarray(rows[:, :, 1]),
        surface.part_of_face[is_active][origin],
    )


def _split_faces(
    six: Int[np.ndarray, "face 6 2"], vertices: Float[np.ndarray, "vertex 3"]
) -> tuple[Int[np.ndarray, "new 3 2"], Int[np.ndarray, " new"]]:
    """New faces from corners 0-2 and edge middles 3-5 (-1 where not split), and the old face of each."""
    is_split = six[:, 3:, 0] >= 0
    count = is_split.sum(axis=1)
    # turn every face so that its split edges come first: one split edge is edge 0, two are edges 0 and 1
    shift = np.where(count == 1, is_split.argmax(axis=1), np.where(count == 2, (is_split.argmin(axis=1) + 1) % 3, 0))
    turned = (np.arange(3)[None] + shift[:, None]) % 3
    six = np.take_along_axis(six, np.concatenate([turned, turned + 3], axis=1)[:, :, None], axis=1)

    def length(a: int, b: int) -> np.ndarray:
        return np.linalg.norm(vertices[six[:, a, 0]] - vertices[six[:, b, 0]], axis=1)

    short = length(3, 2) < length(0, 4)
    patterns = [
        (count == 0, [(0, 1, 2)]),
        (count == 1, [(0, 3, 2), (3, 1, 2)]),
        ((count == 2) & short, [(3, 1, 4), (0, 3, 2), (3, 4, 2)]),
        ((count == 2) & ~short, [(3, 1, 4), (0, 3, 4), (0, 4, 2)]),
        (count == 3, [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)]),
    ]
    rows = [six[where][:, corners] for where, triangles in patterns for corners in triangles]
    origin = [np.flatnonzero(where) for where, triangles in patterns for _ in triangles]
    old = np.concatenate(origin)
    order = np.argsort(old, kind="stable")
    return np.concatenate(rows)[order], old[order]


def _middles(
    surface: _Surface, edges: EdgeTable, halves: Int[np.ndarray, "half 2"], chosen: Int[np.ndarray, " split"]
) -> Float[np.ndarray, "split 3"]:
    """Middles of the chosen edges, on the arc that the surface on both sides asks for."""
    order = np.argsort(edges.of_half, kind="stable")
    first = np.cumsum(edges.count) - edges.count
    one = halves[order[first[chosen]]]
    two = halves[order[first[chosen] + (edges.count[chosen] > 1)]]
    start, end = surface.vertices[edges.ends[chosen, 0]], surface.vertices[edges.ends[chosen, 1]]
    length = np.linalg.norm(end - start, axis=1, keepdims=True)
    along = (end - start) / length
    tangents = [_tangent(along, surface.normals[one[:, side]], surface.normals[two[:, side]]) for side in range(2)]
    offset = 0.5 * (tangents[0] - tangents[1])
    offset -= np.einsum("ij,ij->i", offset, along)[:, None] * along
    sine = np.linalg.norm(offset, axis=1, keepdims=True)
    forward = np.minimum(*(np.einsum("ij,ij->i", tangent, along) for tangent in tangents))
    plain = (forward < np.sqrt(1 - _STEEP**2) - 1e-9) | (edges.count[chosen] > 2)
    # on a circle offset is sin(a), and the arc stands off its chord by L / 2 tan(a / 2)
    height = 0.5 * length / (1 + np.sqrt(np.clip(1 - sine**2, 0, None)))
    return 0.5 * (start + end) + np.where(plain[:, None], 0.0, height) * offset


def _tangent(along: np.ndarray, one: np.ndarray, two: np.ndarray) -> Float[np.ndarray, "split 3"]:
    """Unit tangent of the smooth edge at one end, towards the other: in both surfaces."""
    crease = np.cross(one, two)
    sine = np.linalg.norm(crease, axis=1, keepdims=True)
    crease = crease / np.where(sine > 0, sine, 1.0)
    crease = crease * np.sign(np.einsum("ij,ij->i", crease, along))[:, None]
    mean = _unit(one + two)
    in_plane = _unit(along - np.einsum("ij,ij->i", along, mean)[:, None] * mean)
    facing = np.einsum("ij,ij->i", one, two)[:, None] > 0
    return np.where(sine > 0.05, crease, np.where(facing, in_plane, along))


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vector, axis=1, keepdims=True)
    return vector / np.where(length > 0, length, 1.0)
