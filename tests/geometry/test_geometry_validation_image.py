"""The image domain: where returns lie, how high their peaks are, and what a point looks like.

Positions are read from images upsampled eightfold. Radar: Ku band, 0.15 m resolution, pixels of resolution / 1.25.
"""

import math

import numpy as np
import pytest
from shapes_for_tests import (
    KU,
    MIRROR,
    UPSAMPLING,
    asymmetric_scene,
    check,
    check_below,
    cylinder,
    db,
    image_of,
    move,
    parabolic_peak,
    peak_of,
    plate,
    sphere,
    square_radar,
    trace,
    triangular_trihedral,
    upsampled,
    wall,
    wavelength,
)

from geodiff_sar.geometry.engines import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits
from geodiff_sar.geometry.imaging import focuser, taylor_window
from geodiff_sar.geometry.look import look_along, slant_and_cross_range
from geodiff_sar.geometry.options import GroundOptions, SurfaceOptions, TraceOptions
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.reflection import fresnel
from geodiff_sar.geometry.triangles import merge

LAMBDA = wavelength(KU)
PLACES = [(0.0, 0.0), (0.37, 0.71), (0.5, 0.5), (0.25, 0.1), (0.83, 0.46)]
"""Places between pixels, in pixels."""


def point_hits(slant: float, cross: float, amplitude: complex = 1.0) -> Hits:
    """One hit of the same amplitude in every polarisation; no phase of its path."""
    return Hits(
        np.array([[slant, cross, 0.0]], dtype=np.float32),
        np.full((1, 4), amplitude, dtype=np.complex64),
        np.ones(1, dtype=np.int8),
        np.array([[1.0, 0.0, 0.0]], dtype=np.float32),
        np.ones(1, dtype=np.float32),
    )


# --- the point spread function


def cut_through(image: np.ndarray, axis: int, factor: int = 64) -> np.ndarray:
    """Magnitude along one axis through the highest pixel, ``factor`` times finer."""
    row, column = np.unravel_index(np.abs(image).argmax(), image.shape)
    line = image[row] if axis == 1 else image[:, column]
    return np.abs(upsampled_line(line, factor))


