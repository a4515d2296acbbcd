"""Building blocks: volumes, orientation, places, facet density."""

import numpy as np
import pytest

from geodiff_sar.geometry.targets import shapes
from geodiff_sar.geometry.targets.airframes_low_wing import AIRFRAMES
from geodiff_sar.geometry.targets.basics import BODY_FRACTION, FACET_FRACTION, segments_around
from geodiff_sar.geometry.targets.lifting import SECTION_POINTS, TAIL_POINTS, WING_CAMBER
from geodiff_sar.geometry.triangles import TriangleMesh

WAVELENGTH_M = 0.02


def edges_pair_up(mesh: TriangleMesh) -> bool:
    """Every directed edge has its opposite: closed and consistently oriented."""
    places = np.unique(np.round(mesh.vertices, 9), axis=0, return_inverse=True)[1].ravel()
    faces = places[mesh.faces]
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    there = {tuple(edge) for edge in edges.tolist()}
    return len(there) == len(edges) and all((b, a) in there for a, b in there)


def test_box_has_exact_volume_and_corners():
    mesh = shapes.box((-1.0, 2.0, 0.5), (1.0, 5.0, 1.0))
    assert shapes.signed_volume(mesh) == pytest.approx(2 * 3 * 0.5, abs=1e-12)
    np.testing.assert_allclose(mesh.bounds, [(-1.0, 2.0, 0.5), (1.0, 5.0, 1.0)])
    assert edges_pair_up(mesh)


def test_box_accepts_corners_in_any_order():
    assert shapes.signed_volume(shapes.box((1.0, 1.0, 1.0), (0.0, 0.0, 0.0))) == pytest.approx(1.0)


@pytest.mark.parametrize("radius", [0.1, 0.5, 1.2])
def test_cylinder_volume_within_facet_error(radius: float):
    mesh = shapes.cylinder(radius, 2.0, (3.0, -1.0, 0.5))
    exact = np.pi * radius**2 * 2.0
    assert 0.99 * exact < shapes.signed_volume(mesh) < exact
    assert mesh.bounds[0][2] == pytest.approx(0.5)
    assert mesh.bounds[1][2] == pytest.approx(2.5)
    assert edges_pair_up(mesh)


@pytest.mark.parametrize("radius", [0.1, 0.5])
def test_sphere_volume_within_facet_error(radius: float):
    mesh = shapes.sphere(radius, (1.0, 2.0, 3.0))
    exact = 4 / 3 * np.pi * radius**3
    assert 0.985 * exact < shapes.signed_volume(mesh.moved((-1.0, -2.0, -3.0))) < exact
    np.testing.assert_allclose(np.linalg.norm(mesh.vertices - [1.0, 2.0, 3.0], axis=1), radius, rtol=1e-12)
    assert edges_pair_up(mesh)


