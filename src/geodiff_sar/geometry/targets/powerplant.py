"""Engines: spinner, propeller, inlets, exhaust stacks, nacelles."""

import numpy as np

from geodiff_sar.geometry.targets.airframes import Airframe, Engine
from geodiff_sar.geometry.targets.basics import outward, rotation
from geodiff_sar.geometry.targets.fuselage import BodyProfile
from geodiff_sar.geometry.targets.lofts import loft, scoop, superellipse_body
from geodiff_sar.geometry.targets.primitives import tube
from geodiff_sar.geometry.triangles import TriangleMesh, merge

NACELLE_EXPONENT = 2.3
HALF_TURN = np.diag([-1.0, -1.0, 1.0])  # a scoop that opens aft instead of forward


def spinner(engine: Engine) -> TriangleMesh:
    """A round cone with its tip at the engine's station."""
    along = np.linspace(0.0, 1.0, 10) ** 1.6
    size = engine.spinner_diameter_m * np.clip(along, 1e-3, 1.0) ** 0.6
    stations = engine.station_m + along * engine.spinner_length_m
    return superellipse_body(-stations, size, size, np.full(10, engine.z_m), 2.0, 40, "spinner", engine.y_m)


def blade(length_m: float, root_pitch_deg: float, tip_pitch_deg: float) -> TriangleMesh:
    """A twisted blade along +z from the shaft; pitch is the angle of its chord to the plane of rotation."""
    fraction = np.array([0.08, 0.16, 0.30, 0.50, 0.70, 0.88, 0.97, 1.0])
    chord = np.array([0.05, 0.07, 0.105, 0.125, 0.12, 0.10, 0.075, 0.03]) * length_m * 1.35
    thick = np.array([0.05, 0.04, 0.022, 0.014, 0.010, 0.008, 0.006, 0.004]) * length_m
    pitch = np.radians(np.interp(fraction, [0.08, 1.0], [root_pitch_deg, tip_pitch_deg]))
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rings = []
    for part, width, depth, turn in zip(fraction, chord, thick, pitch, strict=True):
        along, across = 0.5 * width * np.cos(angle), 0.5 * depth * np.sin(angle)
        y = along * np.cos(turn) - across * np.sin(turn)
        x = along * np.sin(turn) + across * np.cos(turn)
        rings.append(np.column_stack([x, y, np.full_like(x, part * length_m)]))
    return outward(loft(np.stack(rings), "propeller"))


def propeller(engine: Engine) -> TriangleMesh:
    """Blades feathered, as turboprops are parked; turns clockwise seen from behind, so it has no mirror symmetry."""
    one = blade(engine.propeller_diameter_m / 2, 88.0, 68.0)
    hub = (-(engine.station_m + 0.62 * engine.spinner_length_m), engine.y_m, engine.z_m)
    blades = [one.transformed(rotation("x", 360.0 * k / engine.blades), hub) for k in range(engine.blades)]
    return merge(blades, "propeller")


def nacelle(frame: Airframe) -> list[TriangleMesh]:
    """The port nacelle of a twin; nothing on a single."""
    if not frame.twin:
        return []
    return [BodyProfile(frame.nacelle).body(13, NACELLE_EXPONENT, "engine", frame.engine.y_m)]


def chin_inlet(frame: Airframe) -> TriangleMesh:
    """The concave air inlet below the spinner."""
    engine = frame.engine
    width = 0.58 if frame.twin else 0.46
    mouth = (-(engine.station_m + engine.spinner_length_m + 0.12), engine.y_m, engine.z_m - 0.41)
    return scoop(mouth, width, 0.26, 1.30, 0.45, segments=32, part="inlet")


def cowl_inlets(frame: Airframe) -> list[TriangleMesh]:
    """A small oil-cooler inlet, and the NACA-like scoop on the flank of a single's cowling, port side."""
    engine = frame.engine
    if frame.twin:
        mouth = (-(engine.station_m + 2.6), engine.y_m, engine.z_m - 0.58)
        return [scoop(mouth, 0.34, 0.20, 0.90, 0.25, segments=32, part="inlet")]
    profile = BodyProfile(frame.fuselage)
    station = engine.station_m + 1.05
    y = profile.side_y(station, engine.z_m + 0.1, frame.section_exponent)
    return [scoop((-station, y, engine.z_m + 0.10), 0.10, 0.18, 0.45, 0.18, 0.012, segments=24, part="inlet")]


def exhaust(frame: Airframe, side: int) -> TriangleMesh:
    """A stack that leaves the cowling sideways and opens aft: an elbow and a hollow end.

    Args:
        frame: the aircraft.
        side: 1 for the port side of the (port) engine, -1 for its starboard side.
    """
    engine = frame.engine
    profile = BodyProfile(frame.nacelle or frame.fuselage)
    exponent = NACELLE_EXPONENT if frame.twin else frame.section_exponent
    station, z = engine.exhaust_station_m, engine.z_m + (0.05 if frame.twin else -0.20)
    skin = profile.side_y(station, z, exponent)
    y = engine.y_m + side * (skin + 0.10)
    elbow = tube(
        (-station, engine.y_m + side * (skin - 0.12), z), (-(station + 0.14), y, z), 0.10, segments=32, part="exhaust"
    )
    end = scoop((0.0, 0.0, 0.0), 0.21, 0.21, 0.34, 0.26, 0.008, 2.0, 32, "exhaust")
    return merge([elbow, end.transformed(HALF_TURN, (-(station + 0.42), y, z))], "exhaust")
