"""Simple solids and plates as triangle meshes: boxes, tubes, spheres, prisms."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from geodiff_sar.geometry.targets.basics import as_mesh, outward, rotation, segments_around
from geodiff_sar.geometry.targets.lofts import loft
from geodiff_sar.geometry.triangles import TriangleMesh


def box(low: Sequence[float], high: Sequence[float], part: str = "body") -> TriangleMesh:
    """A closed box between two corners, m."""
    corner = np.array([low, high], dtype=np.float64)
    corner = np.sort(corner, axis=0)
    picks = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    vertices = corner[picks, np.arange(3)]
    quads = [(0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7)]
    faces = [triangle for a, b, c, d in quads for triangle in ((a, b, c), (a, c, d))]
    return as_mesh(vertices, np.array(faces), part)


def boxes(centres: Float[np.ndarray, "box 3"], size: Sequence[float], part: str = "body") -> TriangleMesh:
    """Many closed boxes of one size about their centres, m."""
    half = np.asarray(size, dtype=np.float64) / 2
    one = box(list(-half), list(half), part)
    vertices = (centres[:, None, :] + one.vertices).reshape(-1, 3)
    shift = len(one.vertices) * np.arange(len(centres))[:, None, None]
    return as_mesh(vertices, (one.faces + shift).reshape(-1, 3), part)


def plate(corners: Float[np.ndarray, "4 3"], part: str = "body") -> TriangleMesh:
    """A flat open plate of four corners; its normal follows from their order by the right-hand rule."""
    return as_mesh(np.asarray(corners, dtype=np.float64), np.array([[0, 1, 2], [0, 2, 3]]), part)


def tube(
    start: Sequence[float],
    end: Sequence[float],
    radius_m: float,
    end_radius_m: float | None = None,
    segments: int | None = None,
    part: str = "body",
) -> TriangleMesh:
    """A closed cylinder or cone frustum between two points, m.

    Args:
        start: centre of the first end face.
        end: centre of the second end face.
        radius_m: radius at the start.
        end_radius_m: radius at the end; the same when not given.
        segments: facets round it; by `segments_around` when not given.
        part: name of the part.
    """
    first, last = np.asarray(start, dtype=np.float64), np.asarray(end, dtype=np.float64)
    last_radius = radius_m if end_radius_m is None else end_radius_m
    along = (last - first) / np.linalg.norm(last - first)
    aside = np.array([0.0, 1.0, 0.0]) if abs(along[1]) < 0.9 else np.array([0.0, 0.0, 1.0])
    one = aside - (aside @ along) * along
    one /= np.linalg.norm(one)
    two = np.cross(along, one)
    count = segments or segments_around(max(radius_m, last_radius))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    unit = np.cos(angle) * one + np.sin(angle) * two
    unit[np.abs(unit) < 1e-12] = 0.0
    return loft(np.stack([first + radius_m * unit, last + last_radius * unit]), part)


def cylinder(
    radius_m: float, height_m: float, centre: Sequence[float] = (0.0, 0.0, 0.0), part: str = "body"
) -> TriangleMesh:
    """A closed upright cylinder; ``centre`` is the middle of its lower face."""
    x, y, z = centre
    return tube((x, y, z), (x, y, z + height_m), radius_m, part=part)


def sphere(
    radius_m: float,
    centre: Sequence[float] = (0.0, 0.0, 0.0),
    segments: int | None = None,
    part: str = "body",
) -> TriangleMesh:
    """A closed sphere of meridians and parallels."""
    count = segments or segments_around(radius_m)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, count // 2 + 1)[:, None]
    longitude = np.linspace(0, 2 * np.pi, count, endpoint=False)[None, :]
    rings = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude) + 0 * longitude],
        axis=-1,
    )
    return loft(radius_m * rings + np.asarray(centre, dtype=np.float64), part, cap_start=False, cap_end=False)


def prism(outline: Float[np.ndarray, "corner 2"], low_y_m: float, high_y_m: float, part: str = "body") -> TriangleMesh:
    """A closed prism: an outline in the plane (x, z) extruded along y.

    The outline has to be star-shaped about the mean of its corners, as every convex outline is.
    """
    x, z = np.asarray(outline, dtype=np.float64).T
    rings = np.stack([np.column_stack([x, np.full_like(x, y), z]) for y in (low_y_m, high_y_m)])
    return outward(loft(rings, part))


def slab(
    centre: Sequence[float],
    size: Sequence[float],
    pitch_deg: float = 0.0,
    yaw_deg: float = 0.0,
    part: str = "body",
) -> TriangleMesh:
    """A box about a centre, turned nose down by ``pitch_deg`` (about y), then to port by ``yaw_deg`` (about z)."""
    half = np.asarray(size, dtype=np.float64) / 2
    turn = rotation("z", yaw_deg) @ rotation("y", pitch_deg)
    return box(list(-half), list(half), part).transformed(turn, centre)