@pytest.mark.parametrize("end", [(0.0, 0.0, 2.0), (2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (1.0, -1.0, 1.4), (-1.0, 1.9, 0.1)])
def test_tube_points_outwards_in_every_direction(end: tuple[float, float, float]):
    mesh = shapes.tube((0.0, 0.0, 0.0), end, 0.2, 0.1)
    length = np.linalg.norm(end)
    exact = np.pi * length / 3 * (0.2**2 + 0.2 * 0.1 + 0.1**2)
    assert shapes.signed_volume(mesh) == pytest.approx(exact, rel=0.01)
    assert edges_pair_up(mesh)


def test_prism_volume_is_area_times_length():
    triangle = np.array([(0.0, 0.0), (2.0, 0.0), (0.0, 1.0)])
    for outline in (triangle, triangle[::-1]):
        mesh = shapes.prism(outline, -0.5, 1.0)
        assert shapes.signed_volume(mesh) == pytest.approx(1.0 * 1.5)
        assert edges_pair_up(mesh)


def test_superellipse_body_of_exponent_two_is_an_elliptic_cylinder():
    mesh = shapes.superellipse_body([1.0, -1.0], [2.0, 2.0], [1.0, 1.0], [3.0, 3.0], 2.0, 128)
    assert shapes.signed_volume(mesh) == pytest.approx(np.pi * 1.0 * 0.5 * 2.0, rel=2e-3)
    assert mesh.bounds[1][2] == pytest.approx(3.5, abs=1e-12)
    assert edges_pair_up(mesh)


def test_wing_panel_is_closed_and_has_the_section_area():
    sections = [shapes.WingSection((0.0, y, 0.0), 1.0, 0.12) for y in (0.0, 3.0)]
    mesh = shapes.wing_panel(sections)
    assert shapes.signed_volume(mesh) == pytest.approx(0.0822 * 3.0, rel=0.01)  # area 0.685 t c^2 of the series
    assert mesh.bounds[1][0] == pytest.approx(0.0, abs=3e-3)
    assert mesh.bounds[0][0] == pytest.approx(-1.0)
    assert edges_pair_up(mesh)


def test_scoop_is_a_closed_body_with_a_cavity_open_to_the_front():
    mesh = shapes.scoop((0.0, 0.0, 0.0), 0.4, 0.3, 1.0, 0.5)
    assert edges_pair_up(mesh)
    assert shapes.signed_volume(mesh) > 0
    centres, normals = mesh.corners.mean(axis=1), mesh.face_normals
    floor = (centres[:, 0] < -0.45) & (centres[:, 0] > -0.55) & (normals[:, 0] > 0.99)
    assert floor.any()
    assert np.abs(centres[floor, 1]).max() < 0.2


@pytest.mark.parametrize(
    ("mesh", "area", "opening"),
    [
        (shapes.dihedral(2.0, 0.5), 2.0, (1.0, 0.0, 1.0)),
        (shapes.square_trihedral(0.6), 3 * 0.36, (1.0, 1.0, 1.0)),
        (shapes.triangular_trihedral(0.6), 1.5 * 0.36, (1.0, 1.0, 1.0)),
    ],
)
def test_reflectors_face_their_opening(mesh: TriangleMesh, area: float, opening: tuple[float, float, float]):
    assert mesh.face_areas.sum() == pytest.approx(area)
    assert (mesh.face_normals @ np.array(opening) > 0.5).all()
    assert mesh.bounds[0].min() >= -1.0 - 1e-12


def test_plate_normal_follows_the_right_hand_rule():
    mesh = shapes.plate(np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], dtype=np.float64))
    np.testing.assert_allclose(mesh.face_normals, [(0, 0, 1), (0, 0, 1)])


def facet_excess(outline: np.ndarray, fraction: float) -> float:
    """Longest facet of a closed outline over the length that the local radius of curvature allows."""
    steps = np.diff(np.concatenate([outline, outline[:1]]), axis=0)
    length = np.linalg.norm(steps, axis=1)
    heading = np.arctan2(steps[:, 1], steps[:, 0])
    turn = np.abs((heading - np.roll(heading, 1) + np.pi) % (2 * np.pi) - np.pi)
    mean_turn = 0.5 * (turn + np.roll(turn, -1))
    trailing_edge = turn > 1.0
    radius = length / np.maximum(mean_turn, 1e-9)
    allowed = fraction * np.sqrt(WAVELENGTH_M * radius / 2)
    sharp = trailing_edge | np.roll(trailing_edge, -1)
    return float((length / allowed)[~sharp].max())


@pytest.mark.parametrize("name", list(AIRFRAMES))
def test_leading_edges_are_faceted_finely_enough(name: str):
    for station in AIRFRAMES[name].wing:
        outline = station.chord_m * shapes.naca_section(station.thickness, WING_CAMBER, points=SECTION_POINTS)
        assert facet_excess(outline, FACET_FRACTION) <= 1.02
    for station in AIRFRAMES[name].tailplane:
        outline = station.chord_m * shapes.naca_section(station.thickness, 0.0, points=TAIL_POINTS)
        assert facet_excess(outline, FACET_FRACTION) <= 1.02


def test_many_boxes_are_boxes():
    centres = np.array([(0.0, 0.0, 0.0), (5.0, 1.0, 2.0)])
    mesh = shapes.boxes(centres, (1.0, 2.0, 0.5))
    assert shapes.signed_volume(mesh) == pytest.approx(2.0)
    np.testing.assert_allclose(mesh.bounds, [(-0.5, -1.0, -0.25), (5.5, 2.0, 2.25)])


@pytest.mark.parametrize("exponent", [2.0, 2.6, 3.4])
def test_bodies_are_faceted_finely_enough(exponent: float):
    radius = 0.85
    outline = radius * shapes.superellipse(exponent, segments_around(radius, fraction=BODY_FRACTION))
    assert facet_excess(outline, BODY_FRACTION) < 1.05


def test_circles_follow_the_facet_rule():
    for radius in (0.02, 0.3, 2.0):
        length = 2 * radius * np.sin(np.pi / segments_around(radius))
        assert length <= shapes.facet_length_m(radius)
