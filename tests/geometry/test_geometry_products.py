"""What is made of the hits: cloud, features, maps, grey levels, details; and radars that are refused."""

import math

import numpy as np
import pytest
from shapes_for_tests import asymmetric_scene, box, check, image_of, move, plate, square_radar, trace

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.cloud import CloudOptions, point_cloud
from geodiff_sar.geometry.clutter import background
from geodiff_sar.geometry.descriptors import CHANNELS, encode_cloud
from geodiff_sar.geometry.details import DetailOptions, Details
from geodiff_sar.geometry.engines import Scene, TraceRequest
from geodiff_sar.geometry.grey import GreyOptions, background_gain, to_grey
from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits
from geodiff_sar.geometry.look import look_along, slant_and_cross_range
from geodiff_sar.geometry.maps import MAP_NAMES, body_position, dominant_centres, prior_maps
from geodiff_sar.geometry.options import GroundOptions, TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import PRESETS, load_radar, pixel_coordinates
from geodiff_sar.geometry.triangles import merge
from geodiff_sar.geometry.visibility import visibility

POLARISATIONS = list(POLARISATION_COLUMN)


@pytest.fixture(scope="module")
def hits() -> Hits:
    return trace(asymmetric_scene(), 35.0, 30.0, ground=GroundOptions())


@pytest.fixture(scope="module")
def shuffled(hits) -> Hits:
    return hits.selected(np.random.default_rng(0).permutation(len(hits)))


# --- cloud


def test_cloud_keeps_the_coherent_total_and_the_power(hits):
    cloud = point_cloud(hits, CloudOptions())
    scale = np.abs(hits.amplitude.astype(np.complex128)).sum(axis=0).max()
    np.testing.assert_allclose(cloud.amplitude.astype(np.complex128).sum(axis=0), hits.total(), atol=1e-6 * scale)
    power = (np.abs(hits.amplitude.astype(np.complex128)) ** 2).sum(axis=0)
    np.testing.assert_allclose(cloud.power.astype(float).sum(axis=0), power, rtol=1e-5)
    assert int(cloud.count.sum()) == len(hits)
    for order in np.unique(hits.order):
        ours, theirs = cloud.amplitude[cloud.order == order], hits.amplitude[hits.order == order]
        np.testing.assert_allclose(
            ours.astype(complex).sum(axis=0), theirs.astype(complex).sum(axis=0), atol=1e-6 * scale
        )


def test_cloud_points_lie_in_voxels_of_their_own(hits):
    options = CloudOptions(voxel_m=(0.2, 0.1, 0.3))
    cloud = point_cloud(hits, options)
    cells = np.floor(cloud.position.astype(float) / options.voxel_m)
    keys = np.column_stack([cells, cloud.order])
    doubles = len(keys) - len(np.unique(keys, axis=0))
    assert doubles <= 0.01 * len(keys)  # a mean within rounding of a voxel's face
    assert (cloud.flatness <= 1 + 1e-6).all()
    np.testing.assert_allclose(np.linalg.norm(cloud.normal, axis=1), 1.0, atol=1e-5)
    assert len(point_cloud(hits, CloudOptions(voxel_m=(100.0, 100.0, 100.0)))) <= 8 * len(np.unique(hits.order))


def test_cloud_does_not_depend_on_the_order_of_the_hits(hits, shuffled):
    one, two = point_cloud(hits, CloudOptions()), point_cloud(shuffled, CloudOptions())
    np.testing.assert_array_equal(one.order, two.order)
    np.testing.assert_array_equal(one.count, two.count)
    np.testing.assert_allclose(one.position, two.position, atol=1e-5)
    np.testing.assert_allclose(one.power, two.power, rtol=1e-5)
    np.testing.assert_allclose(one.amplitude, two.amplitude, atol=1e-5 * np.abs(one.amplitude).max())
    np.testing.assert_allclose(one.normal, two.normal, atol=1e-5)


def test_one_hit_makes_one_point(hits):
    one = hits.selected(np.array([7]))
    cloud = point_cloud(one, CloudOptions())
    np.testing.assert_allclose(cloud.position, one.position, rtol=1e-6)
    np.testing.assert_array_equal(cloud.amplitude, one.amplitude)
    np.testing.assert_allclose(cloud.flatness, 1.0, rtol=1e-5)
    features, rows = encode_cloud(cloud, "VV", CloudOptions())
    assert features.shape == (1, 64)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(rows, [0])