def upsampled_line(line: np.ndarray, factor: int) -> np.ndarray:
    """A band-limited line of samples, ``factor`` times finer."""
    n = len(line)
    spectrum = np.fft.fft(line.astype(np.complex128))
    wide = np.zeros(n * factor, dtype=np.complex128)
    wide[: (n + 1) // 2], wide[-(n // 2) :] = spectrum[: (n + 1) // 2], spectrum[-(n // 2) :]
    return np.fft.ifft(wide) * factor


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("place", PLACES)
def test_point_response(axis, place):
    radar = square_radar()
    pixel, resolution, factor = radar.pixel_range_m, 0.15, 64
    hits = point_hits(place[1] * pixel, place[0] * pixel)
    line = cut_through(image_of(hits, radar), axis)
    top = int(line.argmax())
    wanted = line.max() / math.sqrt(2)
    left, right = top, top
    while line[left] > wanted:
        left -= 1
    while line[right] > wanted:
        right += 1
    left_edge = left + (wanted - line[left]) / (line[left + 1] - line[left])
    right_edge = right - (wanted - line[right]) / (line[right - 1] - line[right])
    name = f"{'range' if axis else 'cross-range'}, point at {place[axis]:g} pixel"
    width = (right_edge - left_edge) * pixel / factor / resolution
    check(f"response width, {name}", float(width), 1.1855, 0.02 * 1.1855, "rho")
    below, above = top, top
    while line[below - 1] < line[below]:
        below -= 1
    while line[above + 1] < line[above]:
        above += 1
    outside = np.concatenate([line[:below], line[above:]])
    check_below(f"highest sidelobe, {name}", 2 * db(outside.max() / line.max()), -33.0)
    position, _ = parabolic_peak(line)
    check(f"peak position, {name}", position / factor - radar.rows // 2, place[axis], 0.01, "pixel")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("size", [96, 97])
def test_unit_point_has_a_unit_peak(place, size):
    radar = square_radar(pixels=size)
    hits = point_hits(3.3 + place[1] * 0.12, -2.1 + place[0] * 0.12)
    images = focuser(radar).image(hits, [0, 1, 2, 3])
    np.testing.assert_array_equal(images[0], images[3])
    slant, cross, level = peak_of(images[0], radar)
    check(f"unit point, {size} pixels, off by {place}", 10 ** (level / 20), 1.0, 0.03, "")
    assert abs(slant - hits.position[0, 0]) <= 0.12 / UPSAMPLING
    assert abs(cross - hits.position[0, 1]) <= 0.12 / UPSAMPLING


def test_taylor_window_against_scipy():
    """Same window as scipy's, which samples it at the middles of n equal parts."""
    from scipy.signal.windows import taylor

    n = 400
    ours = taylor_window((np.arange(n) + 0.5) / n - 0.5, 35.0, 5)
    other = taylor(n, nbar=5, sll=35, norm=False)
    np.testing.assert_allclose(ours, other, atol=1e-9)
    check("noise bandwidth of the window", float((ours**2).mean() / ours.mean() ** 2), 1.238, 0.002, "")


def test_hits_beyond_the_chip_are_left_out():
    radar = square_radar()
    for slant, cross in ((6.5, 0.0), (-6.5, 0.0), (0.0, 7.0), (0.0, -7.0)):
        assert np.abs(image_of(point_hits(slant, cross), radar)).max() == 0.0


# --- where returns lie


@pytest.mark.parametrize("place", [(3.0, 2.0, 1.5), (-4.0, -1.0, 0.5)])
def test_trihedral_lies_at_its_apex(place):
    radar = square_radar(128)
    azimuth, depression = 315.0, math.degrees(math.atan(1 / math.sqrt(2)))
    hits = trace(move(triangular_trihedral(0.2), place), azimuth, depression)
    image = image_of(hits, radar)
    wanted = slant_and_cross_range(np.array([place]), look_along(azimuth, depression))
    slant, cross, level = peak_of(image, radar)
    check(f"trihedral at {place}, slant range", slant, float(wanted[0][0]), 0.05 * 0.15, "m")
    check(f"trihedral at {place}, cross-range", cross, float(wanted[1][0]), 0.05 * 0.15, "m")
    check(f"trihedral at {place}, peak", level, db(4 * np.pi * 0.2**4 / (3 * LAMBDA**2)), 0.3)
    row, column = np.unravel_index(np.abs(image).argmax(), image.shape)
    assert abs((column - 64) * 0.12 - wanted[0][0]) <= 0.5 * 0.12 * 1.001
    assert abs((row - 64) * 0.12 - wanted[1][0]) <= 0.5 * 0.12 * 1.001


@pytest.mark.parametrize(("azimuth", "depression"), [(0.0, 30.0), (70.0, 20.0), (200.0, 45.0)])
def test_sphere_lies_a_radius_before_its_centre(azimuth, depression):
    centre, radius, radar = np.array([2.0, -1.5, 3.0]), 0.4, square_radar()
    hits = trace(move(sphere(radius, 6), centre), azimuth, depression, max_bounces=1)
    look = look_along(azimuth, depression)
    slant, cross, level = peak_of(image_of(hits, radar), radar)
    name = f"sphere R 0.4 m, azimuth {azimuth:g}, depression {depression:g}"
    check(f"{name}, slant range", slant, float(-look.toward @ centre) - radius, 0.01, "m")
    check(f"{name}, cross-range", cross, float(look.across @ centre), 0.01, "m")
    check(f"{name}, peak", level, db(np.pi * radius**2), 0.2)


@pytest.mark.parametrize("depression", [20.0, 30.0, 45.0, 60.0])
def test_double_bounce_of_a_wall_lies_at_its_foot(depression):
    width, height, radar = 2.0, 1.5, square_radar()
    hits = trace(wall(width, height, (1.2, 0.6, 0.0)), 0.0, depression, ground=MIRROR)
    angle = math.radians(depression)
    slant, cross, _ = peak_of(image_of(hits, radar), radar)
    check(f"wall on ground, {depression:g} deg, slant range of the foot", slant, -1.2 * math.cos(angle), 0.02, "m")
    assert abs(cross - 0.6) < width / 2  # a straight edge: its image is a line
    area = 2 * width * height * math.cos(angle)
    for name in ("HH", "VV"):
        level = db(abs(hits.total()[POLARISATION_COLUMN[name]]) ** 2)
        check(f"wall on ground, {depression:g} deg, {name}", level, db(4 * np.pi * area**2 / LAMBDA**2), 0.2)


@pytest.mark.parametrize("depression", [30.0, 45.0])
def test_cylinder_over_ground_has_three_lobes(depression):
    """Direct, direct-ground and ground-direct together, and ground-cylinder-ground."""
    radius, height, radar = 0.1, 2.0, square_radar()
    hits = trace(move(cylinder(radius, 2.0), (0, 0, height)), 0.0, depression, per_wavelength=5, ground=MIRROR)
    line = np.abs(upsampled(image_of(hits, radar)))[radar.rows // 2 * UPSAMPLING]
    places = (np.arange(len(line)) / UPSAMPLING - radar.columns // 2) * 0.12
    sine, cosine = math.sin(math.radians(depression)), math.cos(math.radians(depression))
    wanted = {"direct": -height * sine - radius, "double": -radius * cosine, "ground twice": height * sine - radius}
    levels = {}
    for name, place in wanted.items():
        near = np.abs(places - place) < 0.15
        k, level = parabolic_peak(line[near])
        found = float(places[near][0] + k * 0.12 / UPSAMPLING)
        check(f"cylinder over ground, {depression:g} deg, {name}, slant range", found, place, 0.02, "m")
        levels[name] = 2 * db(level)
    check(
        f"cylinder over ground, {depression:g} deg, ground twice over direct",
        levels["ground twice"] - levels["direct"],
        0,
        0.5,
    )
    check(
        f"cylinder over ground, {depression:g} deg, double over direct", levels["double"] - levels["direct"], 5.0, 1.0
    )
    for order in (1, 2, 3):
        assert (hits.order == order).any()


@pytest.mark.parametrize("depression", [20.0, 35.0, 50.0])
def test_layover(depression):
    """A sphere at height h lies h sin(depression) nearer in slant range, h tan(depression) nearer on the ground."""
    radius, radar = 0.3, square_radar()
    places = []
    for height in (1.0, 3.0):
        hits = trace(move(sphere(radius, 5), (0, 0, height)), 0.0, depression, max_bounces=1)
        places.append(peak_of(image_of(hits, radar), radar)[0])
    angle = math.radians(depression)
    check(f"layover of 2 m, {depression:g} deg, slant", places[1] - places[0], -2 * math.sin(angle), 0.01, "m")
    ground = (places[1] - places[0]) / math.cos(angle)
    check(f"layover of 2 m, {depression:g} deg, ground", ground, -2 * math.tan(angle), 0.12 / math.cos(angle), "m")


# --- the ground: Fresnel's coefficients and roughness


@pytest.mark.parametrize("depression", [24.1, 30.0, 45.0])
@pytest.mark.parametrize("polarisation", ["HH", "VV"])
def test_double_bounce_on_dielectric_ground_follows_fresnel(depression, polarisation):
    """24.1 degrees is the Brewster angle of permittivity 5, where VV nearly vanishes."""
    levels = []
    for ground in (MIRROR, GroundOptions(permittivity=5.0, loss=0.3, roughness_m=0.0)):
        hits = trace(wall(2.0, 1.5), 0.0, depression, ground=ground)
        total = hits.selected(hits.order == 2).total()
        levels.append(db(abs(total[POLARISATION_COLUMN[polarisation]]) ** 2))
    sine, cosine, permittivity = math.sin(math.radians(depression)), math.cos(math.radians(depression)), 5.0 - 0.3j
    q = np.sqrt(permittivity - cosine**2)
    gamma = {"HH": (sine - q) / (sine + q), "VV": (permittivity * sine - q) / (permittivity * sine + q)}[polarisation]
    name = f"wall on dielectric over metal, {depression:g} deg, {polarisation}"
    check(name, levels[1] - levels[0], db(abs(gamma) ** 2), 0.3)


def test_fresnel_limits():
    """Normal incidence: both have the magnitude of the index formula; grazing: both -1 and total; metal: -1 and +1."""
    index = np.sqrt(5.0 - 0.3j)
    s, p = fresnel(1.0, 5.0 - 0.3j, False)
    np.testing.assert_allclose([s, p], [(1 - index) / (1 + index), (index - 1) / (index + 1)], rtol=1e-12)
    np.testing.assert_allclose(fresnel(1e-9, 5.0 - 0.3j, False), [-1, -1], atol=1e-7)
    np.testing.assert_allclose(fresnel(0.6, 5.0 - 0.3j, True), [-1, 1])
    np.testing.assert_allclose(fresnel(0.6, 1e10 + 0j, False), [-1, 1], atol=1e-4)
    cosine = 1 / math.sqrt(6.0)  # tan(Brewster angle) = sqrt(5)
    assert abs(fresnel(cosine, 5.0 + 0j, False)[1]) < 1e-12


@pytest.mark.parametrize("depression", [30.0, 45.0])
@pytest.mark.parametrize("roughness_mm", [1.0, 2.5])
def test_ground_roughness_lowers_the_double_bounce(depression, roughness_mm):
    levels = []
    for roughness in (0.0, roughness_mm * 1e-3):
        hits = trace(wall(2.0, 1.5), 0.0, depression, ground=GroundOptions(roughness_m=roughness))
        levels.append(db(abs(hits.selected(hits.order == 2).total()[3]) ** 2))
    phase = 2 * np.pi / LAMBDA * roughness_mm * 1e-3 * math.sin(math.radians(depression))
    check(
        f"ground of rms height {roughness_mm} mm, {depression:g} deg",
        levels[1] - levels[0],
        db(math.exp(-4 * phase**2)),
        0.05,
    )


# --- incoherent scattering


def incoherent_power(depression: float, surface: SurfaceOptions, polarisation: str, seeds: int) -> tuple[float, float]:
    """Incoherent part of an upright plate of 4 x 4 m, m^2: from the hits, and from the image."""
    mesh, radar, column = plate(4.0, 4.0), square_radar(64), POLARISATION_COLUMN[polarisation]
    common = {"spacing_m": 0.016, "prune": 0.0}
    smooth = trace(mesh, 0.0, depression, surface=SurfaceOptions(roughness_m=surface.roughness_m), **common)
    from_hits, from_image = [], []
    for seed in range(seeds):
        hits = trace(mesh, 0.0, depression, surface=surface, seed=seed, **common)
        rest = hits.amplitude.astype(np.complex128) - smooth.amplitude
        alone = Hits(hits.position, rest.astype(np.complex64), hits.order, hits.normal, hits.cos_incidence)
        from_hits.append((np.abs(rest[:, column]) ** 2).sum())
        from_image.append((np.abs(image_of(alone, radar, polarisation)) ** 2).sum())
    area = radar.pixel_range_m * radar.pixel_cross_range_m / focuser(radar).equivalent_area_m2
    return float(np.mean(from_hits)), float(np.mean(from_image)) * area


@pytest.mark.parametrize("angle", [30.0, 45.0, 60.0])
def test_lambert_law(angle):
    rho = 0.01
    reference = 4 * rho * math.cos(math.radians(angle)) ** 2 * 16.0
    hits, image = incoherent_power(angle, SurfaceOptions(diffuse=rho), "VV", 8)
    check(f"Lambert, {angle:g} deg, over 4 rho cos^2 A, hits", hits / reference, 1.0, 0.01, "")
    check(f"Lambert, {angle:g} deg, over 4 rho cos^2 A, image", image / reference, 1.0, 0.08, "")
    hits, image = incoherent_power(angle, SurfaceOptions(diffuse=rho, diffuse_cross=0.5), "HV", 8)
    check(f"Lambert, {angle:g} deg, HV over VV, hits", hits / reference, 0.25, 0.01 * 0.25, "")
    check(f"Lambert, {angle:g} deg, HV over VV, image", image / reference, 0.25, 0.08 * 0.25, "")


@pytest.mark.parametrize(("slope", "angle"), [(0.2, 0.0), (0.2, 15.0), (0.3, 25.0)])
def test_kirchhoff_rough_surface(slope, angle):
    """Heights far above the wavelength, so that nothing coherent is left; at normal incidence sigma0 = 1 / (2 m^2)."""
    hits, image = incoherent_power(angle, SurfaceOptions(rms_slope=slope, roughness_m=0.02), "VV", 12)
    tangent, cosine = math.tan(math.radians(angle)), math.cos(math.radians(angle))
    sigma0 = math.exp(-(tangent**2) / (2 * slope**2)) / (2 * slope**2 * cosine**4)
    check(f"Kirchhoff, slope {slope}, {angle:g} deg, over sigma0 A, hits", hits / (sigma0 * 16.0), 1.0, 0.01, "")
    if angle > 0:  # at normal incidence all heights share a range cell
        check(f"Kirchhoff, slope {slope}, {angle:g} deg, over sigma0 A, image", image / (sigma0 * 16.0), 1.0, 0.08, "")


# --- convergence


def convergence(scene: Scene, radar, rays: list[int], reference: int, azimuth: float, depression: float) -> list[float]:
    """Relative L2 errors of the complex VV image against that of ``reference`` rays."""
    engine, look = ENGINES.get("fused")(scene), look_along(azimuth, depression)

    def image(count: int) -> np.ndarray:
        return image_of(engine.trace(TraceRequest(look, radar.wavelength_m, TraceOptions(rays=count))), radar)

    best = image(reference)
    return [float(np.linalg.norm(image(count) - best) / np.linalg.norm(best)) for count in rays]


def test_convergence_of_a_small_scene():
    """Rays 1.4, 0.71 and 0.35 wavelengths apart, as an aircraft has with 2.5e5, 1e6 and 4e6 rays."""
    scene, radar = Scene(asymmetric_scene()), square_radar(48)
    span = 1.9 * 1.3
    counts = [round(span / (share * LAMBDA) ** 2) for share in (1.4, 0.71, 0.35, 0.09)]
    coarse, middle, fine = convergence(scene, radar, counts[:3], counts[3], 35.0, 30.0)
    check_below("small scene, rays 1.4 lambda apart, relative L2", coarse, 0.7, "")
    check_below("small scene, rays 0.71 lambda apart, relative L2", middle, 0.4, "")
    check_below("small scene, rays 0.35 lambda apart, relative L2", fine, 0.2, "")
    assert fine < middle < coarse


@pytest.mark.slow
def test_convergence_of_an_aircraft():
    targets = pytest.importorskip("geodiff_sar.geometry.targets", reason="no targets in this version")
    scene, radar = Scene(targets.build_target("Cessna 208")), load_radar("uav-ku")
    errors = convergence(scene, radar, [250_000, 1_000_000, 4_000_000], 16_000_000, 0.0, 30.0)
    for count, error, limit in zip(("2.5e5", "1e6", "4e6"), errors, (0.5, 0.2, 0.1), strict=True):
        check_below(f"Cessna 208, {count} rays against 16e6, relative L2", error, limit, "")


def test_a_sheet_hides_what_is_behind_it():
    """The plate alone, and with a sphere in its shadow: the same return."""
    front = plate(1.0, 1.0)
    hidden = move(sphere(0.2, 4), (-1.0, 0, 0))
    alone, both = (trace(mesh, 0.0, 0.0).total() for mesh in (front, merge([front, hidden], "both")))
    np.testing.assert_allclose(both, alone, rtol=1e-6)
