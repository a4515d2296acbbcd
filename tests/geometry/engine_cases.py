"""Small targets, and what the tests of the ray engines trace them with."""

from functools import cache

import numpy as np
import pytest

from geodiff_sar.geometry.engines import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.look import look_along
from geodiff_sar.geometry.options import GroundOptions, TraceOptions
from geodiff_sar.geometry.radar import RadarOptions
from geodiff_sar.geometry.triangles import TriangleMesh, merge

# 5 cm resolution over 3.8 m for the small targets; the aircraft takes the preset of the published chips
SHORT = RadarOptions(
    center_frequency_hz=10e9,
    bandwidth_hz=3e9,
    azimuth_aperture_deg=17.25,
    rows=96,
    columns=96,
    pixel_cross_range_m=0.04,
    pixel_range_m=0.04,
)
WAVELENGTH = SHORT.wavelength_m
METAL, DIELECTRIC, NONE = GroundOptions(metal=True), GroundOptions(), GroundOptions(enabled=False)


def engine(name: str, scene: Scene):
    """The engine, or a skipped test where its package is missing."""
    if name == "embree":
        pytest.importorskip("embreex", reason="embreex is not installed: pip install 'geodiff-sar[embree]'")
    return ENGINES.get(name)(scene)


def surface_of(points: np.ndarray) -> TriangleMesh:
    """Two triangles for every cell of a (rows, columns, 3) lattice of points."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return TriangleMesh(points.reshape(-1, 3), faces)


def plate(corner: tuple, first: tuple, second: tuple) -> TriangleMesh:
    """Parallelogram from a corner and two edges."""
    o, e, f = (np.array(x, dtype=float) for x in (corner, first, second))
    return surface_of(np.array([[o, o + e], [o + f, o + e + f]]))


def box(low: tuple, size: tuple) -> TriangleMesh:
    """Axis-parallel box without a bottom."""
    (x, y, z), (a, b, c) = low, size
    far = (x + a, y + b, z + c)
    sides = [plate(low, e, (0, 0, c)) for e in ((a, 0, 0), (0, b, 0))]
    backs = [plate(far, e, (0, 0, -c)) for e in ((-a, 0, 0), (0, -b, 0))]
    return merge([*sides, *backs, plate((x, y, z + c), (a, 0, 0), (0, b, 0))], "box")


def turned(mesh: TriangleMesh, degrees: float) -> TriangleMesh:
    """The mesh, turned about the vertical."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return mesh.transformed(np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]))


def cylinder(radius: float, height: float, above: float = 0.0) -> TriangleMesh:
    """Upright tube without lids."""
    angle = np.linspace(0, 2 * np.pi, 129)
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1)
    return surface_of(np.stack([np.column_stack([ring, np.full(129, z)]) for z in (above, above + height)]))


def sphere(centre: tuple, radius: float) -> TriangleMesh:
    """Sphere by latitude and longitude; its poles have faces without area."""
    latitude, longitude = np.meshgrid(
        np.linspace(-np.pi / 2, np.pi / 2, 49), np.linspace(0, 2 * np.pi, 97), indexing="ij"
    )
    unit = [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)]
    return surface_of(radius * np.stack(unit, -1)).moved(centre)


def composite() -> TriangleMesh:
    """Asymmetric: boxes at odd angles, one on the ground, a tilted dihedral and a sphere that touches a box."""
    c, s = np.cos(0.4), np.sin(0.4)
    dihedral = merge(
        [plate((0, 0, 0), (0.4, 0, 0), (0, 0.3, 0)), plate((0, 0, 0), (0.4, 0, 0), (0, 0, 0.3))], "dihedral"
    )
    tilted = turned(dihedral.transformed(np.array([[c, 0, -s], [0.0, 1.0, 0.0], [s, 0, c]])), 64).moved((0.5, 0.4, 0.3))
    boxes = [box((-0.6, -0.5, 0.0), (0.5, 0.8, 0.35)), turned(box((0.2, -0.5, 0.15), (0.5, 0.3, 0.4)), 23)]
    return merge([*boxes, tilted, sphere((-0.3, -0.1, 0.52), 0.18)], "composite")


def aircraft() -> TriangleMesh:
    """A target of the shipped collection."""
    try:
        from geodiff_sar.geometry.targets import build_target
    except ImportError:
        pytest.skip("no ready-made targets in this version")
    return build_target("Cessna 208")


MESHES = {
    "wall": lambda: plate((0.0, -0.6, 0.0), (0, 1.2, 0), (0, 0, 0.8)),
    "cylinder": lambda: cylinder(0.1, 1.0, 0.2),
    "composite": composite,
    "sunk": lambda: merge(
        [composite().moved((0.0, 0.0, -0.1)), plate((-0.8, -0.8, -0.12), (1.6, 0, 0), (0, 1.6, 0))], "sunk"
    ),
    "aircraft": aircraft,
}


@cache
def scene_of(name: str) -> Scene:
    return Scene(MESHES[name]())


def request_for(azimuth: float, depression: float, ground: GroundOptions, spacing: float, **options) -> TraceRequest:
    return TraceRequest(
        look_along(azimuth, depression), WAVELENGTH, TraceOptions(spacing_m=spacing, ground=ground, **options)
    )