# --- features


FINE = {"voxel_m": (0.05, 0.05, 0.05)}


def test_features_have_64_finite_documented_channels(hits):
    assert len(CHANNELS) == 64
    assert len(set(CHANNELS)) == 64
    cloud = point_cloud(hits.reciprocal(), CloudOptions(**FINE))
    for name in POLARISATIONS:
        features, rows = encode_cloud(cloud, name, CloudOptions())
        assert features.shape == (256, 64)
        assert np.isfinite(features).all()
        assert np.abs(features).max() <= 3
        assert len(np.unique(rows)) == len(rows)
        order = features[:, CHANNELS.index("bounce order 1") :][:, :5]
        np.testing.assert_array_equal(order.sum(axis=1), 1)
        np.testing.assert_array_equal(np.argmax(order, axis=1) + 1, np.minimum(cloud.order[rows], 5))


def test_channels_hold_what_their_names_say(hits):
    cloud = point_cloud(hits, CloudOptions())
    features, rows = encode_cloud(cloud, "HH", CloudOptions())

    def channel(name: str) -> np.ndarray:
        return features[:, CHANNELS.index(name)].astype(float)

    position, amplitude = cloud.position[rows].astype(float), cloud.amplitude[rows, 0].astype(complex)
    np.testing.assert_allclose(channel("slant range / 8 m"), position[:, 0] / 8, atol=1e-6)
    np.testing.assert_allclose(channel("height / 8 m"), position[:, 2] / 8, atol=1e-6)
    np.testing.assert_allclose(
        channel("sine of pi 2^2 cross-range / 8 m"), np.sin(np.pi * 4 * position[:, 1] / 8), atol=1e-5
    )
    np.testing.assert_allclose(channel("cosine of the phase"), np.cos(np.angle(amplitude)), atol=1e-5)
    np.testing.assert_allclose(channel("normal z (up)"), cloud.normal[rows, 2], atol=1e-6)
    np.testing.assert_allclose(channel("flatness"), cloud.flatness[rows], atol=1e-6)
    np.testing.assert_allclose(
        channel("absolute level, dBsm / 40"), np.clip(20 * np.log10(np.abs(amplitude)) / 40, -3, 3), atol=1e-5
    )
    assert channel("coherent level, dB under the strongest point / 30 + 1").max() == pytest.approx(1.0)


def test_features_are_the_same_bits_twice_and_do_not_depend_on_the_order_of_the_hits(hits, shuffled):
    cloud = point_cloud(hits, CloudOptions())
    one, rows = encode_cloud(cloud, "VV", CloudOptions())
    again, rows_again = encode_cloud(point_cloud(hits, CloudOptions()), "VV", CloudOptions())
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(rows, rows_again)
    other, other_rows = encode_cloud(point_cloud(shuffled, CloudOptions()), "VV", CloudOptions())
    np.testing.assert_array_equal(rows, other_rows)
    np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("points", [1, 32, 300])
def test_number_of_points_is_respected_and_holds_the_strongest(hits, points):
    cloud = point_cloud(hits, CloudOptions(**FINE))
    for name in ("HH", "VV"):
        features, rows = encode_cloud(cloud, name, CloudOptions(points=points))
        assert len(features) == len(rows) == points
        strongest = int(np.abs(cloud.amplitude[:, POLARISATION_COLUMN[name]]).argmax())
        assert strongest in rows


def test_weak_points_are_left_out(hits):
    cloud = point_cloud(hits, CloudOptions())
    options = CloudOptions(points=100_000, range_db=20.0)
    _, rows = encode_cloud(cloud, "HH", options)
    level = np.abs(cloud.amplitude[:, 0])
    np.testing.assert_array_equal(rows, np.flatnonzero(level > 0.1 * level.max()))


# --- maps


@pytest.fixture(scope="module")
def box_maps() -> tuple[np.ndarray, np.ndarray]:
    """Maps and image of a box of height 1.5 m on the ground, radar in front of it at 35 degrees."""
    mesh, radar = box((-0.5, -1.0, 0.0), (0.5, 1.0, 1.5)), square_radar(97, 0.1)
    hits = trace(mesh, 0.0, 35.0, ground=GroundOptions())
    seen = visibility(mesh.vertices, mesh.faces, look_along(0.0, 35.0), radar)
    image = image_of(hits, radar)
    return prior_maps(hits, image, seen, look_along(0.0, 35.0), radar, "VV"), image


