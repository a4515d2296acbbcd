"""Canonical shapes, traces and image measurements for the proofs of the ray engine.

``check`` prints one row of a markdown table per comparison, so that the table of docs/method.md can be made again:
``pytest -s tests/geometry/test_geometry_validation_*.py | grep "^|"``
"""

import math
import os
from functools import cache

import numpy as np
import scipy.fft

from geodiff_sar.core.types import SPEED_OF_LIGHT_M_S
from geodiff_sar.geometry.engines import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.look import look_along
from geodiff_sar.geometry.options import GroundOptions, TraceOptions
from geodiff_sar.geometry.radar import RadarOptions, load_radar
from geodiff_sar.geometry.triangles import TriangleMesh, merge

KU = 15.2e9
NO_GROUND = GroundOptions(enabled=False)
MIRROR = GroundOptions(metal=True, roughness_m=0.0)
UPSAMPLING = 8


# --- reporting


def check(case: str, measured: float, reference: float, tolerance: float, unit: str = "dB") -> None:
    """Print a row of the validation table and require that the measured value is within the tolerance."""
    error = measured - reference
    test = os.environ.get("PYTEST_CURRENT_TEST", "::?").split("::")[-1].split(" ")[0].split("[")[0]
    print(f"\n| {case} | {reference:.4g} {unit} | {measured:.4g} {unit} | {error:+.2g} | {tolerance:g} | `{test}` |")
    assert abs(error) <= tolerance, f"{case}: {measured:.6g} {unit}, expected {reference:.6g} +- {tolerance:g}"


