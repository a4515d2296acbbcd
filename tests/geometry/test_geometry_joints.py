"""What a real system and apron add: slab joints, cross-talk, phase errors, noise and grey level of single polarisations."""

import math

import numpy as np
import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.clutter import background
from geodiff_sar.geometry.cross_talk import with_cross_talk
from geodiff_sar.geometry.grey import background_gain
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.imaging import focuser
from geodiff_sar.geometry.radar import RadarOptions, load_radar

COSINE = math.cos(math.radians(35.0))


def radar_with(*overrides: str) -> RadarOptions:
    return load_radar("uav-ku", ["rows=512", "columns=256", "texture_shape=1e6", "nesz_db=-80", *overrides])


def planes(radar: RadarOptions, azimuth: float = 0.0, names: tuple[str, ...] = ("HH", "HV", "VH", "VV")) -> np.ndarray:
    lit = np.ones((radar.rows, radar.columns), dtype=np.float32)
    return background(radar, lit, COSINE, list(names), np.random.default_rng(4), azimuth)


def column_power(plane: np.ndarray) -> np.ndarray:
    return (np.abs(plane.astype(np.complex128)) ** 2).mean(axis=0)


def hits_of(amplitude: list[complex]) -> Hits:
    zero = np.zeros((1, 3), dtype=np.float32)
    row = np.array([amplitude], dtype=np.complex64)
    return Hits(zero, row, np.ones(1, dtype=np.int8), zero, np.ones(1, dtype=np.float32))


# --- joints


def test_joints_are_stripes_at_their_ground_spacing():
    radar = radar_with("joint_spacing_m=4.0", "joint_db=25.0")
    power = column_power(planes(radar)[0])
    peaks = [k for k in range(1, 255) if power[k] == power[k - 1 : k + 2].max() and power[k] > 10 * np.median(power)]
    wanted = 4.0 * COSINE / radar.pixel_range_m
    assert len(peaks) == pytest.approx(256 / wanted, abs=1)
    np.testing.assert_allclose(np.diff(peaks), wanted, atol=1.01)


def test_the_two_edges_of_a_joint_lie_a_gap_apart():
    radar = radar_with("joint_spacing_m=12.0", "joint_gap_m=1.5", "joint_db=30.0")
    power = column_power(planes(radar)[0])
    peaks = [k for k in range(1, 255) if power[k] == power[k - 1 : k + 2].max() and power[k] > 10 * np.median(power)]
    gap, rest = 1.5 * COSINE / radar.pixel_range_m, 10.5 * COSINE / radar.pixel_range_m
    for step in np.diff(peaks):
        assert min(abs(step - gap), abs(step - rest)) < 1.01


def test_joints_are_weaker_in_vv_by_the_stated_ratio_and_absent_from_cross_polar():
    bare = planes(radar_with())
    given = planes(radar_with("joint_spacing_m=4.0", "joint_db=25.0", "joint_vv_db=-9.0"))
    added = (np.abs(given - bare).astype(np.float64) ** 2).sum(axis=(1, 2))
    assert 10 * math.log10(added[3] / added[0]) == pytest.approx(-9.0, abs=0.05)
    np.testing.assert_array_equal(given[1:3], bare[1:3])


@pytest.mark.parametrize(("azimuth", "shown"), [(0.0, True), (2.0, True), (358.0, True), (90.0, True), (40.0, False)])
def test_joints_flash_along_the_axes_of_the_target_alone(azimuth, shown):
    given, bare = planes(radar_with("joint_spacing_m=4.0"), azimuth), planes(radar_with())
    assert bool((given != bare).any()) is shown


# --- channels


def test_cross_talk_adds_the_powers_of_both_co_polar_channels():
    radar = radar_with("cross_talk_db=-20")
    given = with_cross_talk(hits_of([1.0, 0.5j, 0.5j, 1.0]), radar)
    np.testing.assert_allclose(given.amplitude[0], [1.0, 0.1 + 0.6j, 0.1 + 0.6j, 1.0], rtol=1e-5)
    even = with_cross_talk(hits_of([1.0, 0.0, 0.0, -1.0]), radar)
    assert abs(even.amplitude[0, 1]) ** 2 == pytest.approx(0.02, rel=1e-4)


@pytest.mark.parametrize(("phase", "single", "double"), [(0.0, 0.04, 0.0), (180.0, 0.0, 0.04)])
def test_the_phase_of_the_cross_talk_favours_single_or_double_reflections(phase, single, double):
    radar = radar_with("cross_talk_db=-20", f"cross_talk_phase_deg={phase}")
    for vv, power in ((1.0, single), (-1.0, double)):
        amplitude = with_cross_talk(hits_of([1.0, 0.0, 0.0, vv]), radar).amplitude[0]
        assert abs(amplitude[1]) ** 2 == pytest.approx(power, rel=1e-4, abs=1e-12)


def test_without_cross_talk_the_hits_are_those_given():
    hits = hits_of([1.0, 0.0, 0.0, 1.0])
    assert with_cross_talk(hits, radar_with()) is hits


def test_gain_allows_for_cross_talk_noise_and_level_of_a_polarisation():
    overrides = ["cross_talk_db=-10", "nesz_by_polarisation.HV=-25", "grey_by_polarisation.HV=8"]
    radar = radar_with(*overrides)
    for name, level in (("HV", 8.0), ("VH", 5.0), ("VV", 5.0)):
        median = float(np.median(np.abs(planes(radar, names=(name,))[0])))
        assert median * background_gain(radar, COSINE, name) == pytest.approx(level, rel=0.03)


def test_phase_errors_move_energy_from_the_line_into_streaks():
    clean, shaken = radar_with(), radar_with("phase_error_deg=10")
    white = np.zeros((512, 256), dtype=np.complex64)
    white[200, 100] = 1.0
    one, two = (np.abs(focuser(radar).filtered(white)) ** 2 for radar in (clean, shaken))
    sigma = math.radians(10)
    assert two.sum() == pytest.approx(one.sum(), rel=1e-4)
    assert two[200, 100] == pytest.approx(math.exp(-(sigma**2)), rel=0.02)
    far = np.r_[0:100, 300:512]
    assert one[far, 100].sum() < 1e-4 * one[:, 100].sum()
    share = two[far, 100].sum() / two[:, 100].sum() * 512 / len(far)
    assert share == pytest.approx(sigma**2, rel=0.3)
    assert two[:, 180].sum() == pytest.approx(one[:, 180].sum(), rel=0.01)


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("grey_by_polarisation.XX=4", "grey_by_polarisation.XX"),
        ("nesz_by_polarisation.HV=90", "nesz_by_polarisation.HV"),
        ("cross_talk_db=3", "cross_talk_db"),
        ("joint_spacing_m=0", "joint_spacing_m"),
    ],
)
def test_wrong_settings_are_refused(override, part):
    with pytest.raises(OptionError, match=part):
        radar_with(override)
