"""Closed-form scattering centres of four aircraft: a stand-in for the ray tracer.

Each aircraft is a set of points in the body frame (x nose, y port, z up, metres, ground at z = 0), built from its
published main dimensions. Points carry an amplitude, the direction in which they are bright and the width of that lobe:
a straight edge is a row of points whose common lobe is narrow, as in the attributed scattering centre model
(Gerry and Potter 1999), in which an edge flashes when seen at right angles. Nothing is traced: no multi-bounce
path is computed, and "order 2" centres only stand where a wall meets the ground.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.core.errors import OptionError


@dataclass(frozen=True)
class Airframe:
    """Main dimensions of an aircraft, metres; see docs/method.md for their sources.

    Attributes:
        span, length, height: overall dimensions.
        tail_span: span of the tailplane.
        wing_z: height of the wing above ground.
        wing_x: distance from the nose to the leading edge at the root, as a share of the length.
        chord_root, chord_tip: wing chord.
        t_tail: tailplane on top of the fin.
        engines: 1 in the nose, 2 on the wings.
        fixed_gear: landing gear stays out.
        winglets: wing tips turned up.
        fuselage_width: width of the fuselage.
    """

    span: float
    length: float
    height: float
    tail_span: float
    wing_z: float
    wing_x: float
    chord_root: float
    chord_tip: float
    t_tail: bool
    engines: int
    fixed_gear: bool
    winglets: bool
    fuselage_width: float


AIRFRAMES = {
    "Cessna 208": Airframe(15.88, 11.46, 4.32, 6.25, 2.9, 0.275, 1.98, 1.22, False, 1, True, False, 1.65),
    "King Air 350i": Airframe(17.65, 14.22, 4.37, 5.61, 1.5, 0.36, 2.18, 0.92, True, 2, False, True, 1.5),
    "Kodiak 100": Airframe(13.72, 10.41, 4.65, 5.9, 2.8, 0.28, 1.8, 1.35, False, 1, True, False, 1.5),
    "Pilatus PC 12": Airframe(16.28, 14.40, 4.26, 5.2, 1.4, 0.36, 2.1, 1.05, True, 1, False, True, 1.6),
}


@dataclass(frozen=True)
class Centres:
    """Scattering centres of one target in its body frame.

    Attributes:
        position: (N, 3), m.
        amplitude: (N,) peak amplitude, arbitrary unit.
        facing_rad: (N,) azimuth of the brightest direction, radians clockwise from the nose.
        lobe_rad: (N,) half width of the lobe; inf for a centre that is bright from everywhere.
        floor: (N,) share of the amplitude that remains outside the lobe.
        order: (N,) bounces: 1 direct, 2 target and ground, 3 cavities.
        surface: (M, 3) points that fill the body and cast the shadow.
    """

    position: Float[np.ndarray, "point 3"]
    amplitude: Float[np.ndarray, " point"]
    facing_rad: Float[np.ndarray, " point"]
    lobe_rad: Float[np.ndarray, " point"]
    floor: Float[np.ndarray, " point"]
    order: Int[np.ndarray, " point"]
    surface: Float[np.ndarray, "surface 3"]


def build_centres(name: str) -> Centres:
    """Scattering centres of the aircraft called ``name`` (a key of AIRFRAMES); the same at every call."""
    if name not in AIRFRAMES:
        raise OptionError("target", repr(name), f"one of {', '.join(AIRFRAMES)}", "choose one of these")
    frame = AIRFRAMES[name]
    parts = _Parts()
    half, nose, tail = frame.span / 2, frame.length / 2, -frame.length / 2
    body_z, width = 0.5 * (frame.wing_z + 1.5) if frame.fixed_gear else 1.7, frame.fuselage_width / 2
    leading = nose - frame.wing_x * frame.length
    parts.surface_box((tail * 0.55, nose * 0.9), (-width, width), (body_z - 0.7, body_z + 0.8))
    parts.surface_box((tail, tail * 0.55), (-width * 0.5, width * 0.5), (body_z - 0.2, body_z + 0.7))
    for side in (1.0, -1.0):
        root, tip = (leading, side * width, frame.wing_z), (leading - 0.25, side * half, frame.wing_z + 0.35)
        back_root = (leading - frame.chord_root, side * width, frame.wing_z)
        back_tip = (leading - 0.25 - frame.chord_tip, side * half, frame.wing_z + 0.35)
        sweep = side * np.arctan2(0.25, half)
        parts.edge(root, tip, 1.0, -sweep, 0.07, 0.25, 1)
        parts.edge(back_root, back_tip, 0.55, np.pi + sweep, 0.08, 0.2, 1)
        parts.surface_quad(root, tip, back_tip, back_root)
        parts.point(tip, 1.2, side * -np.pi / 2, 1.2, 0.25, 1)
        if frame.winglets:
            parts.edge(
                back_tip, (back_tip[0] - 0.3, back_tip[1], back_tip[2] + 0.7), 0.9, side * -np.pi / 2, 0.5, 0.75, 1
            )
        parts.edge(
            (tail * 0.5, side * width, body_z),
            (nose * 0.75, side * width, body_z),
            0.9,
            side * -np.pi / 2,
            0.09,
            0.25,
            1,
        )
        parts.edge(
            (tail * 0.5, side * width, 0.0), (nose * 0.75, side * width, 0.0), 0.8, side * -np.pi / 2, 0.2, 0.2, 2
        )
        tail_z = frame.height if frame.t_tail else body_z + 0.4
        tail_tip = (tail + 0.5, side * frame.tail_span / 2, tail_z)
        parts.edge((tail + 1.1, 0.0, tail_z), tail_tip, 0.8, side * -0.2, 0.09, 0.3, 1)
        parts.surface_quad((tail + 1.1, 0.0, tail_z), tail_tip, (tail, tail_tip[1], tail_z), (tail, 0.0, tail_z))
        parts.point(tail_tip, 0.8, side * -np.pi / 2, 1.2, 0.3, 1)
        if frame.fixed_gear:
            parts.point((leading - 1.3, side * 1.6, 0.2), 1.8, 0.0, np.inf, 1.0, 2)
            parts.edge(
                (leading - 0.6, side * width, 1.0),
                (leading - 0.7, side * half * 0.45, frame.wing_z),
                0.6,
                0.0,
                0.2,
                0.5,
                1,
            )
        if frame.engines == 2:
            engine = (leading + 1.2, side * half * 0.3, frame.wing_z + 0.3)
            parts.point(engine, 4.0, 0.0, 1.1, 0.25, 3)
            parts.edge(engine, (engine[0] - 2.4, engine[1], engine[2]), 0.9, side * -np.pi / 2, 0.12, 0.5, 1)
            parts.point((engine[0] - 2.4, engine[1], engine[2]), 1.8, np.pi, 0.9, 0.2, 1)
            parts.surface_box((engine[0] - 2.4, engine[0]), (engine[1] - 0.4, engine[1] + 0.4), (1.1, 2.2))
    parts.edge((tail, 0.0, body_z + 0.5), (tail + 1.6, 0.0, body_z + 0.5), 1.2, np.pi / 2, 0.12, 0.25, 1)
    parts.edge((tail, 0.0, body_z + 0.5), (tail + 1.6, 0.0, body_z + 0.5), 1.2, -np.pi / 2, 0.12, 0.25, 1)
    parts.edge((tail + 1.6, 0.0, body_z + 0.5), (tail + 0.3, 0.0, frame.height), 0.8, 0.0, 0.5, 0.38, 1)
    parts.surface_quad(
        (tail, 0.0, body_z), (tail + 1.6, 0.0, body_z), (tail + 0.8, 0.0, frame.height), (tail, 0.0, frame.height)
    )
    parts.point((nose, 0.0, body_z), 4.5 if frame.engines == 1 else 1.6, 0.0, 1.0, 0.25, 3 if frame.engines == 1 else 1)
    parts.point((nose * 0.62, 0.0, body_z + 0.9), 2.6, 0.0, 0.9, 0.2, 1)
    parts.point((tail, 0.0, body_z + 0.3), 1.8, np.pi, 0.9, 0.25, 1)
    parts.point((nose * 0.7, 0.0, 0.2), 1.2, 0.0, np.inf, 1.0, 2)
    return parts.done(seed=sorted(AIRFRAMES).index(name))


class _Parts:
    spacing_m = 0.12

    def __init__(self) -> None:
        self.rows: list[np.ndarray] = []
        self.filled: list[np.ndarray] = []

    def point(
        self, at: tuple[float, ...], amplitude: float, facing: float, lobe: float, floor: float, order: int
    ) -> None:
        self.rows.append(np.array([[*at, amplitude, facing, lobe, floor, order]], dtype=np.float64))

    def edge(
        self,
        start: tuple[float, ...],
        end: tuple[float, ...],
        amplitude: float,
        facing: float,
        lobe: float,
        floor: float,
        order: int,
    ) -> None:
        count = max(2, int(np.ceil(np.linalg.norm(np.subtract(end, start)) / self.spacing_m)))
        share = np.linspace(0.0, 1.0, count)[:, None]
        points = np.asarray(start) * (1 - share) + np.asarray(end) * share
        rest = np.broadcast_to([amplitude, facing, lobe, floor, order], (count, 5))
        self.rows.append(np.concatenate([points, rest], axis=1))

    def surface_box(self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> None:
        axes = [np.arange(low, high + 0.15, 0.15) for low, high in (x, y, z)]
        self.filled.append(np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1))

    def surface_quad(
        self, a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...], d: tuple[float, ...]
    ) -> None:
        first, second = np.meshgrid(np.linspace(0, 1, 64), np.linspace(0, 1, 24), indexing="ij")
        first, second = first.reshape(-1, 1), second.reshape(-1, 1)
        top = np.asarray(a) * (1 - first) + np.asarray(b) * first
        bottom = np.asarray(d) * (1 - first) + np.asarray(c) * first
        self.filled.append(top * (1 - second) + bottom * second)

    def done(self, seed: int) -> Centres:
        rows, surface = np.concatenate(self.rows), np.concatenate(self.filled)
        rng = np.random.default_rng(seed)
        rows[:, 3] *= rng.gamma(4.0, 0.25, len(rows))  # rivets, doors, panels: uneven along every edge
        detail = surface[rng.choice(len(surface), 90, replace=False)]
        facing = rng.uniform(-np.pi, np.pi, 90)
        extra = np.column_stack(
            [detail, rng.gamma(1.5, 0.35, 90), facing, np.full(90, 0.8), np.full(90, 0.05), np.ones(90)]
        )
        rows = np.concatenate([rows, extra])
        return Centres(
            rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5], rows[:, 6], rows[:, 7].astype(np.int64), surface
        )