def test_maps_are_shares_and_have_names(box_maps):
    maps, _ = box_maps
    first = ("illumination", "shadow", "energy_1", "energy_2", "energy_3", "height", "centres", "body_x", "body_y")
    assert first == MAP_NAMES
    assert maps.shape == (len(MAP_NAMES), 97, 97)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    for name, plane in zip(MAP_NAMES, maps, strict=True):
        assert plane.max() > 0.1 or name == "energy_3", name


def test_maps_of_a_box_lie_where_they_must(box_maps):
    """Box of depth 1 m: hidden ground reaches h cos cot beyond its back; its top lies h sin before its foot."""
    maps, image = box_maps
    plane = dict(zip(MAP_NAMES, maps, strict=True))
    cross, slant = pixel_coordinates(square_radar(97, 0.1))
    angle = math.radians(35.0)
    sine, cosine = math.sin(angle), math.cos(angle)
    middle = len(cross) // 2
    hidden = slant[plane["shadow"][middle] > 0.5]
    front = -0.5 * cosine
    end = max(0.5 * cosine + 1.5 * cosine**2 / sine, 0)
    check("shadow map of a box, end, slant", float(hidden.max()) + 0.05, end, 0.1, "m")
    check("shadow map of a box, begin, slant", float(hidden.min()) - 0.05, front, 0.1, "m")
    rows = cross[(plane["shadow"] > 0.5).any(axis=1)]
    check("shadow map of a box, width", float(np.ptp(rows)) + 0.1, 2.0, 0.1, "m")
    check("height map of a box, greatest", float(plane["height"].max()) * 10.0, 1.5, 0.01, "m")
    lit = slant[plane["illumination"][middle] > 0]
    check("illumination of a box, near edge (top of the front)", float(lit.min()) - 0.05, front - 1.5 * sine, 0.1, "m")
    far = max(front, 0.5 * cosine - 1.5 * sine)
    check("illumination of a box, far edge", float(lit.max()) + 0.05, far, 0.1, "m")
    double = np.unravel_index(plane["energy_2"].argmax(), image.shape)
    check("energy of two bounces, foot of the front", float(slant[double[1]]), front, 0.1, "m")
    assert plane["energy_1"].max() > 0


@pytest.mark.parametrize("azimuth", [0.0, 35.0, 90.0, 200.0, 310.0])
def test_body_positions_lie_on_the_lit_faces(azimuth):
    """On the box's top or on a side that faces the radar, to a pixel; and each is imaged where its pixel is."""
    mesh, radar, look = box((-0.6, -0.9, 0.0), (1.2, 0.9, 1.5)), square_radar(97, 0.1), look_along(azimuth, 35.0)
    seen = visibility(mesh.vertices, mesh.faces, look, radar)
    x, y = (plane * 20.0 - 10.0 for plane in body_position(seen, look, radar))
    lit = seen.illumination > 0
    assert lit.sum() > 200
    assert np.all(x[~lit] == -10.0)
    x, y, h = x[lit], y[lit], seen.height[lit]
    toward = look.toward
    distance = [np.abs(h - 1.5), np.abs(x - (1.2 if toward[0] > 0 else -0.6)), np.abs(y - np.copysign(0.9, toward[1]))]
    faces = np.min([d for d, facing in zip(distance, np.abs(toward[[2, 0, 1]]) > 0.01, strict=True) if facing], axis=0)
    assert np.quantile(faces, 0.98) < 0.12
    assert x.min() > -0.75
    assert x.max() < 1.35
    assert np.abs(y).max() < 1.05
    cross, slant = pixel_coordinates(radar)
    rows, columns = np.nonzero(lit)
    found = slant_and_cross_range(np.column_stack([x, y, h]).astype(float), look)
    np.testing.assert_allclose(found[0], slant[columns], atol=1e-3)
    np.testing.assert_allclose(found[1], cross[rows], atol=1e-3)