def check_below(case: str, measured: float, limit: float, unit: str = "dB") -> None:
    """Print a row and require that the measured value does not exceed the limit."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "::?").split("::")[-1].split(" ")[0].split("[")[0]
    print(f"\n| {case} | at most {limit:g} {unit} | {measured:.3g} {unit} | | | `{test}` |")
    assert measured <= limit, f"{case}: {measured:.6g} {unit}, expected at most {limit:g}"


def db(power: float) -> float:
    """Ten times the decimal logarithm."""
    return float(10 * np.log10(max(float(power), 1e-30)))


def sinc(x: float) -> float:
    """sin(pi x) / (pi x)."""
    return float(np.sinc(x))


# --- shapes


def surface(points: np.ndarray) -> TriangleMesh:
    """Two triangles for every cell of a (rows, columns, 3) lattice of points."""
    rows, columns = points.shape[:2]
    number = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, 1:], number[1:, :-1]
    faces = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return TriangleMesh(points.reshape(-1, 3), faces)


def sheet(corner: tuple, first: tuple, second: tuple) -> TriangleMesh:
    """Parallelogram from a corner and two edges."""
    o, e, f = (np.array(x, dtype=float) for x in (corner, first, second))
    return surface(np.array([[o, o + e], [o + f, o + e + f]]))


def plate(width: float, height: float) -> TriangleMesh:
    """Upright plate that faces +x, centred at the origin."""
    return sheet((0, -width / 2, -height / 2), (0, width, 0), (0, 0, height))


def wall(width: float, height: float, place: tuple = (0, 0, 0)) -> TriangleMesh:
    """Upright plate that stands on the ground and faces +x; ``place`` is the middle of its foot."""
    return move(sheet((0, -width / 2, 0), (0, width, 0), (0, 0, height)), place)


def dihedral(depth: float, width: float) -> TriangleMesh:
    """Plates in x = 0 and z = 0, open towards +x and +z; the fold is on the y axis."""
    fold = (0, -width / 2, 0)
    return merge([sheet(fold, (0, width, 0), (0, 0, depth)), sheet(fold, (0, width, 0), (depth, 0, 0))], "dihedral")


def triangular_trihedral(side: float) -> TriangleMesh:
    """Three right-angled triangles with the apex at the origin, open towards (1, 1, 1)."""
    return TriangleMesh(side * np.eye(4, 3, k=-1), np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1]]))


def square_trihedral(side: float) -> TriangleMesh:
    """Three squares with the apex at the origin, open towards (1, 1, 1)."""
    x, y, z = (side, 0, 0), (0, side, 0), (0, 0, side)
    return merge([sheet((0, 0, 0), x, y), sheet((0, 0, 0), y, z), sheet((0, 0, 0), z, x)], "trihedral")


@cache
def sphere(radius: float, subdivisions: int = 5) -> TriangleMesh:
    """An icosahedron whose faces are split into four, ``subdivisions`` times, and moved onto the sphere."""
    g = (1 + math.sqrt(5)) / 2
    vertices = np.array([p for s in (-1, 1) for t in (-g, g) for p in ((0, s, t), (s, t, 0), (t, 0, s))], dtype=float)
    distance = np.linalg.norm(vertices[:, None] - vertices[None], axis=-1)
    near = np.abs(distance - 2) < 1e-9
    triples = [
        (i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]
    ]
    corners = vertices[np.array(triples)] / math.sqrt(1 + g * g)
    for _ in range(subdivisions):
        a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
        ab, bc, ca = a + b, b + c, c + a
        corners = np.stack([a, ab, ca, ab, b, bc, ca, bc, c, ab, bc, ca], axis=1).reshape(-1, 3, 3)
        corners = corners / np.linalg.norm(corners, axis=2, keepdims=True)
    points, number = np.unique(np.round(corners.reshape(-1, 3), 12), axis=0, return_inverse=True)
    faces = number.reshape(-1, 3)
    a, b, c = (points[faces[:, k]] for k in range(3))
    inward = np.einsum("fi,fi->f", np.cross(b - a, c - a), a) < 0
    return TriangleMesh(radius * points, np.where(inward[:, None], faces[:, ::-1], faces))


def cylinder(radius: float, length: float, facets: int = 256) -> TriangleMesh:
    """Tube along y without lids, centred at the origin."""
    angle = np.linspace(0, 2 * np.pi, facets + 1)
    x, z = radius * np.cos(angle), radius * np.sin(angle)
    return surface(np.stack([np.column_stack([x, np.full(facets + 1, y), z]) for y in (-length / 2, length / 2)]))


def box(low: tuple, high: tuple) -> TriangleMesh:
    """Box between two corners, without a bottom."""
    size = np.subtract(high, low)
    a, b, c = (tuple(row) for row in np.diag(size))
    back = (-a[0], 0, 0), (0, -b[1], 0), (0, 0, -c[2])
    far = tuple(high)
    sides = [sheet(low, a, c), sheet(low, b, c), sheet(far, back[0], back[2]), sheet(far, back[1], back[2])]
    return merge([*sides, sheet((low[0], low[1], high[2]), a, b)], "box")


def move(mesh: TriangleMesh, offset) -> TriangleMesh:
    """The mesh moved by an offset of any three numbers, m."""
    return mesh.moved([float(x) for x in offset])


def turned(mesh: TriangleMesh, degrees: float) -> TriangleMesh:
    """The mesh turned about the vertical, anticlockwise seen from above."""
    return turned_about(mesh, np.array([0.0, 0.0, 1.0]), degrees)


def turned_about(mesh: TriangleMesh, axis: np.ndarray, degrees: float) -> TriangleMesh:
    """The mesh turned about an axis through the origin by the right-hand rule (Rodrigues' formula)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = math.radians(degrees)
    return mesh.transformed(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def symmetric_scene() -> TriangleMesh:
    """Boxes, a tube and two corner reflectors, with the plane y = 0 as plane of symmetry."""
    corner = move(square_trihedral(0.3), (0.2, 0.5, 0.1))
    twin = corner.transformed(np.diag([1.0, -1.0, 1.0]))
    tube = move(cylinder(0.15, 1.6, 192), (-0.3, 0, 0.9))
    return merge([box((-0.9, -0.4, 0), (-0.1, 0.4, 0.6)), tube, corner, twin], "symmetric")


def asymmetric_scene() -> TriangleMesh:
    """Boxes at odd angles, a tilted dihedral and a sphere, standing on the ground."""
    tilted = move(turned(turned_about(dihedral(0.3, 0.4), np.array([1.0, 0.3, 0.0]), 20), 64), (0.5, 0.4, 0.3))
    boxes = [box((-0.6, -0.5, 0.0), (-0.1, 0.3, 0.35)), turned(box((0.2, -0.5, 0.15), (0.7, -0.2, 0.55)), 23)]
    return merge([*boxes, tilted, move(sphere(0.18, 4), (-0.3, -0.1, 0.6))], "asymmetric")


# --- traces


def wavelength(frequency_hz: float) -> float:
    """Wavelength, m."""
    return SPEED_OF_LIGHT_M_S / frequency_hz


def trace(
    mesh: TriangleMesh,
    azimuth: float,
    depression: float,
    frequency_hz: float = KU,
    per_wavelength: float = 4,
    ground: GroundOptions = NO_GROUND,
    threads: int = 1,
    **options,
) -> Hits:
    """Hits of one pose, with rays that lie a wavelength over ``per_wavelength`` apart."""
    lam = wavelength(frequency_hz)
    options = {"spacing_m": lam / per_wavelength, **options}
    request = TraceRequest(look_along(float(azimuth), float(depression)), lam, TraceOptions(ground=ground, **options))
    return ENGINES.get("fused")(Scene(mesh)).trace(request, threads)


def cross_sections(mesh: TriangleMesh, azimuth: float, depression: float, **options) -> dict[str, float]:
    """Radar cross-sections, dBsm, per polarisation."""
    total = trace(mesh, azimuth, depression, **options).total()
    return {name: db(abs(total[column]) ** 2) for name, column in POLARISATION_COLUMN.items()}


# --- images


def square_radar(pixels: int = 96, pixel_m: float = 0.12, resolution_m: float = 0.15, **more) -> RadarOptions:
    """Square chip of the Ku-band preset with the same pixel and resolution along both axes."""
    aperture = 2 * math.degrees(math.asin(wavelength(KU) / 4 / resolution_m))
    values = {
        "rows": pixels,
        "columns": pixels,
        "pixel_range_m": pixel_m,
        "pixel_cross_range_m": pixel_m,
        "bandwidth_hz": SPEED_OF_LIGHT_M_S / 2 / resolution_m,
        "azimuth_aperture_deg": aperture,
        **more,
    }
    return load_radar("uav-ku", [f"{key}={value!r}" for key, value in values.items()])


def image_of(hits: Hits, radar: RadarOptions, polarisation: str = "VV") -> np.ndarray:
    """Complex image, (row, column)."""
    return focuser(radar).image(hits, [POLARISATION_COLUMN[polarisation]])[0]


def upsampled(image: np.ndarray, factor: int = UPSAMPLING) -> np.ndarray:
    """The band-limited image on a grid ``factor`` times finer; sample (i, j) stays at (i factor, j factor)."""
    spectrum = np.asarray(image, dtype=np.complex128)
    for axis in (0, 1):
        n = spectrum.shape[axis]
        moved = np.moveaxis(scipy.fft.fft(spectrum, axis=axis), axis, 0)
        wide = np.zeros((n * factor, moved.shape[1]), dtype=np.complex128)
        wide[: (n + 1) // 2], wide[-(n // 2) :] = moved[: (n + 1) // 2], moved[-(n // 2) :]
        spectrum = np.moveaxis(scipy.fft.ifft(wide, axis=0) * factor, 0, axis)
    return spectrum


def peak_of(image: np.ndarray, radar: RadarOptions) -> tuple[float, float, float]:
    """Slant range and cross-range, m, and level, dBsm, of the highest point of the upsampled image."""
    magnitude = np.abs(upsampled(image))
    row, column = np.unravel_index(magnitude.argmax(), magnitude.shape)
    return (
        (float(column) / UPSAMPLING - radar.columns // 2) * radar.pixel_range_m,
        (float(row) / UPSAMPLING - radar.rows // 2) * radar.pixel_cross_range_m,
        2 * db(magnitude.max()),
    )


def parabolic_peak(samples: np.ndarray) -> tuple[float, float]:
    """Place, in samples, and height of the maximum of a parabola through the highest sample and its neighbours."""
    k = int(samples.argmax())
    before, here, after = (float(samples[k + step]) for step in (-1, 0, 1))
    shift = 0.5 * (before - after) / (before - 2 * here + after)
    return k + shift, here - 0.25 * (before - after) * shift
