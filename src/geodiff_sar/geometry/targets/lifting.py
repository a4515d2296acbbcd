"""Wing, winglets, tailplane, fin, strut and what hangs on them."""

from collections.abc import Sequence

import numpy as np

from geodiff_sar.geometry.targets.airframes import Airframe, WingStation
from geodiff_sar.geometry.targets.lofts import WingSection, superellipse_body, wing_panel
from geodiff_sar.geometry.targets.primitives import box, prism, tube
from geodiff_sar.geometry.triangles import TriangleMesh, merge

SECTION_POINTS = 112
TAIL_POINTS = 94
WING_CAMBER = 0.02


def half_wing(stations: Sequence[WingStation], camber: float, points: int, part: str) -> TriangleMesh:
    """Port half of a wing or tailplane."""
    sections = [WingSection((-s.station_m, s.y_m, s.z_m), s.chord_m, s.thickness) for s in stations]
    return wing_panel(sections, camber, points, part=part)


def wing(frame: Airframe) -> TriangleMesh:
    """Port wing with its winglet; the outermost point lies exactly at half the span."""
    panels = [half_wing(frame.wing, WING_CAMBER, SECTION_POINTS, "wing")]
    for inner, outer in zip(frame.winglet, frame.winglet[1:], strict=False):
        rise, run = outer.z_m - inner.z_m, outer.y_m - inner.y_m
        up = np.array([0.0, -rise, run]) / np.hypot(rise, run)
        ends = [WingSection((-s.station_m, s.y_m, s.z_m), s.chord_m, s.thickness) for s in (inner, outer)]
        panels.append(wing_panel(ends, 0.0, 30, (0.0, float(up[1]), float(up[2])), "winglet"))
    whole = merge(panels, "wing")
    reach = float(whole.vertices[:, 1].max())
    return whole.transformed(np.diag([1.0, frame.span_m / 2 / reach, 1.0]))


def wing_at(frame: Airframe, y: float) -> WingStation:
    """The wing section at a spanwise place, straight between the given ones."""
    table = np.array([[s.y_m, s.station_m, s.z_m, s.chord_m, s.thickness] for s in frame.wing])
    return WingStation(*(float(np.interp(y, table[:, 0], table[:, k])) for k in range(5)))


def flap_fairings(frame: Airframe) -> list[TriangleMesh]:
    """Slender bodies below the trailing edge that cover the flap tracks, port side."""
    fairings = []
    for y in frame.flap_fairings:
        section = wing_at(frame, y)
        front = section.station_m + 0.58 * section.chord_m
        along = np.linspace(0.0, 1.0, 7)
        size = np.sin(np.pi * np.clip(along, 0.03, 0.97)) ** 0.7
        z = section.z_m - 0.35 * section.thickness * section.chord_m - 0.03
        fairings.append(
            superellipse_body(
                -(front + along * 0.62 * section.chord_m), 0.09 * size, 0.17 * size, np.full(7, z), 2.2, 20, "flap", y
            )
        )
    return fairings


def wing_details(frame: Airframe) -> list[TriangleMesh]:
    """Landing light, pitot tube, fuel cap and tie-down ring of the port wing."""
    out = wing_at(frame, 0.78 * frame.span_m / 2)
    mid = wing_at(frame, 0.55 * frame.span_m / 2)
    below = out.z_m - 0.05 * out.chord_m
    x = -(out.station_m + 0.35 * out.chord_m)
    pitot = [
        box((x - 0.08, out.y_m - 0.008, below - 0.16), (x, out.y_m + 0.008, below + 0.04), "pitot"),
        tube((x - 0.06, out.y_m, below - 0.16), (x + 0.22, out.y_m, below - 0.16), 0.012, segments=12, part="pitot"),
    ]
    top = mid.z_m + 0.075 * mid.chord_m
    cap_x = -(mid.station_m + 0.30 * mid.chord_m)
    cap = tube((cap_x, mid.y_m, top - 0.04), (cap_x, mid.y_m, top + 0.03), 0.06, segments=24, part="fuel cap")
    bottom = mid.z_m - 0.04 * mid.chord_m
    ring = tube((cap_x, mid.y_m, bottom + 0.05), (cap_x, mid.y_m, bottom - 0.07), 0.015, segments=12, part="tie-down")
    return [*pitot, cap, ring]


def strut(frame: Airframe) -> list[TriangleMesh]:
    """Port wing strut: a streamlined bar between fuselage and wing."""
    if not frame.strut:
        return []
    ends = [WingSection((-s, y, z), 0.24, 0.30) for s, y, z in frame.strut]
    return [wing_panel(ends, 0.0, 30, part="strut")]


def tailplane(frame: Airframe) -> TriangleMesh:
    """Port half of the tailplane."""
    return half_wing(frame.tailplane, 0.0, TAIL_POINTS, "tailplane")


def fin(frame: Airframe) -> list[TriangleMesh]:
    """The fin on the middle line, with a dorsal fin in front and, on a T-tail, a bullet at the top."""
    sections = [WingSection((-s, 0.0, z), chord, 0.10) for s, z, chord in frame.fin]
    parts = [wing_panel(sections, 0.0, 50, (0.0, 1.0, 0.0), "fin")]
    root_station, root_z, _ = frame.fin[0]
    dorsal = np.array(
        [(-(root_station - 1.5), root_z), (-(root_station + 0.5), root_z), (-(root_station + 0.42), 2.95)]
    )
    parts.append(prism(dorsal, 0.0, 0.02, "fin"))
    top = frame.tailplane[0]
    if top.z_m > frame.fin[-1][1]:
        along = np.linspace(0.0, 1.0, 14)
        shape = np.sin(np.pi * np.clip(along, 0.02, 0.98) ** 0.8) ** 0.6
        size = 2 * (frame.height_m - top.z_m) * shape / shape.max()
        start = top.station_m - 0.25
        stations = start + along * (frame.length_m - 0.05 - start)
        parts.append(superellipse_body(-stations, size, size, np.full(14, top.z_m), 2.0, 40, "fin"))
    return parts
