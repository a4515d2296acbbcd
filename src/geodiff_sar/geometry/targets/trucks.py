"""Trucks with a cab and a bed, a box or a tilt."""

import numpy as np

from geodiff_sar.geometry.targets.armour import stowage
from geodiff_sar.geometry.targets.basics import outward
from geodiff_sar.geometry.targets.lofts import loft, scoop
from geodiff_sar.geometry.targets.primitives import box, prism, tube
from geodiff_sar.geometry.targets.running_gear import both_sides, wheels
from geodiff_sar.geometry.triangles import TriangleMesh, merge


def build_truck(rng: np.random.Generator) -> TriangleMesh:
    """A truck: 5.7-9.5 m long, 2.3-2.7 m wide, 2.3-3.4 m high, 4 or 6 wheels, with or without a bonnet."""
    length, width = rng.uniform(5.8, 9.2), rng.uniform(2.35, 2.6)
    radius, tyre_width = rng.uniform(0.45, 0.58), rng.uniform(0.26, 0.36)
    frame_z = radius + rng.uniform(0.30, 0.45)
    bonnet = rng.uniform(0.7, 1.1) if rng.random() < 0.5 else 0.0
    cab_length, cab_top = rng.uniform(1.5, 2.1), frame_z + rng.uniform(1.45, 1.70)
    front = length / 2
    cab_rear = front - bonnet - cab_length
    rear_axles = [-0.30 * length] if length < 7.0 else [-0.30 * length + 1.05 * radius, -0.30 * length - 1.15 * radius]
    axles = [front - 0.9 - 0.3 * bonnet, *rear_axles]
    port = wheels(axles, width / 2 - tyre_width / 2, radius, tyre_width)
    port += _chassis_side(length, width, radius, frame_z, cab_rear, cab_top)
    parts = [both_sides(port, "truck"), *_cab(front, width, frame_z, bonnet, cab_rear, cab_top)]
    parts += _load(rng, length, width, frame_z, cab_rear - 0.15, cab_top)
    return merge(parts, "truck")


def _chassis_side(
    length: float, width: float, radius: float, frame_z: float, cab_rear: float, cab_top: float
) -> list[TriangleMesh]:
    """Port frame rail, bumper half, headlamp, fuel tank, mirror, step."""
    front = length / 2
    rail = box((-front + 0.1, 0.35, frame_z - 0.22), (front - 0.1, 0.43, frame_z), "frame")
    bumper = box((front - 0.12, 0.0, radius), (front, 0.48 * width, radius + 0.26), "bumper")
    lamp = scoop((front + 0.005, 0.36 * width, radius + 0.40), 0.24, 0.24, 0.20, 0.08, 0.012, 2.0, 24, "lamp")
    middle = 0.5 * (cab_rear - 0.30 * length)
    tank = tube(
        (middle - 0.40, 0.40 * width, frame_z - 0.32),
        (middle + 0.40, 0.40 * width, frame_z - 0.32),
        0.26,
        segments=40,
        part="tank",
    )
    mirror_x = cab_rear + 1.25
    mirror = box(
        (mirror_x - 0.03, 0.5 * width + 0.06, cab_top - 0.75), (mirror_x, 0.5 * width + 0.24, cab_top - 0.40), "mirror"
    )
    arm = tube(
        (mirror_x, 0.45 * width, cab_top - 0.5),
        (mirror_x, 0.5 * width + 0.15, cab_top - 0.5),
        0.02,
        segments=12,
        part="mirror",
    )
    step = box((cab_rear + 0.5, 0.42 * width, 0.50), (cab_rear + 1.0, 0.5 * width - 0.02, 0.54), "step")
    return [rail, bumper, lamp, tank, mirror, arm, step]


def _cab(
    front: float, width: float, frame_z: float, bonnet: float, cab_rear: float, cab_top: float
) -> list[TriangleMesh]:
    """The cab with a raked windscreen, and the bonnet in front of it."""
    half = 0.48 * width
    base = front - bonnet
    waist = frame_z + 0.55 * (cab_top - frame_z)
    outline = np.array(
        [
            (base - 0.02, frame_z - 0.25),
            (base - 0.02, waist),
            (base - 0.32, cab_top),
            (cab_rear, cab_top),
            (cab_rear, frame_z - 0.25),
        ]
    )
    parts = [prism(outline, -half, half, "cab")]
    if bonnet:
        top = waist - 0.05
        stations = ((base - 0.05, 0.40 * width, top), (front - 0.03, 0.32 * width, top - 0.18))
        rings = [
            np.array(
                [
                    (x, -y, frame_z - 0.15),
                    (x, y, frame_z - 0.15),
                    (x, y, z - 0.08),
                    (x, 0.8 * y, z),
                    (x, -0.8 * y, z),
                    (x, -y, z - 0.08),
                ]
            )
            for x, y, z in stations
        ]
        parts.append(outward(loft(np.stack(rings), "bonnet")))
    for k in range(6):
        z = frame_z - 0.10 + 0.09 * k
        parts.append(box((front - 0.05, -0.25 * width, z), (front - 0.01, 0.25 * width, z + 0.04), "grille"))
    stack_x, stack_y = cab_rear - 0.08, -0.40 * width
    parts.append(
        tube((stack_x, stack_y, frame_z), (stack_x, stack_y, cab_top + 0.25), 0.07, segments=24, part="exhaust")
    )
    return parts


def _load(
    rng: np.random.Generator, length: float, width: float, frame_z: float, bed_front: float, cab_top: float
) -> list[TriangleMesh]:
    """What the truck carries: an open bed with cargo, a closed box, or a tilt on hoops."""
    rear, half = -length / 2, width / 2
    floor = frame_z + 0.12
    parts = [box((rear, -half, frame_z), (bed_front, half, floor), "bed")]
    kind = int(rng.integers(3))
    if kind == 0:
        wall = rng.uniform(0.40, 0.70)
        parts += [
            box((rear, -half, floor), (bed_front, -half + 0.05, floor + wall), "bed"),
            box((rear, half - 0.05, floor), (bed_front, half, floor + wall), "bed"),
            box((rear, -half, floor), (rear + 0.05, half, floor + wall), "bed"),
            box((bed_front - 0.05, -half, floor), (bed_front, half, floor + wall + 0.3), "bed"),
        ]
        parts += stowage(rng, int(rng.integers(1, 5)), (rear + 0.1, bed_front - 0.1), 0.0, floor, 1.1)
    elif kind == 1:
        height = rng.uniform(1.5, 2.0)
        parts.append(box((rear + 0.02, -half + 0.02, floor), (bed_front, half - 0.02, floor + height), "box"))
        for k in range(int(rng.integers(3, 7))):
            x = rear + 0.3 + 0.7 * k
            if x < bed_front - 0.1:
                parts.append(box((x, -half - 0.03, floor), (x + 0.06, half + 0.03, floor + height), "rib"))
    else:
        parts += _tilt(rear, bed_front, half, floor, rng.uniform(1.4, 1.75))
    return parts


def _tilt(rear: float, front: float, half: float, floor: float, height: float) -> list[TriangleMesh]:
    angle = np.linspace(0, np.pi, 33)
    y = np.concatenate([[half - 0.04], (half - 0.04) * np.cos(angle), [-half + 0.04]])
    z = np.concatenate([[floor], floor + 0.6 * height + 0.4 * height * np.sin(angle), [floor]])
    rings = [np.column_stack([np.full_like(y, x), y, z]) for x in (rear + 0.02, front)]
    return [outward(loft(np.stack(rings), "tilt"))]
