"""Bodies of an aircraft: fuselage with an open cockpit, nacelles, cargo pod."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from geodiff_sar.geometry.targets.airframes import Airframe, BodyStation
from geodiff_sar.geometry.targets.basics import BODY_FRACTION, segments_around
from geodiff_sar.geometry.targets.lofts import superellipse_body
from geodiff_sar.geometry.targets.primitives import box, slab
from geodiff_sar.geometry.triangles import TriangleMesh, merge

WINDSCREEN_POST_M = 0.04


def smooth(
    at: Float[np.ndarray, " n"], stations: Float[np.ndarray, " k"], values: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " n"]:
    """Monotone cubic interpolation (Fritsch and Carlson): no overshoot between the given values."""
    step = np.diff(stations)
    slope = np.diff(values) / step
    tangent = np.empty_like(values)
    tangent[0], tangent[-1] = slope[0], slope[-1]
    before, after = slope[:-1], slope[1:]
    turning = before * after <= 0
    total = np.where(turning, 1.0, before + after)
    tangent[1:-1] = np.where(turning, 0.0, 2 * before * after / np.where(total == 0, 1.0, total))
    k = np.clip(np.searchsorted(stations, at, side="right") - 1, 0, len(step) - 1)
    t = (at - stations[k]) / step[k]
    return (
        values[k] * (1 + 2 * t) * (1 - t) ** 2
        + values[k + 1] * t**2 * (3 - 2 * t)
        + step[k] * (tangent[k] * t * (1 - t) ** 2 - tangent[k + 1] * t**2 * (1 - t))
    )


class BodyProfile:
    """Width, bottom and top of a body at any station."""

    def __init__(self, stations: Sequence[BodyStation]):
        self.table = np.array([[s.station_m, s.width_m, s.bottom_m, s.top_m] for s in stations])

    def at(self, station: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 3"]:
        """Width, bottom and top at the stations, m."""
        return np.column_stack([smooth(station, self.table[:, 0], self.table[:, k]) for k in (1, 2, 3)])

    def rings(self, count: int) -> Float[np.ndarray, " count"]:
        """Stations of rings, closer where the outline bends: spacing goes as one over the root of curvature."""
        dense = np.linspace(self.table[0, 0], self.table[-1, 0], 1200)
        slope = np.gradient(self.at(dense), dense, axis=0)
        bend = np.abs(np.gradient(slope, dense, axis=0)).max(axis=1)
        density = np.sqrt(np.minimum(bend, 25.0)) + 0.12
        total = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(dense))])
        return np.interp(np.linspace(0, total[-1], count), total, dense)

    def side_y(self, station: float, z: float, exponent: float) -> float:
        """Half width of the body at a station and height, m."""
        width, bottom, top = self.at(np.array([station]))[0]
        off_centre = min(abs(2 * z - bottom - top) / (top - bottom), 0.999)
        return float(width / 2 * (1 - off_centre**exponent) ** (1 / exponent))

    def body(self, count: int, exponent: float, part: str, y: float = 0.0) -> TriangleMesh:
        """The closed body with ``count`` rings."""
        stations = self.rings(count)
        width, bottom, top = self.at(stations).T
        around = segments_around(float(max(width.max(), (top - bottom).max())) / 2, fraction=BODY_FRACTION)
        return superellipse_body(-stations, width, top - bottom, (top + bottom) / 2, exponent, around, part, y)


def fuselage(frame: Airframe) -> TriangleMesh:
    """The fuselage; the windscreen and the cockpit's side windows are open, as glass is nearly clear to radar."""
    mesh = BodyProfile(frame.fuselage).body(27, frame.section_exponent, "fuselage")
    centre, normal = mesh.corners.mean(axis=1), mesh.face_normals
    lower, upper = frame.windscreen
    station, aside, height = -centre[:, 0], np.abs(centre[:, 1]), centre[:, 2]
    in_front = (station > lower) & (station < upper) & (normal[:, 0] > 0.12) & (aside > WINDSCREEN_POST_M)
    beside = (station > lower + 0.5) & (station < upper + 0.5) & (np.abs(normal[:, 1]) > 0.8)
    roof = np.max(mesh.vertices[:, 2]) - 0.18
    glass = (height > frame.sill_m) & (height < roof) & (in_front | beside)
    return mesh.with_faces(~glass)


def cockpit(frame: Airframe) -> list[TriangleMesh]:
    """Port half of what stands behind the windscreen: instrument panel, seat, bulkhead, control column."""
    lower, upper = frame.windscreen
    profile = BodyProfile(frame.fuselage)
    floor = frame.sill_m - 0.75
    half = profile.side_y(upper, frame.sill_m, frame.section_exponent) - 0.06
    panel = slab((-(lower + 0.45), half / 2, frame.sill_m - 0.12), (0.10, half, 0.42), -12.0, part="cockpit")
    seat_y, seat_x = 0.52 * half, -(upper + 0.35)
    pan = box((seat_x - 0.25, seat_y - 0.23, floor + 0.30), (seat_x + 0.25, seat_y + 0.23, floor + 0.42), "cockpit")
    back = slab((seat_x - 0.30, seat_y, floor + 0.75), (0.10, 0.44, 0.75), -12.0, part="cockpit")
    rest = box((seat_x - 0.44, seat_y - 0.12, floor + 1.14), (seat_x - 0.36, seat_y + 0.12, floor + 1.32), "cockpit")
    bulkhead = box((seat_x - 0.95, 0.30, floor), (seat_x - 0.92, half - 0.04, frame.sill_m + 0.38), "cockpit")
    column = box((seat_x + 0.35, seat_y - 0.03, floor), (seat_x + 0.40, seat_y + 0.03, floor + 0.6), "cockpit")
    return [panel, pan, back, rest, bulkhead, column]


def side_frame(
    profile: BodyProfile, exponent: float, stations: tuple[float, float], heights: tuple[float, float], part: str
) -> TriangleMesh:
    """A raised frame round a window or door on the port side: four bars that stand 2 cm proud of the skin."""
    (front, rear), (low, high) = stations, heights
    bar = 0.035
    bars = []
    for x0, x1, z0, z1 in (
        (front - bar, front, low - bar, high + bar),
        (rear, rear + bar, low - bar, high + bar),
        (front, rear, low - bar, low),
        (front, rear, high, high + bar),
    ):
        y = profile.side_y(0.5 * (x0 + x1), 0.5 * (z0 + z1), exponent)
        bars.append(box((-x1, y - 0.06, z0), (-x0, y + 0.02, z1), part))
    return merge(bars, part)


def windows(frame: Airframe) -> TriangleMesh:
    """Frames of the cabin windows of the port side."""
    profile = BodyProfile(frame.fuselage)
    start, end = frame.cabin
    pitch = (end - start) / frame.windows
    size = min(0.55 * pitch, 0.42)
    heights = (frame.sill_m + 0.02, frame.sill_m + 0.36)
    frames = []
    for k in range(frame.windows):
        middle = start + (k + 0.5) * pitch
        stations = (middle - size / 2, middle + size / 2)
        frames.append(side_frame(profile, frame.section_exponent, stations, heights, "window"))
    return merge(frames, "window")
