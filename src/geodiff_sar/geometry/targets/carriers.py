"""Wheeled armoured carriers with a boat-shaped hull."""

from dataclasses import dataclass

import numpy as np

from geodiff_sar.geometry.targets.armour import aerial, faceted_turret, gun, hatch, stowage
from geodiff_sar.geometry.targets.basics import outward
from geodiff_sar.geometry.targets.lofts import loft
from geodiff_sar.geometry.targets.primitives import box, slab, tube
from geodiff_sar.geometry.targets.running_gear import both_sides, wheels
from geodiff_sar.geometry.triangles import TriangleMesh, merge


@dataclass(frozen=True)
class HullShape:
    """Cross-section of the hull amidships, m: widest at the knuckle, narrower by the shares at belly and roof."""

    width_m: float
    belly_m: float
    knuckle_m: float
    roof_m: float
    top_share: float
    bottom_share: float

    def side_y(self, z: float) -> float:
        """Half width at a height between knuckle and roof, m."""
        rise = (z - self.knuckle_m) / (self.roof_m - self.knuckle_m)
        return 0.5 * self.width_m * (1 + (self.top_share - 1) * rise)


def build_carrier(rng: np.random.Generator) -> TriangleMesh:
    """A carrier: 6.0-8.0 m long, 2.5-3.1 m wide, 2.2-3.0 m high, 6 or 8 wheels."""
    length, width = rng.uniform(6.1, 7.7), rng.uniform(2.6, 3.0)
    radius, roof = rng.uniform(0.48, 0.60), rng.uniform(1.75, 2.10)
    belly = radius + rng.uniform(-0.08, 0.05)
    knuckle = belly + rng.uniform(0.45, 0.60) * (roof - belly)
    shape = HullShape(width, belly, knuckle, roof, rng.uniform(0.62, 0.80), rng.uniform(0.50, 0.62))
    axles = int(rng.integers(3, 5))
    places = _axle_places(rng, length, axles, radius)
    tyre_width = rng.uniform(0.28, 0.36)
    port = wheels(places, width / 2 - tyre_width / 2, radius, tyre_width)
    port += _side_details(rng, length, shape)
    parts = [_hull(rng, length, shape), both_sides(port, "carrier"), *_roof(rng, length, width, roof)]
    return merge(parts, "carrier")


def _axle_places(rng: np.random.Generator, length: float, axles: int, radius: float) -> list[float]:
    """x of the axles: evenly spaced, or in two pairs with a gap between."""
    reach = 0.34 * length
    even = np.linspace(reach, -reach, axles)
    if axles == 4 and rng.random() < 0.5:
        gap = 2.25 * radius
        even = np.array([reach, reach - gap, -reach + gap, -reach])
    return [float(x) for x in even]


def _hull(rng: np.random.Generator, length: float, shape: HullShape) -> TriangleMesh:
    """A boat hull: sides slope in above and below a knuckle, the bow rises to a long upper glacis."""
    belly, knuckle, roof = shape.belly_m, shape.knuckle_m, shape.roof_m
    bow = rng.uniform(0.16, 0.24) * length
    stations = (
        (-length / 2, 0.80, belly + 0.35, roof - 0.25),
        (-length / 2 + 0.35, 0.98, belly, roof),
        (length / 2 - bow, 1.0, belly, roof),
        (length / 2 - 0.45 * bow, 0.96, belly + 0.15, 0.5 * (knuckle + roof) - 0.05),
        (length / 2, 0.70, knuckle - 0.12, knuckle + 0.02),
    )
    rings = []
    for x, share, low, high in stations:
        half = share * shape.width_m / 2
        middle = min(max(knuckle, low + 0.05), high - 0.01)
        y = half * np.array([shape.bottom_share, 1.0, shape.top_share, -shape.top_share, -1.0, -shape.bottom_share])
        z = np.array([low, middle, high, high, middle, low])
        rings.append(np.column_stack([np.full(6, x), y, z]))
    return outward(loft(np.stack(rings), "hull"))


def _side_details(rng: np.random.Generator, length: float, shape: HullShape) -> list[TriangleMesh]:
    """Port firing ports, headlamp, exhaust pipe, ledge along the knuckle."""
    parts = []
    width, knuckle = shape.width_m, shape.knuckle_m
    port_z = shape.roof_m - 0.28
    for k in range(int(rng.integers(2, 5))):
        x = -0.32 * length + 0.13 * length * k
        parts.append(slab((x, shape.side_y(port_z), port_z), (0.22, 0.10, 0.16), part="port"))
    ledge = box(
        (-0.44 * length, 0.40 * width, knuckle - 0.02), (0.36 * length, 0.5 * width - 0.01, knuckle + 0.04), "ledge"
    )
    lamp_x = 0.44 * length
    lamp = tube(
        (lamp_x, 0.30 * width, knuckle + 0.02),
        (lamp_x + 0.16, 0.30 * width, knuckle + 0.02),
        0.10,
        segments=24,
        part="lamp",
    )
    pipe = tube(
        (-0.42 * length, shape.side_y(knuckle + 0.18) + 0.04, knuckle + 0.18),
        (-0.22 * length, shape.side_y(knuckle + 0.18) + 0.04, knuckle + 0.18),
        0.08,
        segments=24,
        part="exhaust",
    )
    return [*parts, ledge, lamp, pipe]


def _roof(rng: np.random.Generator, length: float, width: float, roof: float) -> list[TriangleMesh]:
    """Small turret with a light gun, hatches, rear grille, stowage, aerial."""
    size, height = rng.uniform(1.1, 1.6), rng.uniform(0.35, 0.55)
    x = rng.uniform(-0.02, 0.12) * length
    parts = [faceted_turret(size, 0.9 * size, height, rng.uniform(0.30, 0.45), x, roof - 0.02)]
    parts += gun(
        x + 0.40 * size, roof + 0.5 * height, rng.uniform(0.9, 1.6), rng.uniform(0.025, 0.04), rng.uniform(0, 6)
    )
    parts += hatch(0.27 * length, 0.17 * width, roof - 0.02, 0.27)
    parts += hatch(0.27 * length, -0.17 * width, roof - 0.02, 0.27)
    parts += hatch(x - 0.20 * length, 0.10 * width, roof, 0.30)
    count = int(rng.integers(4, 8))
    for k in range(count):
        bar = -0.46 * length + 0.16 * length * (k + 0.5) / count
        parts.append(box((bar - 0.03, -0.25 * width, roof - 0.02), (bar + 0.03, 0.25 * width, roof + 0.05), "grille"))
    parts += stowage(rng, int(rng.integers(1, 4)), (-0.28 * length, -0.12 * length), -0.22 * width, roof, 0.22)
    parts.append(aerial(-0.30 * length, 0.24 * width, roof, rng.uniform(0.4, 0.6)))
    return parts
