"""The scene: shadow, layover, clutter and noise statistics, and the symmetries that the engine has to keep."""

import math

import numpy as np
import pytest
from shapes_for_tests import (
    KU,
    asymmetric_scene,
    box,
    check,
    check_below,
    image_of,
    plate,
    square_radar,
    symmetric_scene,
    trace,
    turned,
    wall,
    wavelength,
)

from geodiff_sar.geometry.clutter import background, cell_area_m2, gamma_texture
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.look import look_along
from geodiff_sar.geometry.options import GroundOptions, SurfaceOptions
from geodiff_sar.geometry.radar import RadarOptions, load_radar, pixel_coordinates
from geodiff_sar.geometry.visibility import visibility

DIELECTRIC = GroundOptions()


# --- shadow, layover, height: geometry


def see(mesh, azimuth: float, depression: float, radar: RadarOptions):
    """Visibility maps of a mesh on the ground."""
    return visibility(mesh.vertices, mesh.faces, look_along(azimuth, depression), radar)


def span(mask: np.ndarray, places: np.ndarray, pixel: float) -> tuple[float, float]:
    """First and last edge of the marked pixels of a line, m."""
    marked = places[mask]
    return float(marked.min()) - pixel / 2, float(marked.max()) + pixel / 2


@pytest.mark.parametrize("depression", [15.0, 30.0, 45.0, 60.0])
def test_shadow_of_a_wall(depression):
    """Behind a wall of height h the ground is hidden over h / tan(depression), times cos(depression) in slant range."""
    height, radar = 1.6, square_radar(192, 0.1)
    seen = see(wall(3.0, height, (0.5, 0.0, 0.0)), 0.0, depression, radar)
    cross, slant = pixel_coordinates(radar)
    angle, pixel = math.radians(depression), radar.pixel_range_m
    line = seen.lit[radar.rows // 2]
    foot = -0.5 * math.cos(angle)
    inside = line < 0.5
    near, far = span(inside, slant, pixel)
    assert inside[(slant > near) & (slant < far)].all()
    length = height * math.cos(angle) / math.tan(angle)
    check(f"shadow of a wall, {depression:g} deg, near edge, slant", near, foot, pixel, "m")
    check(f"shadow of a wall, {depression:g} deg, far edge, slant", far, foot + length, pixel, "m")
    ground = float((1 - line).sum()) * pixel / math.cos(angle)
    check(
        f"shadow of a wall, {depression:g} deg, length on the ground",
        ground,
        height / math.tan(angle),
        pixel / math.cos(angle),
        "m",
    )
    from_layover = far - (foot - height * math.sin(angle))
    check(f"wall, {depression:g} deg, top to end of shadow, slant", from_layover, height / math.sin(angle), pixel, "m")
    across = span(seen.lit[:, np.abs(slant - foot - length / 2).argmin()] < 0.5, cross, pixel)
    check(f"shadow of a wall, {depression:g} deg, width", across[1] - across[0], 3.0, pixel, "m")


@pytest.mark.parametrize("azimuth", [0.0, 90.0, 217.0])
def test_shadow_falls_away_from_the_radar(azimuth):
    radar = square_radar(128, 0.1)
    seen = see(box((-0.4, -0.4, 0.0), (0.4, 0.4, 1.0)), azimuth, 35.0, radar)
    _, slant = pixel_coordinates(radar)
    hidden = 1 - seen.lit
    centre = float((hidden.sum(axis=0) * slant).sum() / hidden.sum())
    assert centre > 0.3
    body = seen.illumination.sum(axis=0)
    assert float((body * slant).sum() / body.sum()) < 0.0


@pytest.mark.parametrize(("azimuth", "depression"), [(25.0, 30.0), (140.0, 50.0), (300.0, 20.0)])
def test_shadow_map_against_lines_of_sight(azimuth, depression):
    """A ground point is hidden exactly where the line to the radar meets the box (slab test); 5 x 5 points a pixel."""
    low, high, radar, fine = np.array([-0.5, -0.7, 0.0]), np.array([0.6, 0.4, 1.3]), square_radar(128, 0.08), 5
    look, mesh = look_along(azimuth, depression), box(tuple(low), tuple(high))
    shadow = 1.0 - visibility(mesh.vertices, mesh.faces, look, radar).lit
    steps = (np.arange(fine) - fine // 2) / fine * 0.08
    cross, slant = ((places[:, None] + steps).ravel() for places in pixel_coordinates(radar))
    away = -look.toward * np.array([1, 1, 0]) / look.cos_depression
    ground = cross[:, None, None] * look.across + (slant / look.cos_depression)[None, :, None] * away
    one, two = (low - ground) / look.toward, (high - ground) / look.toward
    enter, leave = np.minimum(one, two).max(axis=-1), np.maximum(one, two).min(axis=-1)
    hidden = (leave > np.maximum(enter, 0)).reshape(128, fine, 128, fine).mean(axis=(1, 3))
    name = f"shadow of a box, azimuth {azimuth:g}, depression {depression:g}"
    check(f"{name}, area over closed form", float(shadow.sum() / hidden.sum()), 1.0, 0.02, "")
    inner = (hidden == 1.0) | (hidden == 0.0)
    for axis in (0, 1):
        for step in (-1, 1):
            inner &= np.roll(hidden, step, axis=axis) == hidden
    np.testing.assert_array_equal(shadow[inner], hidden[inner])  # wrong within one pixel of the rim at most


@pytest.mark.parametrize("depression", [25.0, 45.0])
def test_layover_and_height_of_a_wall(depression):
    """The lit wall is imaged from its foot to h sin(depression) before it; the height map holds its heights."""
    height, radar = 2.0, square_radar(160, 0.1)
    seen = see(wall(3.0, height, (0.5, 0.0, 0.0)), 0.0, depression, radar)
    _, slant = pixel_coordinates(radar)
    angle, pixel = math.radians(depression), 0.1
    foot, top = -0.5 * math.cos(angle), -0.5 * math.cos(angle) - height * math.sin(angle)
    line = seen.illumination[radar.rows // 2] > 0
    near, far = span(line, slant, pixel)
    check(f"layover of a wall, {depression:g} deg, top", near, top, pixel, "m")
    check(f"layover of a wall, {depression:g} deg, foot", far, foot, pixel, "m")
    heights = seen.height[radar.rows // 2]
    check(f"layover of a wall, {depression:g} deg, greatest height", float(heights.max()), height, 0.1, "m")
    inside = (slant > near + pixel) & (slant < far - pixel)
    wanted = (foot - slant[inside]) / math.sin(angle)
    worst = float(np.abs(heights[inside] - wanted).max())
    check_below(f"height map of a wall, {depression:g} deg, largest error", worst, pixel / math.sin(angle), "m")


def test_free_space_has_no_shadow():
    mesh = plate(1.0, 1.0)
    assert (visibility(mesh.vertices, mesh.faces, look_along(0.0, 30.0), square_radar(), ground=False).lit == 1).all()


# --- clutter and noise


def clutter_of(radar: RadarOptions, depression: float, names: list[str], seed: int = 0) -> np.ndarray:
    """Complex background of a fully lit scene."""
    lit = np.ones((radar.rows, radar.columns), dtype=np.float32)
    return background(radar, lit, math.cos(math.radians(depression)), names, np.random.default_rng(seed))


def statistics_radar(**values) -> RadarOptions:
    values = {"rows": 640, "columns": 512, "sigma0_db": -20.0, "nesz_db": -80.0, **values}
    return load_radar("uav-ku", [f"{key}={value}" for key, value in values.items()]).model_copy(
        update={"texture_shape": values.get("texture_shape")}
    )


@pytest.mark.parametrize("depression", [20.0, 40.0, 60.0])
def test_clutter_power_is_sigma0_times_area(depression):
    radar = statistics_radar()
    cosine = math.cos(math.radians(depression))
    power = (np.abs(clutter_of(radar, depression, ["HH", "HV"]).astype(np.complex128)) ** 2).mean(axis=(1, 2))
    area = cell_area_m2(radar, cosine)
    check(f"clutter, {depression:g} deg, mean power over sigma0 A", float(power[0] / (0.01 * area)), 1.0, 0.03, "")
    cross = float(power[1] / (0.01 * 10 ** (radar.cross_polar_db / 10) * area))
    check(f"clutter, {depression:g} deg, HV, mean power over sigma0 A", cross, 1.0, 0.03, "")


def test_cell_area_is_that_of_the_measured_response():
    """Equivalent area: energy of the response to a single point over its peak, times the pixel area."""
    radar = load_radar("uav-ku")
    white = np.zeros((radar.rows, radar.columns), dtype=np.complex64)
    white[radar.rows // 2, radar.columns // 2] = 1.0
    response = focuser(radar).filtered(white).astype(np.complex128)
    assert abs(response[radar.rows // 2, radar.columns // 2] - 1) < 1e-5
    area = float((np.abs(response) ** 2).sum()) * radar.pixel_range_m * radar.pixel_cross_range_m
    check("area of the response over that in use", area / focuser(radar).equivalent_area_m2, 1.0, 1e-4, "")
    params = radar.params()
    cell = params.range_resolution_m * params.cross_range_resolution_m
    check("area of the response over resolution cell", area / cell, 1.238**2, 0.01, "")


def test_clutter_without_texture_is_rayleigh():
    radar = statistics_radar()
    amplitude = np.abs(clutter_of(radar, 40.0, ["VV"])[0].astype(np.complex128))
    check("Rayleigh clutter, std over mean", float(amplitude.std() / amplitude.mean()), 0.5227, 0.03 * 0.5227, "")
    intensity = amplitude**2
    check("Rayleigh clutter, <I^2> / <I>^2", float((intensity**2).mean() / intensity.mean() ** 2), 2.0, 0.06, "")
    share = float((intensity > math.log(2) * intensity.mean()).mean())
    check("Rayleigh clutter, share above the median P ln 2", share, 0.5, 0.01, "")


@pytest.mark.parametrize("shape", [2.0, 4.0, 10.0])
def test_clutter_with_texture_is_k_distributed(shape):
    """Texture far longer than the response, which would average it otherwise; several chips."""
    radar = statistics_radar(rows=1024, columns=512, texture_shape=shape, texture_length_m=0.9)
    moments = np.zeros(2)
    for seed in range(6):
        intensity = np.abs(clutter_of(radar, 40.0, ["VV"], seed)[0].astype(np.complex128)) ** 2
        moments += [intensity.mean() / 6, (intensity**2).mean() / 6]
    area = cell_area_m2(radar, math.cos(math.radians(40)))
    check(f"K clutter, shape {shape:g}, mean power over sigma0 A", float(moments[0] / (0.01 * area)), 1.0, 0.03, "")
    wanted = 2 * (1 + 1 / shape)
    check(f"K clutter, shape {shape:g}, <I^2> / <I>^2", float(moments[1] / moments[0] ** 2), wanted, 0.03 * wanted, "")


def test_texture_has_gamma_moments_and_its_length():
    radar = statistics_radar(rows=1024, columns=512, texture_shape=4.0, texture_length_m=0.9)
    cosine = math.cos(math.radians(40))
    fields = np.stack([gamma_texture(radar, cosine, np.random.default_rng(seed)) for seed in range(6)]).astype(float)
    check("texture, mean", float(fields.mean()), 1.0, 0.03, "")
    check("texture, variance", float(fields.var()), 0.25, 0.03 * 0.25 + 0.005, "")
    rest = fields - fields.mean()
    step = round(0.9 / radar.pixel_cross_range_m)
    correlation = float((rest[:, step:] * rest[:, :-step]).mean() / rest.var())
    check("texture, correlation at its length across", correlation, math.exp(-((step * 0.08 / 0.9) ** 2)), 0.05, "")
    step = round(0.9 * cosine / radar.pixel_range_m)
    correlation = float((rest[:, :, step:] * rest[:, :, :-step]).mean() / rest.var())
    distance = step * radar.pixel_range_m / cosine
    check("texture, correlation at its length in range", correlation, math.exp(-((distance / 0.9) ** 2)), 0.05, "")


def test_noise_is_at_the_nesz():
    radar = statistics_radar(sigma0_db=-60.0, nesz_db=-20.0)
    names = ["HH", "HV", "VH", "VV"]
    planes = clutter_of(radar, 40.0, names).astype(np.complex128)
    area = cell_area_m2(radar, math.cos(math.radians(40)))
    for name, plane in zip(names, planes, strict=True):
        check(
            f"noise, {name}, mean power over NESZ A", float((np.abs(plane) ** 2).mean() / (0.01 * area)), 1.0, 0.03, ""
        )
    for i in range(4):
        for j in range(i):
            overlap = abs(np.vdot(planes[i], planes[j])) / np.linalg.norm(planes[i]) / np.linalg.norm(planes[j])
            assert overlap < 0.02  # receivers have independent noise


def test_shadow_holds_noise_alone():
    radar = statistics_radar(sigma0_db=-10.0, nesz_db=-30.0)
    lit = np.ones((radar.rows, radar.columns), dtype=np.float32)
    lit[:, : radar.columns // 2] = 0.0
    plane = background(radar, lit, 0.8, ["HH"], np.random.default_rng(1))[0].astype(np.complex128)
    area, middle = cell_area_m2(radar, 0.8), radar.columns // 2
    dark, bright = ((np.abs(plane[:, part]) ** 2).mean() for part in (slice(20, middle - 20), slice(middle + 20, -20)))
    check("noise in the shadow over NESZ A", float(dark / (1e-3 * area)), 1.0, 0.03, "")
    check("clutter beside it over (sigma0 + NESZ) A", float(bright / (0.101 * area)), 1.0, 0.03, "")


def test_cross_polar_clutter_is_reciprocal_and_the_rest_independent():
    radar = statistics_radar()
    hh, hv, vh, vv = clutter_of(radar, 40.0, ["HH", "HV", "VH", "VV"]).astype(np.complex128)
    assert np.abs(hv - vh).max() < 1e-2 * np.abs(hv).max()  # noise is far below
    for one, other in ((hh, vv), (hh, hv), (vv, hv)):
        assert abs(np.vdot(one, other)) / np.linalg.norm(one) / np.linalg.norm(other) < 0.02


def test_a_polarisation_does_not_depend_on_those_beside_it():
    radar = statistics_radar(rows=64, columns=64, texture_shape=4.0)
    alone, beside = clutter_of(radar, 40.0, ["VV"], 5)[0], clutter_of(radar, 40.0, ["HH", "HV", "VV"], 5)[2]
    np.testing.assert_array_equal(alone, beside)
    assert (clutter_of(radar, 40.0, ["VV"], 6)[0] != alone).any()


# --- symmetries


def relative_difference(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    """Largest difference of two images in units of ``scale``."""
    return float(np.abs(one - other).max() / scale)


@pytest.mark.parametrize(("azimuth", "depression"), [(20.0, 30.0), (65.0, 40.0), (130.0, 25.0)])
def test_mirror_symmetry(azimuth, depression):
    """A mesh with a plane of symmetry, seen from both sides of it: rows are flipped, HV and VH change sign.

    The spacing divides the width, so that the ray grids are mirror images too; the centre row of an odd number stays.
    """
    mesh, radar = symmetric_scene(), square_radar(97)
    across = mesh.vertices @ look_along(azimuth, depression).across
    spacing = float(np.ptp(across)) / math.ceil(np.ptp(across) / (wavelength(KU) / 4))
    port, starboard = (
        trace(mesh, each, depression, ground=DIELECTRIC, spacing_m=spacing) for each in (-azimuth, azimuth)
    )
    scale = max(float(np.abs(image_of(port, radar, name)).max()) for name in ("HH", "VV"))
    for name, sign in (("HH", 1), ("VV", 1), ("HV", -1), ("VH", -1)):
        one, other = image_of(port, radar, name), sign * image_of(starboard, radar, name)[::-1]
        difference = relative_difference(one, other, scale)
        check_below(f"mirror symmetry, azimuth {azimuth:g}, {name}, of the maximum", difference, 1e-3, "")


@pytest.mark.parametrize(("turn", "azimuth"), [(33.0, 10.0), (-71.0, 200.0), (90.0, 0.0)])
def test_turning_the_mesh_is_turning_the_radar(turn, azimuth):
    """Azimuth is clockwise: a mesh turned anticlockwise looks as from an azimuth increased by as much."""
    mesh, radar = asymmetric_scene(), square_radar(64)
    fixed = trace(mesh, azimuth + turn, 30.0, ground=DIELECTRIC)
    moved = trace(turned(mesh, turn), azimuth, 30.0, ground=DIELECTRIC)
    scale = float(np.abs(image_of(fixed, radar, "HH")).max())
    for name in ("HH", "HV", "VH", "VV"):
        difference = relative_difference(image_of(fixed, radar, name), image_of(moved, radar, name), scale)
        check_below(f"mesh turned by {turn:g} deg, {name}, of the maximum", difference, 1e-3, "")
    wrong = trace(mesh, azimuth - turn, 30.0, ground=DIELECTRIC)
    assert relative_difference(image_of(fixed, radar, "HH"), image_of(wrong, radar, "HH"), scale) > 0.1


def test_moving_the_mesh_moves_the_image():
    """By whole pixels in cross-range; a phase and whole pixels in slant range."""
    mesh, radar = asymmetric_scene(), square_radar(96)
    look = look_along(0.0, 30.0)
    still = image_of(trace(mesh, 0.0, 30.0), radar)
    pixels = np.array([5, -7])
    offset = pixels[0] * 0.12 * look.across - pixels[1] * 0.12 * look.toward
    moved = image_of(trace(mesh.moved([float(x) for x in offset]), 0.0, 30.0), radar)
    phase = np.exp(-4j * np.pi * pixels[1] * 0.12 / wavelength(KU))
    difference = relative_difference(np.roll(still, pixels, axis=(0, 1)) * phase, moved, float(np.abs(still).max()))
    check_below("mesh moved by whole pixels, of the maximum", difference, 1e-3, "")


@pytest.mark.parametrize("surface", [SurfaceOptions(), SurfaceOptions(diffuse=0.01, rms_slope=0.2, roughness_m=0.001)])
def test_threads_do_not_matter(surface):
    one, two = (
        trace(asymmetric_scene(), 35.0, 30.0, ground=DIELECTRIC, threads=threads, surface=surface, max_bounces=4)
        for threads in (1, 2)
    )
    for part in ("position", "amplitude", "order", "normal", "cos_incidence"):
        np.testing.assert_array_equal(getattr(one, part), getattr(two, part))
    radar = square_radar(64)
    difference = relative_difference(
        image_of(one, radar), image_of(two, radar), float(np.abs(image_of(one, radar)).max())
    )
    check_below("1 or 2 threads, of the maximum", difference, 1e-10, "")


def test_the_same_seed_gives_the_same_bits():
    rough = {"surface": SurfaceOptions(diffuse=0.01), "ground": DIELECTRIC}
    one, two = (trace(asymmetric_scene(), 35.0, 30.0, seed=3, **rough) for _ in range(2))
    other = trace(asymmetric_scene(), 35.0, 30.0, seed=4, **rough)
    np.testing.assert_array_equal(one.amplitude, two.amplitude)
    assert (one.amplitude != other.amplitude).any()
