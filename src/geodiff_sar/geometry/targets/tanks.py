"""Tracked vehicles with turret and gun."""

import numpy as np

from geodiff_sar.geometry.targets.armour import aerial, dome_turret, faceted_turret, gun, hatch, stowage
from geodiff_sar.geometry.targets.primitives import box, prism, slab, tube
from geodiff_sar.geometry.targets.running_gear import both_sides, running_gear, skirt
from geodiff_sar.geometry.triangles import TriangleMesh, merge


def build_tank(rng: np.random.Generator) -> TriangleMesh:
    """A tank: hull 5.8-7.6 m long, 2.9-3.8 m wide, 1.9-2.9 m high; the gun may reach further."""
    length, width = rng.uniform(5.8, 7.6), rng.uniform(3.0, 3.7)
    track_height, track_width = rng.uniform(0.85, 1.05), rng.uniform(0.38, 0.58)
    deck = rng.uniform(1.2, 1.45)
    hull_half = width / 2 - track_width
    gear = running_gear(
        length / 2 - 0.05,
        track_height,
        rng.uniform(0.28, 0.36),
        int(rng.integers(5, 8)),
        width / 2 - track_width / 2,
        track_width,
    )
    port = [*gear, *_sponson(length, hull_half, width, track_height, deck)]
    if rng.random() < 0.6:
        port.append(skirt(0.46 * length, 0.45 * track_height, track_height + 0.02, width / 2 + 0.01))
    parts = [_hull(rng, length, hull_half, deck), both_sides(port, "tank"), *_deck(rng, length, hull_half, deck)]
    parts += stowage(
        rng, int(rng.integers(2, 6)), (-0.42 * length, 0.25 * length), hull_half + 0.25, track_height + 0.08, 0.32
    )
    parts += stowage(
        rng, int(rng.integers(2, 6)), (-0.42 * length, 0.25 * length), -hull_half - 0.25, track_height + 0.08, 0.32
    )
    parts += _turret(rng, length, hull_half, deck)
    return merge(parts, "tank")


def _hull(rng: np.random.Generator, length: float, half_width: float, deck: float) -> TriangleMesh:
    """Lower and upper hull in one: belly, glacis plate at 22-40 degrees to the horizontal, sloped stern."""
    belly = rng.uniform(0.40, 0.50)
    nose_height = belly + rng.uniform(0.35, 0.50)
    glacis = (deck - nose_height) / np.tan(np.radians(rng.uniform(22, 40)))
    front, rear = length / 2, -length / 2
    outline = np.array(
        [
            (front, nose_height),
            (front - glacis, deck),
            (rear + 0.15, deck),
            (rear, 0.6 * deck),
            (rear + 0.30, belly),
            (front - 0.45, belly),
        ]
    )
    return prism(outline, -half_width, half_width, "hull")


def _sponson(length: float, half_width: float, width: float, track_height: float, deck: float) -> list[TriangleMesh]:
    """Port mudguard over the track, tow hook, headlamp behind its guard."""
    x = length / 2
    guard = box((-x, half_width - 0.02, track_height + 0.04), (x - 0.10, width / 2, track_height + 0.08), "fender")
    flap = slab((x - 0.02, width / 2 - 0.22, track_height - 0.10), (0.03, 0.40, 0.32), -20.0, part="fender")
    hook = tube((x - 0.15, 0.6 * half_width, 0.62), (x + 0.05, 0.6 * half_width, 0.62), 0.05, segments=16, part="hook")
    lamp = tube(
        (x - 0.75, 0.8 * half_width, deck - 0.05),
        (x - 0.60, 0.8 * half_width, deck - 0.05),
        0.11,
        segments=24,
        part="lamp",
    )
    return [guard, flap, hook, lamp]


def _deck(rng: np.random.Generator, length: float, half_width: float, deck: float) -> list[TriangleMesh]:
    """Driver's hatch, engine grille of raised bars, exhaust louvre, unditching log."""
    parts = hatch(0.22 * length, float(rng.uniform(-0.4, 0.4)) * half_width, deck, 0.30)
    count = int(rng.integers(5, 10))
    for k in range(count):
        x = -0.46 * length + 0.20 * length * (k + 0.5) / count
        parts.append(
            box((x - 0.03, -0.7 * half_width, deck - 0.01), (x + 0.03, 0.7 * half_width, deck + 0.06), "grille")
        )
    if rng.random() < 0.5:
        x = -length / 2 - 0.12
        parts.append(tube((x, -0.8 * half_width, 0.95), (x, 0.8 * half_width, 0.95), 0.13, segments=40, part="log"))
    return parts


def _turret(rng: np.random.Generator, length: float, half_width: float, deck: float) -> list[TriangleMesh]:
    """Turret with gun, cupola, bustle rack, smoke launchers and aerial."""
    size_x, size_y = rng.uniform(2.2, 3.0), rng.uniform(1.7, 2.0) * half_width
    height, x = rng.uniform(0.55, 0.85), rng.uniform(0.0, 0.06) * length
    cast = rng.random() < 0.5
    if cast:
        parts = [dome_turret(size_x, size_y, height, x, deck)]
    else:
        parts = [faceted_turret(size_x, size_y, height, rng.uniform(0.12, 0.30), x, deck)]
    parts.append(tube((x, 0.0, deck - 0.02), (x, 0.0, deck + 0.04), 0.52 * size_y, segments=64, part="turret"))
    gun_length = rng.uniform(2.8, 5.0)
    parts += gun(x + 0.42 * size_x, deck + 0.45 * height, gun_length, rng.uniform(0.06, 0.09), rng.uniform(0.0, 5.0))
    roof = deck + height * (0.90 if cast else 1.0)
    parts += hatch(x - 0.12 * size_x, 0.22 * size_y, roof, 0.33)
    parts += hatch(x - 0.12 * size_x, -0.22 * size_y, roof - 0.05, 0.28)
    parts += stowage(rng, int(rng.integers(1, 4)), (x - 0.62 * size_x, x - 0.35 * size_x), 0.0, deck + 0.25, 0.55)
    for side in (-1, 1):
        for k in range(int(rng.integers(3, 6))):
            foot_x, foot_y, foot_z = x + 0.22 * size_x - 0.14 * k, side * 0.43 * size_y, deck + 0.5 * height
            tip = (foot_x + 0.16, foot_y + side * 0.14, foot_z + 0.12)
            parts.append(tube((foot_x, foot_y, foot_z), tip, 0.045, segments=16, part="launcher"))
    parts.append(aerial(x - 0.35 * size_x, -0.30 * size_y, deck + 0.6 * height, rng.uniform(0.4, 0.6)))
    return parts
