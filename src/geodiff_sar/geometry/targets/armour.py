"""Parts that armoured vehicles share: turrets, guns, hatches, stowage."""

import numpy as np

from geodiff_sar.geometry.targets.basics import outward
from geodiff_sar.geometry.targets.lofts import loft
from geodiff_sar.geometry.targets.primitives import box, slab, tube
from geodiff_sar.geometry.triangles import TriangleMesh


def faceted_turret(length_m: float, width_m: float, height_m: float, slope: float, x: float, z: float) -> TriangleMesh:
    """A turret of flat plates: an eight-cornered foot that narrows upwards by the share ``slope``."""
    half_x, half_y = length_m / 2, width_m / 2
    foot = np.array(
        [
            (half_x, -0.35 * half_y),
            (half_x, 0.35 * half_y),
            (0.45 * half_x, half_y),
            (-0.6 * half_x, half_y),
            (-half_x, 0.75 * half_y),
            (-half_x, -0.75 * half_y),
            (-0.6 * half_x, -half_y),
            (0.45 * half_x, -half_y),
        ]
    )
    levels = ((0.0, 1.0), (height_m, 1.0 - slope))
    rings = [np.column_stack([x + s * foot[:, 0], s * foot[:, 1], np.full(8, z + dz)]) for dz, s in levels]
    return outward(loft(np.stack(rings), "turret"))


def dome_turret(length_m: float, width_m: float, height_m: float, x: float, z: float) -> TriangleMesh:
    """A cast turret: the upper half of a flattened ellipsoid."""
    polar = np.radians(np.linspace(0, 88, 24))
    around = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    rings = [
        np.column_stack(
            [
                x + length_m / 2 * np.cos(p) ** 0.7 * np.cos(around),
                width_m / 2 * np.cos(p) ** 0.7 * np.sin(around),
                np.full(96, z + height_m * np.sin(p)),
            ]
        )
        for p in polar
    ]
    return outward(loft(np.stack(rings), "turret"))


def gun(x: float, z: float, length_m: float, radius_m: float, elevation_deg: float) -> list[TriangleMesh]:
    """A barrel with mantlet, fume extractor and muzzle brake, on the middle line, from the turret's front."""
    along = np.array([np.cos(np.radians(elevation_deg)), 0.0, np.sin(np.radians(elevation_deg))])
    root = np.array([x, 0.0, z])

    def piece(start: float, end: float, radius: float) -> TriangleMesh:
        return tube(list(root + start * along), list(root + end * along), radius, segments=40, part="gun")

    mantlet = slab((x + 0.05, 0.0, z), (0.35, 6 * radius_m, 5 * radius_m), part="gun")
    barrel = piece(0.0, length_m, radius_m)
    extractor = piece(0.55 * length_m, 0.66 * length_m, 1.6 * radius_m)
    brake = piece(0.95 * length_m, length_m + 0.02, 1.35 * radius_m)
    return [mantlet, barrel, extractor, brake]


def hatch(x: float, y: float, z: float, radius_m: float) -> list[TriangleMesh]:
    """A round hatch with a cupola ring and a periscope block."""
    ring = tube((x, y, z - 0.05), (x, y, z + 0.12), radius_m, segments=40, part="hatch")
    lid = tube((x, y, z + 0.12), (x, y, z + 0.16), 0.85 * radius_m, segments=40, part="hatch")
    sight = box((x + radius_m, y - 0.10, z - 0.02), (x + radius_m + 0.16, y + 0.10, z + 0.14), "hatch")
    return [ring, lid, sight]


def stowage(
    rng: np.random.Generator, count: int, x_range: tuple[float, float], y: float, z: float, largest_m: float
) -> list[TriangleMesh]:
    """Boxes and rolls on a ledge at (y, z), one after the other from the front without overlap."""
    low, high = x_range
    pitch = (high - low) / count
    items = []
    for k in range(count):
        middle = low + (k + 0.5) * pitch
        half = 0.5 * pitch * float(rng.uniform(0.45, 0.9))
        deep, tall = (float(v) for v in rng.uniform(0.5, 1.0, 2) * largest_m)
        if rng.random() < 0.25:
            radius = 0.5 * min(deep, tall)
            items.append(
                tube(
                    (middle - half, y, z + radius), (middle + half, y, z + radius), radius, segments=32, part="stowage"
                )
            )
        else:
            items.append(box((middle - half, y - deep / 2, z), (middle + half, y + deep / 2, z + tall), "stowage"))
    return items


def aerial(x: float, y: float, z: float, length_m: float) -> TriangleMesh:
    """A whip aerial on its foot."""
    return tube((x, y, z - 0.02), (x, y, z + length_m), 0.03, 0.008, segments=12, part="aerial")
