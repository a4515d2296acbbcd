"""The four aircraft: dimensions, symmetry, place, names of parts, time."""

import time

import numpy as np
import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets.aircraft import ONE_SIDED_PARTS, build_aircraft
from geodiff_sar.geometry.targets.airframes_low_wing import AIRFRAMES
from geodiff_sar.geometry.triangles import TriangleMesh

NAMES = list(AIRFRAMES)
DIMENSIONS_M = {  # length, span, height: docs/targets.md
    "Cessna 208": (11.46, 15.88, 4.32),
    "King Air 350i": (14.22, 17.65, 4.37),
    "Kodiak 100": (10.41, 13.72, 4.65),
    "Pilatus PC 12": (14.40, 16.28, 4.26),
}


@pytest.fixture(scope="module")
def aircraft() -> dict[str, TriangleMesh]:
    return {name: build_aircraft(name) for name in NAMES}


def of_part(mesh: TriangleMesh, part: str) -> TriangleMesh:
    return mesh.with_faces(mesh.part_of_face == mesh.parts.index(part))


def sorted_triangles(corners: np.ndarray) -> np.ndarray:
    """Triangles as rows of nine numbers in one order: corners sorted within a triangle, then the triangles."""
    grid = np.round(corners / 1e-9).astype(np.int64)
    order = np.lexsort((grid[:, :, 2], grid[:, :, 1], grid[:, :, 0]), axis=1)
    rows = np.take_along_axis(grid, order[:, :, None], axis=1).reshape(len(grid), 9)
    return rows[np.lexsort(rows.T[::-1])]


def test_the_table_is_the_published_one():
    assert list(DIMENSIONS_M) == NAMES
    for name, frame in AIRFRAMES.items():
        assert (frame.length_m, frame.span_m, frame.height_m) == DIMENSIONS_M[name]


@pytest.mark.parametrize("name", NAMES)
def test_length_span_and_height_are_the_table(aircraft: dict[str, TriangleMesh], name: str):
    low, high = aircraft[name].bounds
    np.testing.assert_allclose(high - low, DIMENSIONS_M[name], atol=1e-3)
    np.testing.assert_allclose(low[:2], -high[:2], atol=1e-9)
    assert low[2] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_wing_reaches_the_span_and_the_wheels_the_ground(aircraft: dict[str, TriangleMesh], name: str):
    mesh = aircraft[name]
    wing_parts = [part for part in ("wing", "winglet") if part in mesh.parts]
    reach = max(of_part(mesh, part).bounds[1][1] for part in wing_parts)
    assert 2 * reach == pytest.approx(DIMENSIONS_M[name][1], abs=1e-3)
    assert of_part(mesh, "wheel").bounds[0][2] == pytest.approx(0.0, abs=1e-9)
    assert of_part(mesh, "propeller").bounds[0][2] > 0.15


@pytest.mark.parametrize("name", NAMES)
def test_nose_points_forward(aircraft: dict[str, TriangleMesh], name: str):
    mesh = aircraft[name]
    assert of_part(mesh, "spinner").bounds[1][0] > of_part(mesh, "wing").bounds[1][0]
    assert of_part(mesh, "tailplane").bounds[0][0] < of_part(mesh, "wing").bounds[0][0] - 2


@pytest.mark.parametrize("name", NAMES)
def test_the_mirror_image_is_the_same_aircraft(aircraft: dict[str, TriangleMesh], name: str):
    mesh = aircraft[name]
    two_sided = [k for k, part in enumerate(mesh.parts) if part not in ONE_SIDED_PARTS]
    corners = mesh.with_faces(np.isin(mesh.part_of_face, two_sided)).corners
    np.testing.assert_array_equal(sorted_triangles(corners), sorted_triangles(corners * [1.0, -1.0, 1.0]))


@pytest.mark.parametrize("name", NAMES)
def test_the_leading_edge_is_one_straight_line_in_a_nose_on_chip(aircraft: dict[str, TriangleMesh], name: str):
    """Slant range of the leading edge at 35 degrees: within 0.30 m (2 pixels) over most of the half span."""
    depression = np.radians(35.0)
    wing = of_part(aircraft[name], "wing")
    towards_radar = wing.vertices @ [np.cos(depression), 0.0, np.sin(depression)]
    places = np.linspace(0.45, 0.85, 9) * DIMENSIONS_M[name][1] / 2
    ranges = [greatest_on_cut(wing, towards_radar, y) for y in places]
    assert max(ranges) - min(ranges) < 0.30


def greatest_on_cut(mesh: TriangleMesh, value: np.ndarray, y: float) -> float:
    """Greatest value on the cut of a mesh with the plane at y, linear along the edges."""
    best = -np.inf
    for first, second in ((0, 1), (1, 2), (2, 0)):
        a, b = mesh.faces[:, first], mesh.faces[:, second]
        ya, yb = mesh.vertices[a, 1], mesh.vertices[b, 1]
        crosses = (ya - y) * (yb - y) < 0
        share = (y - ya[crosses]) / (yb[crosses] - ya[crosses])
        at_cut = value[a[crosses]] * (1 - share) + value[b[crosses]] * share
        best = max(best, float(at_cut.max(initial=-np.inf)))
    return best


@pytest.mark.parametrize("name", NAMES)
def test_no_face_is_degenerate(aircraft: dict[str, TriangleMesh], name: str):
    mesh = aircraft[name]
    assert np.isfinite(mesh.vertices).all()
    assert mesh.face_areas.min() > 1e-10
    assert 15_000 < len(mesh.faces) < 40_000
    assert mesh.name == name


@pytest.mark.parametrize("name", NAMES)
def test_expected_parts_are_named(aircraft: dict[str, TriangleMesh], name: str):
    frame, parts = AIRFRAMES[name], set(aircraft[name].parts)
    expected = {"fuselage", "wing", "tailplane", "fin", "propeller", "spinner", "gear", "wheel", "inlet", "exhaust"}
    expected |= {"cockpit", "window", "door", "antenna", "flap"}
    expected |= {"winglet", "gear door", "wheel well"} if frame.winglet else set()
    expected |= {"strut"} if frame.strut else set()
    expected |= {"engine"} if frame.twin else set()
    assert expected <= parts


@pytest.mark.parametrize("name", NAMES)
def test_the_cockpit_can_be_seen_through_the_windscreen(aircraft: dict[str, TriangleMesh], name: str):
    """The windscreen is open: no fuselage face lies above the sill between its stations, but for the posts."""
    frame, mesh = AIRFRAMES[name], of_part(aircraft[name], "fuselage")
    centre, normal = mesh.corners.mean(axis=1), mesh.face_normals
    station = DIMENSIONS_M[name][0] / 2 - centre[:, 0]
    inside = (station > frame.windscreen[0]) & (station < frame.windscreen[1]) & (normal[:, 0] > 0.12)
    inside &= (centre[:, 2] > frame.sill_m) & (np.abs(centre[:, 1]) > 0.05)
    roof = mesh.bounds[1][2] - 0.18
    assert not (inside & (centre[:, 2] < roof - 0.01)).any()


def test_builds_are_quick_and_repeatable():
    for name in NAMES:
        start = time.perf_counter()
        mesh = build_aircraft(name)
        assert time.perf_counter() - start < 0.5
        assert mesh.content_hash == build_aircraft(name).content_hash


def test_unknown_aircraft_is_an_error():
    with pytest.raises(OptionError, match="Cessna 208"):
        build_aircraft("Concorde")
