"""Landing gear: wheels, legs, forks, doors and wheel wells."""

import numpy as np

from geodiff_sar.geometry.targets.airframes import Airframe, Wheel
from geodiff_sar.geometry.targets.basics import outward, rotation
from geodiff_sar.geometry.targets.lofts import loft, scoop, superellipse_body
from geodiff_sar.geometry.targets.primitives import box, tube
from geodiff_sar.geometry.triangles import TriangleMesh

TYRE_SEGMENTS = 40


def tyre(station: float, y: float, radius: float, width: float, part: str = "wheel") -> TriangleMesh:
    """A wheel that stands on the ground: a tyre with a sunk hub on both sides."""
    across = np.array([-0.30, -0.45, -0.50, -0.40, 0.0, 0.40, 0.50, 0.45, 0.30]) * width
    radii = np.array([0.38, 0.50, 0.70, 0.93, 1.0, 0.93, 0.70, 0.50, 0.38]) * radius
    angle = np.linspace(0, 2 * np.pi, TYRE_SEGMENTS, endpoint=False)
    rings = [
        np.column_stack([-station + r * np.sin(angle), np.full_like(angle, y + a), radius + r * np.cos(angle)])
        for a, r in zip(across, radii, strict=True)
    ]
    return outward(loft(np.stack(rings), part))


def main_gear(frame: Airframe) -> list[TriangleMesh]:
    """Port main gear: wheel or pair of wheels, leg, fork or axle, and the door of a retractable one."""
    wheel = frame.main_wheel
    top = (-wheel.leg_top_m[0], wheel.leg_top_m[1], wheel.leg_top_m[2])
    x, radius = -wheel.station_m, wheel.radius_m
    if wheel.twin:
        offset = 0.5 * wheel.width_m + 0.10
        tyres = [tyre(wheel.station_m, wheel.y_m + side * offset, radius, wheel.width_m) for side in (1, -1)]
        foot, inner = (x, wheel.y_m, radius), wheel.y_m - offset
    else:
        tyres = [tyre(wheel.station_m, wheel.y_m, radius, wheel.width_m)]
        foot, inner = (x, wheel.y_m - 0.5 * wheel.width_m - 0.07, radius), wheel.y_m - 0.5 * wheel.width_m - 0.07
    leg = tube(top, foot, 0.060, 0.045, 20, part="gear")
    axle = tube((x, inner, radius), (x, wheel.y_m, radius), 0.04, segments=16, part="gear")
    return [*tyres, leg, axle, *_main_gear_covers(frame, wheel, top, foot)]


def _main_gear_covers(
    frame: Airframe, wheel: Wheel, top: tuple[float, float, float], foot: tuple[float, float, float]
) -> list[TriangleMesh]:
    x = -wheel.station_m
    if not frame.retractable_gear:
        # Fixed gear: a step above the wheel and a brake line behind the leg.
        step = box((x - 0.14, wheel.y_m - 0.42, 0.46), (x + 0.14, wheel.y_m - 0.22, 0.48), "step")
        line = tube(
            (top[0] - 0.09, top[1], top[2]), (foot[0] - 0.07, foot[1], foot[2]), 0.012, segments=12, part="gear"
        )
        return [step, line]
    high = top[2]
    doors = [
        box(
            (x - 0.34, wheel.y_m + side * 0.30 - 0.01, high - 0.46),
            (x + 0.34, wheel.y_m + side * 0.30 + 0.01, high + 0.06),
            "gear door",
        )
        for side in (1, -1)
    ]
    scissors = box(
        (x - 0.16, wheel.y_m - 0.03, wheel.radius_m + 0.12), (x - 0.05, wheel.y_m + 0.03, wheel.radius_m + 0.36), "gear"
    )
    brace = tube(
        (top[0] + 0.45, top[1], top[2]), (x + 0.02, foot[1], wheel.radius_m + 0.30), 0.025, segments=12, part="gear"
    )
    well = scoop((0.0, 0.0, 0.0), 0.62, 0.58, 0.42, 0.34, 0.02, 4.0, 24, "wheel well")
    opening = well.transformed(rotation("y", 90.0), (x, wheel.y_m, high - 0.14))
    return [*doors, scissors, brace, opening]


def nose_gear(frame: Airframe) -> list[TriangleMesh]:
    """Nose gear on the middle line: wheel, leg, fork, torque links, mudguard or doors."""
    wheel = frame.nose_wheel
    x, radius, half = -wheel.station_m, wheel.radius_m, wheel.width_m / 2
    top = (-wheel.leg_top_m[0], 0.0, wheel.leg_top_m[2])
    crown = 2 * radius + 0.06
    leg = tube(top, (x, 0.0, crown), 0.055, 0.045, 20, part="gear")
    return [tyre(wheel.station_m, 0.0, radius, wheel.width_m), leg, *_fork(x, radius, half, crown)]


def _fork(x: float, radius: float, half: float, crown: float) -> list[TriangleMesh]:
    # Port half; the other is its mirror image.
    arm = box((x - 0.035, half + 0.02, radius - 0.03), (x + 0.035, half + 0.05, crown + 0.02), "gear")
    bridge = box((x - 0.06, 0.0, crown - 0.02), (x + 0.06, half + 0.05, crown + 0.05), "gear")
    axle = tube((x, 0.0, radius), (x, half + 0.06, radius), 0.025, segments=16, part="gear")
    links = box((x + 0.05, 0.0, crown + 0.06), (x + 0.16, 0.03, crown + 0.24), "gear")
    return [arm, bridge, axle, links]


def nose_gear_doors(frame: Airframe) -> list[TriangleMesh]:
    """Port door beside the nose leg of a retractable gear."""
    if not frame.retractable_gear:
        return []
    wheel = frame.nose_wheel
    high = wheel.leg_top_m[2]
    return [
        box((-wheel.station_m - 0.30, 0.20, high - 0.42), (-wheel.station_m + 0.36, 0.22, high - 0.02), "gear door")
    ]


def leg_fairing(frame: Airframe) -> list[TriangleMesh]:
    """Root fairing of a fixed main leg on the fuselage, port side."""
    if frame.retractable_gear:
        return []
    station, y, z = frame.main_wheel.leg_top_m
    along = np.linspace(0.0, 1.0, 9)
    size = np.sin(np.pi * np.clip(along, 0.03, 0.97)) ** 0.7
    return [
        superellipse_body(-(station - 0.6 + 1.2 * along), 0.42 * size, 0.26 * size, np.full(9, z), 2.4, 24, "gear", y)
    ]
