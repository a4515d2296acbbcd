"""Small things that glint: antennas, doors, steps, strakes, pods, light housings."""

import numpy as np

from geodiff_sar.geometry.targets.airframes import Airframe
from geodiff_sar.geometry.targets.fuselage import BodyProfile, side_frame
from geodiff_sar.geometry.targets.lifting import wing_at
from geodiff_sar.geometry.targets.lofts import superellipse_body
from geodiff_sar.geometry.targets.primitives import box, prism, sphere, tube
from geodiff_sar.geometry.triangles import TriangleMesh


def antennas(frame: Airframe) -> list[TriangleMesh]:
    """Port half of the blade antennas on the middle line: above the cabin, below the fuselage."""
    profile = BodyProfile(frame.fuselage)
    start, end = frame.cabin
    blades = []
    for place, above in ((0.45, True), (0.92, True), (0.30, False), (0.75, False)):
        station = start + place * (end - start)
        _, bottom, top = profile.at(np.array([station]))[0]
        root, tip = (top - 0.03, top + 0.26) if above else (bottom + 0.03, bottom - 0.18)
        outline = np.array(
            [(-station + 0.11, root), (-station - 0.11, root), (-station - 0.15, tip), (-station - 0.06, tip)]
        )
        blades.append(prism(outline, 0.0, 0.008, "antenna"))
    return blades


def beacon(frame: Airframe) -> TriangleMesh:
    """The anti-collision light on the roof."""
    station = frame.cabin[1]
    top = float(BodyProfile(frame.fuselage).at(np.array([station]))[0, 2])
    return sphere(0.06, (-station, 0.0, top), 20, "antenna")


def symmetric_doors(frame: Airframe) -> list[TriangleMesh]:
    """Frame of the crew door (high wings) or of the emergency exit (low wings), which both sides have."""
    profile = BodyProfile(frame.fuselage)
    if frame.high_wing:
        front = frame.windscreen[1] - 0.15
        heights = (frame.sill_m - 0.95, frame.sill_m + 0.42)
    else:
        front = frame.cabin[0] + 1.4
        heights = (frame.sill_m - 0.45, frame.sill_m + 0.40)
    return [side_frame(profile, frame.section_exponent, (front, front + 0.85), heights, "door")]


def entry_door(frame: Airframe) -> list[TriangleMesh]:
    """The passenger or cargo door and its step, on the port side only."""
    profile = BodyProfile(frame.fuselage)
    rear = frame.cabin[1] - 0.25
    front = rear - (1.25 if frame.high_wing else 0.75)
    heights = (frame.sill_m - 0.90, frame.sill_m + 0.42)
    door = side_frame(profile, frame.section_exponent, (front, rear), heights, "door")
    y = profile.side_y(front, heights[0], frame.section_exponent)
    step = box((-(front + 0.65), y + 0.02, 0.52), (-(front + 0.25), y + 0.28, 0.55), "door")
    rails = [
        tube(
            (-(front + offset), y - 0.05, heights[0]),
            (-(front + offset), y + 0.15, 0.54),
            0.02,
            segments=12,
            part="door",
        )
        for offset in (0.27, 0.63)
    ]
    return [door, step, *rails]


def ventral_strakes(frame: Airframe) -> list[TriangleMesh]:
    """The two fins below the tailcone of the low-wing aircraft, port one."""
    if frame.high_wing:
        return []
    end = frame.fuselage[-2].station_m
    profile = BodyProfile(frame.fuselage)
    bottom_front, bottom_rear = profile.at(np.array([end - 2.0, end - 0.6]))[:, 1]
    outline = np.array(
        [
            (-(end - 2.0), bottom_front + 0.10),
            (-(end - 1.2), bottom_rear - 0.42),
            (-(end - 0.6), bottom_rear - 0.28),
            (-(end - 0.6), bottom_rear + 0.10),
        ]
    )
    return [prism(outline, 0.16, 0.18, "fin")]


def cargo_pod(frame: Airframe) -> list[TriangleMesh]:
    """The cargo pod under the fuselage, where there is one."""
    if not frame.pod:
        return []
    return [BodyProfile(frame.pod).body(10, 3.2, "cargo pod")]


def radar_pod(frame: Airframe) -> list[TriangleMesh]:
    """The weather radar on the leading edge near the starboard wing tip."""
    if not frame.radar_pod:
        return []
    section = wing_at(frame, 0.93 * frame.span_m / 2)
    along = np.linspace(0.0, 1.0, 14)
    size = 0.40 * np.sin(np.pi * np.clip(along, 0.01, 0.97) ** 0.75) ** 0.55
    stations = section.station_m - 0.42 + along * 1.05
    z = np.full(14, section.z_m)
    return [superellipse_body(-stations, size, size, z, 2.0, 56, "radar pod", -section.y_m)]
