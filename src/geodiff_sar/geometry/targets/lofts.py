"""Skins stretched over rings of points: bodies, wings, scoops."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from geodiff_sar.geometry.targets.basics import as_mesh, outward
from geodiff_sar.geometry.triangles import TriangleMesh


def loft(
    rings: Float[np.ndarray, "ring point 3"], part: str = "body", cap_start: bool = True, cap_end: bool = True
) -> TriangleMesh:
    """A skin over rings of equally many points, with flat fans as caps.

    Normals point outwards where the points of a ring run by the right-hand rule about the direction from the first
    ring to the last.

    Args:
        rings: (ring, point, 3), m; each ring is closed from its last point to its first.
        part: name of the part.
        cap_start: close the first ring.
        cap_end: close the last ring.
    """
    count, around = rings.shape[:2]
    ring, point = np.meshgrid(np.arange(count - 1), np.arange(around), indexing="ij")
    following = (point + 1) % around
    a, b = ring * around + point, ring * around + following
    c, d = b + around, a + around
    faces = [np.stack([a, b, c], axis=-1).reshape(-1, 3), np.stack([a, c, d], axis=-1).reshape(-1, 3)]
    vertices = [rings.reshape(-1, 3)]
    here, there = np.arange(around), (np.arange(around) + 1) % around
    middle = count * around
    if cap_start:
        vertices.append(rings[0].mean(axis=0, keepdims=True))
        faces.append(np.column_stack([np.full(around, middle), there, here]))
        middle += 1
    if cap_end:
        vertices.append(rings[-1].mean(axis=0, keepdims=True))
        last = (count - 1) * around
        faces.append(np.column_stack([np.full(around, middle), last + here, last + there]))
    return as_mesh(np.concatenate(vertices), np.concatenate(faces), part)


@lru_cache(maxsize=64)
def _superellipse_angles(exponent: float, segments: int) -> tuple[float, ...]:
    """Angles that space the points of a superellipse by the square root of curvature, as facet lengths ask for.

    Symmetric in both axes, so ``segments`` has to be a multiple of four. A quarter of the weight goes to arc length,
    so that nearly flat sides keep some facets.
    """
    angle = np.linspace(1e-4, np.pi / 2 - 1e-4, 2001)
    x, z = np.cos(angle) ** (2 / exponent), np.sin(angle) ** (2 / exponent)
    dx, dz = np.gradient(x, angle), np.gradient(z, angle)
    ddx, ddz = np.gradient(dx, angle), np.gradient(dz, angle)
    speed = np.hypot(dx, dz)
    curvature = np.abs(dx * ddz - dz * ddx) / speed**3
    density = (np.sqrt(curvature) + 0.25) * speed
    total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(angle))])
    quarter = np.interp(np.linspace(0, total[-1], segments // 4 + 1), total, angle)
    quarter[0], quarter[-1] = 0.0, np.pi / 2
    half = np.concatenate([quarter, np.pi - quarter[-2::-1]])
    full = np.concatenate([half, 2 * np.pi - half[-2:0:-1]])
    return tuple(full)


def superellipse(exponent: float, segments: int) -> Float[np.ndarray, "point 2"]:
    """Points (y, z) of ``|y|^e + |z|^e = 1`` counter-clockwise from y = 1; exactly symmetric in both axes.

    Args:
        exponent: 2 is a circle; larger is boxier.
        segments: number of points, a multiple of four.
    """
    quarter = np.array(_superellipse_angles(round(exponent, 3), segments))[: segments // 4 + 1]
    y, z = np.cos(quarter) ** (2 / exponent), np.sin(quarter) ** (2 / exponent)
    y[-1], z[0] = 0.0, 0.0
    first = np.column_stack([y, z])
    second = first[-2::-1] * [-1, 1]
    upper = np.concatenate([first, second])
    lower = upper[-2:0:-1] * [1, -1]
    return np.concatenate([upper, lower])


def superellipse_body(
    x_m: Sequence[float] | np.ndarray,
    width_m: Sequence[float] | np.ndarray,
    height_m: Sequence[float] | np.ndarray,
    middle_z_m: Sequence[float] | np.ndarray,
    exponent: float = 2.3,
    segments: int = 96,
    part: str = "body",
    middle_y_m: float = 0.0,
) -> TriangleMesh:
    """A closed body of superellipse sections across the x axis; all lists run from nose to tail (x falling)."""
    section = superellipse(exponent, segments)
    rings = [
        np.column_stack(
            [np.full(segments, x), middle_y_m + 0.5 * width * section[:, 0], z + 0.5 * height * section[:, 1]]
        )
        for x, width, height, z in zip(x_m, width_m, height_m, middle_z_m, strict=True)
    ]
    return outward(loft(np.stack(rings[::-1]), part))


def naca_section(
    thickness: float, camber: float = 0.02, camber_position: float = 0.4, points: int = 70
) -> Float[np.ndarray, "point 2"]:
    """Outline of a four-digit NACA section for chord 1: (distance behind the leading edge, height).

    Runs from the trailing edge over the top to the leading edge and back below; cosine spacing puts 5 mm facets on a
    leading edge of 2.5 cm radius.

    Args:
        thickness: greatest thickness over chord.
        camber: greatest camber over chord.
        camber_position: place of the greatest camber over chord.
        points: points on each side.
    """
    s = 0.5 * (1 - np.cos(np.linspace(0, np.pi, points)))
    half = 5 * thickness * (0.2969 * np.sqrt(s) - 0.126 * s - 0.3516 * s**2 + 0.2843 * s**3 - 0.1036 * s**4)
    half[-1] = 0.0
    front = camber / camber_position**2 * (2 * camber_position * s - s**2)
    rear = camber / (1 - camber_position) ** 2 * (1 - 2 * camber_position + 2 * camber_position * s - s**2)
    line = np.where(s < camber_position, front, rear)
    top, bottom = np.column_stack([s, line + half]), np.column_stack([s, line - half])
    return np.concatenate([top[::-1], bottom[1:-1]])


@dataclass(frozen=True)
class WingSection:
    """One section of a wing.

    Attributes:
        leading_edge: (x, y, z) of the leading edge, m.
        chord_m: length of the section, m.
        thickness: greatest thickness over chord.
    """

    leading_edge: tuple[float, float, float]
    chord_m: float
    thickness: float


def wing_panel(
    sections: Sequence[WingSection],
    camber: float = 0.02,
    points: int = 70,
    thick_along: tuple[float, float, float] = (0.0, 0.0, 1.0),
    part: str = "wing",
) -> TriangleMesh:
    """A closed wing, tailplane or fin through sections in the order of the span.

    Args:
        sections: two or more, chord along -x.
        camber: greatest camber over chord.
        points: points on each side of a section.
        thick_along: direction of thickness: z for wings, y for fins; sideways and up for winglets.
        part: name of the part.
    """
    up = np.asarray(thick_along, dtype=np.float64)
    backwards = np.array([-1.0, 0.0, 0.0])
    rings = []
    for section in sections:
        outline = section.chord_m * naca_section(section.thickness, camber, points=points)
        rings.append(np.asarray(section.leading_edge) + outline[:, :1] * backwards + outline[:, 1:] * up)
    return outward(loft(np.stack(rings), part))


def scoop(
    mouth: Sequence[float],
    width_m: float,
    height_m: float,
    length_m: float,
    depth_m: float,
    lip_m: float = 0.02,
    exponent: float = 2.5,
    segments: int = 48,
    part: str = "inlet",
) -> TriangleMesh:
    """A closed body with a concave cavity that opens towards +x: an engine inlet; turn it for exhausts and wells.

    Args:
        mouth: centre of the opening, m.
        width_m: outer width.
        height_m: outer height.
        length_m: length of the body behind the mouth.
        depth_m: depth of the cavity, less than the length.
        lip_m: thickness of the wall at the mouth.
        exponent: of the superellipse section.
        segments: points round it, a multiple of four.
        part: name of the part.
    """
    section = superellipse(exponent, segments)
    outer = np.array([width_m, height_m]) / 2
    inner = outer - lip_m
    stations = [
        (-length_m, 0.6 * outer),
        (-0.7 * length_m, 0.9 * outer),
        (-0.3 * length_m, outer),
        (-0.5 * lip_m, outer),
        (0.0, outer - 0.5 * lip_m),
        (-0.5 * lip_m, inner),
        (-depth_m, 0.9 * inner),
    ]
    x, y, z = mouth
    rings = [
        np.column_stack([np.full(segments, x + offset), y + half[0] * section[:, 0], z + half[1] * section[:, 1]])
        for offset, half in stations
    ]
    return outward(loft(np.stack(rings), part))