def test_centres_mark_the_brightest_pixel_with_one(box_maps):
    maps, image = box_maps
    centres = maps[MAP_NAMES.index("centres")]
    brightest = np.unravel_index(np.abs(image).argmax(), image.shape)
    assert centres[brightest] == 1.0
    assert (centres == 1.0).sum() == 1
    marked = np.argwhere(centres > 0)
    magnitude = np.abs(image)
    for row, column in marked[:50]:
        around = magnitude[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        assert magnitude[row, column] == around.max()
        level = 1 + 20 * math.log10(magnitude[row, column] / magnitude.max()) / 30
        assert centres[row, column] == pytest.approx(level, abs=1e-5)
    assert not dominant_centres(np.zeros((9, 9), dtype=np.complex64)).any()


# --- grey levels


@pytest.mark.parametrize("mode", ["linear", "root", "db"])
def test_remaps_are_monotone_and_reproduced_by_their_record(mode):
    amplitude = np.geomspace(1e-7, 100, 4000).reshape(40, 100)
    gain = 12.0
    grey, record = to_grey(amplitude, gain, GreyOptions(mode=mode, range_db=50.0))
    assert (np.diff(grey.ravel().astype(int)) >= 0).all()
    assert grey.min() == 0
    assert grey.max() == 255
    assert record["mode"] == mode
    level = record["gain"] * amplitude
    if mode == "root":
        level = np.sqrt(255 * level)
    elif mode == "db":
        level = 255 * (1 + 20 * np.log10(level / 255) / record["range_db"])
    again = np.clip(np.rint(level), 0, 255)
    assert np.abs(again - grey).max() <= 1
    assert (again != grey).mean() < 0.002  # single against double precision at a rounding edge
    at_white = to_grey(np.full((1, 1), 255 / gain), gain, GreyOptions(mode=mode))[0]
    assert at_white[0, 0] == 255


@pytest.mark.parametrize("preset", list(PRESETS))
@pytest.mark.parametrize("polarisation", ["HH", "HV"])
def test_gain_puts_the_median_background_at_its_grey_level(preset, polarisation):
    radar = load_radar(preset, ["rows=512", "columns=512"])
    cosine = math.cos(math.radians(35))
    lit = np.ones((512, 512), dtype=np.float32)
    medians = [
        float(np.median(np.abs(background(radar, lit, cosine, [polarisation], np.random.default_rng(seed)))))
        for seed in range(3)
    ]
    grey = float(np.mean(medians)) * background_gain(radar, cosine, polarisation)
    check(
        f"median background, {preset}, {polarisation}, grey",
        grey,
        radar.background_grey,
        0.05 * radar.background_grey,
        "DN",
    )


# --- details


def request(azimuth: float, depression: float = 30.0, ground: bool = True) -> TraceRequest:
    return TraceRequest(look_along(azimuth, depression), 0.02, TraceOptions(ground=GroundOptions(enabled=ground)))


def test_details_are_the_same_at_all_poses():
    scene, options = Scene(asymmetric_scene()), DetailOptions(per_m2=30.0, seed=5, lobe=0.0)
    one, two, other = (
        Details(scene, options),
        Details(scene, options),
        Details(scene, DetailOptions(per_m2=30.0, seed=6)),
    )
    np.testing.assert_array_equal(one.position, two.position)
    np.testing.assert_array_equal(one.matrix, two.matrix)
    assert (one.position != other.position).any()
    np.testing.assert_array_equal(one.matrix[:, 1], one.matrix[:, 2])  # reciprocal
    seen = {}
    for azimuth in (0.0, 10.0, 95.0):
        hits = one.hits(request(azimuth))
        look = look_along(azimuth, 30.0)
        for position, amplitude in zip(hits.position, hits.amplitude, strict=True):
            # body frame from slant range, cross-range and height: u is known, so the point is
            horizontal = (-position[0] - position[2] * look.toward[2]) / look.cos_depression
            ahead = look.toward[:2] / look.cos_depression
            place = tuple(np.round([*(horizontal * ahead + position[1] * look.across[:2]), position[2]], 3))
            seen.setdefault(place, []).append(np.abs(amplitude))
    matched = [values for values in seen.values() if len(values) > 1]
    assert len(matched) > 20
    for values in matched:
        np.testing.assert_allclose(values[0], values[-1], rtol=1e-4)  # no lobe: the same strength from everywhere


def test_details_lie_on_the_surface_with_the_stated_density():
    mesh = box((-1.0, -1.0, 0.0), (1.0, 1.0, 1.0))
    details = Details(Scene(mesh), DetailOptions(per_m2=100.0))
    assert len(details.position) == round(100 * float(mesh.face_areas.sum()))
    x, y, z = np.abs(details.position).T
    on_face = np.isclose(x, 1) | np.isclose(y, 1) | np.isclose(z, 1)
    assert on_face.all()
    level = 10 * np.log10(np.abs(details.matrix[:, 0]) ** 2)
    check("details, median level", float(np.median(level)), -22.0, 1.0)
    check("details, spread of the levels", float(level.std()), 7.0, 0.7)


def test_hidden_details_do_not_appear():
    screen = plate(4.0, 4.0)
    behind = move(box((-0.3, -0.3, -0.3), (0.3, 0.3, 0.3)), (-2.0, 0.0, 0.0))
    both = Details(Scene(merge([screen, behind], "both")), DetailOptions(per_m2=60.0))
    hits = both.hits(request(0.0, 0.0, ground=False))
    assert len(hits) > 0
    assert (np.abs(hits.position[:, 0]) < 1e-3).all()  # on the screen alone
    from_behind = both.hits(request(180.0, 0.0, ground=False))
    assert (from_behind.position[:, 0] < -1.0).any()  # the box is seen from there


def test_details_below_the_ground_do_not_appear():
    sunk = box((-0.5, -0.5, -1.0), (0.5, 0.5, 0.5))
    details = Details(Scene(sunk), DetailOptions(per_m2=200.0))
    assert (details.position[:, 2] < 0).any()
    assert (details.hits(request(20.0)).position[:, 2] > 0).all()
    assert (details.hits(request(20.0, ground=False)).position[:, 2] < 0).any()


# --- all of it


def test_products_are_the_same_bits_twice():
    tracer = PriorTracer(asymmetric_scene(), square_radar(64), PriorOptions(trace=TraceOptions(rays=50_000)))
    pose = Pose(35.0, 30.0)
    one, two = (tracer.products(pose, ["HH", "HV"], seed=3, threads=threads) for threads in (1, 2))
    for name in ("HH", "HV"):
        np.testing.assert_array_equal(one.chips[name].image, two.chips[name].image)
        np.testing.assert_array_equal(one.chips[name].grey, two.chips[name].grey)
        np.testing.assert_array_equal(one.chips[name].prior.features, two.chips[name].prior.features)
    assert 0 <= one.outside < 0.01


# --- radars that are refused


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["pixel_range_m=0.5"], ("radar.pixel_range_m", "0.5 m", "at most one resolution cell", "raise the bandwidth")),
        (
            ["pixel_cross_range_m=0.3"],
            ("radar.pixel_cross_range_m", "0.3 m", "at most one resolution cell", "widen the aperture"),
        ),
        (["bandwidth_hz=0"], ("bandwidth_hz", "= 0", "greater than 0")),
        (["bandwidth_hz=-1e9"], ("bandwidth_hz", "greater than 0")),
        (
            ["bandwidth_hz=2e10", "pixel_range_m=0.005"],
            ("radar.bandwidth_hz", "2e+10 Hz", "at most the carrier frequency"),
        ),
        (["bandwith_hz=1e9"], ("unknown key 'bandwith_hz'", "did you mean 'bandwidth_hz'")),
        (["pixel_range_m=0.001"], ("radar.pixel_range_m", "0.001 m", "at most 40 pixels")),
        (["rows=8192", "columns=8192"], ("radar.rows, radar.columns", "8192 x 8192", "at most 16777216 pixels")),
        (["azimuth_aperture_deg=90"], ("azimuth_aperture_deg", "90", "30")),
        (["rows=4"], ("rows", "4", "8")),
        (["sigma0_db=nan"], ("sigma0_db", "finite")),
        (["texture_shape=0.1"], ("texture_shape", "0.1", "0.2")),
    ],
)
def test_wrong_radars_are_refused_by_field_value_and_rule(overrides, parts):
    with pytest.raises(OptionError) as caught:
        load_radar("uav-ku", overrides)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_presets_are_refused_with_the_known_ones():
    with pytest.raises(OptionError, match="uav-ku, mstar-x"):
        load_radar("uav-x")


def test_presets_pass_their_own_checks():
    for name in PRESETS:
        params = load_radar(name).params()
        assert params.range_resolution_m > 0
