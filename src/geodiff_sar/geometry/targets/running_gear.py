"""What ground vehicles stand on: wheels and tracks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from geodiff_sar.geometry.targets.basics import mirrored, outward
from geodiff_sar.geometry.targets.lofts import loft
from geodiff_sar.geometry.targets.primitives import boxes, prism, tube
from geodiff_sar.geometry.targets.undercarriage import tyre
from geodiff_sar.geometry.triangles import TriangleMesh, merge

TREAD_PITCH_M = 0.15


def both_sides(meshes: Sequence[TriangleMesh], name: str) -> TriangleMesh:
    """The meshes and their mirror images in y = 0."""
    return merge([*meshes, *(mirrored(mesh) for mesh in meshes)], name)


def wheels(places_x: Sequence[float], y: float, radius_m: float, width_m: float) -> list[TriangleMesh]:
    """Port wheels on the ground with stub axles towards the middle."""
    parts = []
    for x in places_x:
        parts.append(tyre(-x, y, radius_m, width_m))
        parts.append(tube((x, y - 0.9 * width_m - 0.25, radius_m), (x, y, radius_m), 0.09, segments=16, part="axle"))
    return parts


def road_wheel(x: float, z: float, y: float, radius_m: float, width_m: float) -> TriangleMesh:
    """A dished wheel of a track: a rim with a sunk disc, on the outer side."""
    across = np.array([-0.5, -0.5, 0.5, 0.5, 0.25, 0.25]) * width_m
    radii = np.array([0.2, 1.0, 1.0, 0.86, 0.80, 0.2]) * radius_m
    angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    rings = [
        np.column_stack([x + r * np.sin(angle), np.full_like(angle, y + a), z + r * np.cos(angle)])
        for a, r in zip(across, radii, strict=True)
    ]
    return outward(loft(np.stack(rings), "road wheel"))


def track_outline(
    half_length_m: float, height_m: float, ramp_m: float, idler_radius_m: float
) -> Float[np.ndarray, "point 2"]:
    """The closed path of a track in (x, z): flat on the ground, ramps up to round ends, flat on top; clockwise."""
    lift = height_m - idler_radius_m
    angle = np.radians(np.linspace(90, -50, 9))
    front = np.column_stack(
        [half_length_m - idler_radius_m + idler_radius_m * np.cos(angle), lift + idler_radius_m * np.sin(angle)]
    )
    foot = np.array([[half_length_m - idler_radius_m - ramp_m, 0.0]])
    rear = np.concatenate([foot, front[::-1]]) * [-1, 1]
    return np.concatenate([front, foot, rear])


def track(
    half_length_m: float, height_m: float, ramp_m: float, idler_radius_m: float, y: float, width_m: float
) -> list[TriangleMesh]:
    """Port track: a band with cleats along its outer face."""
    outline = track_outline(half_length_m, height_m, ramp_m, idler_radius_m)
    inner = (outline - [0, height_m / 2]) * [1 - 0.12 / half_length_m, 1 - 0.24 / height_m] + [0, height_m / 2]
    y0, y1 = y - width_m / 2, y + width_m / 2
    rings = []
    for path, side in ((outline, y0), (outline, y1), (inner, y1), (inner, y0), (outline, y0)):
        rings.append(np.column_stack([path[:, 0], np.full(len(path), side), path[:, 1]]))
    band = outward(loft(np.stack(rings), "track", cap_start=False, cap_end=False))
    return [band, _cleats(outline, y0, y1)]


def _cleats(outline: Float[np.ndarray, "point 2"], y0: float, y1: float) -> TriangleMesh:
    """Cross-bars along the path of a track."""
    closed = np.concatenate([outline, outline[:1]])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    at = np.arange(TREAD_PITCH_M / 2, length[-1], TREAD_PITCH_M)
    x, z = np.interp(at, length, closed[:, 0]), np.interp(at, length, closed[:, 1])
    centres = np.column_stack([x, np.full_like(x, 0.5 * (y0 + y1)), z])
    return boxes(centres, (0.05, y1 - y0, 0.05), "track")


def running_gear(
    half_length_m: float, height_m: float, idler_radius_m: float, wheels_per_side: int, y: float, width_m: float
) -> list[TriangleMesh]:
    """Port track with its road wheels, idler and sprocket."""
    ramp = 0.45 * height_m + 0.15
    parts = track(half_length_m, height_m, ramp, idler_radius_m, y, width_m)
    reach = half_length_m - idler_radius_m - ramp
    pitch = 2 * reach / (wheels_per_side - 1)
    radius = min(0.47 * pitch, 0.46 * height_m - 0.04, 0.40)
    for k in range(wheels_per_side):
        parts.append(road_wheel(-reach + k * pitch, radius + 0.06, y, radius, 0.8 * width_m))
    for end in (-1, 1):
        x = end * (half_length_m - idler_radius_m)
        parts.append(road_wheel(x, height_m - idler_radius_m, y, idler_radius_m - 0.07, 0.7 * width_m))
    return parts


def skirt(half_length_m: float, bottom_m: float, top_m: float, y: float) -> TriangleMesh:
    """A plate along the port side that hides the upper run of a track."""
    cut = 0.35
    outline = np.array(
        [
            (-half_length_m, top_m),
            (-half_length_m + cut, bottom_m),
            (half_length_m - cut, bottom_m),
            (half_length_m, top_m),
        ]
    )
    return prism(outline, y, y + 0.03, "skirt")
