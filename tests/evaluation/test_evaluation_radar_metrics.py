"""Point response, shadow and scattering centres with known answers; radar metrics on controls."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal.windows import taylor

from evaluation_support import GRID, make_chips, make_comparison
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.chip_set import SHADOW, TARGET
from geodiff_sar.data.features import save_features
from geodiff_sar.data.pixels import UNKNOWN_GRID, UNSPECIFIED
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.peaks import cut_shape, isolated_peaks
from geodiff_sar.evaluation.radar_values import distance_between
from geodiff_sar.evaluation.scatterers import Centres, best_shift, extract_centres, match_centres
from geodiff_sar.evaluation.shadows import implied_height_m, row_extent, shadow_lengths
from geodiff_sar.geometry.maps import CENTRES_RANGE_DB, MAP_NAMES

RADAR = ("clutter_looks", "clutter_fit", "target_to_clutter", "shadow_length", "point_response", "scattering_centres")
CELL = (1.5, 1.5)


def response(samples_per_cell: float, weights: np.ndarray, offset: float, size: int = 64) -> np.ndarray:
    """Amplitude of a point through an aperture with these weights; a cell is 1 / bandwidth."""
    frequency = np.linspace(-0.5, 0.5, len(weights))
    place = (np.arange(size) - size // 2 - offset) / samples_per_cell
    return np.abs(np.exp(2j * np.pi * np.outer(place, frequency)) @ weights) / weights.sum()


@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.25])
@pytest.mark.parametrize("samples_per_cell", [2.0, 2.5])
def test_width_and_sidelobes_of_known_responses(samples_per_cell, offset):
    plain = response(samples_per_cell, np.ones(2001), offset)
    shape = cut_shape(plain[20:44] ** 2)
    assert shape.width_px / samples_per_cell == pytest.approx(0.8859, rel=0.005)
    assert shape.sidelobe_db == pytest.approx(-13.26, abs=0.15)
    weighted = response(samples_per_cell, taylor(2001, nbar=5, sll=35), offset)
    shape = cut_shape(weighted[20:44] ** 2)
    assert shape.width_px / samples_per_cell == pytest.approx(1.187, rel=0.005)
    assert shape.sidelobe_db == pytest.approx(-35.1, abs=1.0)


def test_only_isolated_peaks_count():
    line = response(2.0, np.ones(501), 0.0)
    chip = 100.0 * np.outer(line, line).astype(np.float32)
    assert isolated_peaks(chip**2, 1.0).tolist() == [[32, 32]]
    double = chip + np.roll(chip, 5, axis=0)
    assert len(isolated_peaks(double**2, 1.0)) == 0
    assert len(isolated_peaks(np.minimum(chip, 60.0) ** 2, 1.0)) == 0
    assert len(isolated_peaks(chip**2, 1000.0)) == 0


def test_point_response_of_a_set_and_of_noise():
    line = response(2.0, np.ones(501), 0.3)
    point = 2000.0 * np.outer(line, line)
    rng = np.random.default_rng(0)
    base = make_chips(8)
    chips = base.with_amplitude((rng.rayleigh(2.0, base.amplitude.shape) + point).astype(np.float32))
    chips = replace(chips, masks=np.where(np.ones_like(base.masks) > 0, base.masks, 0))
    scores = {s.quantity: s for s in METRICS.get("point_response")().measure(make_comparison(chips, chips)).scores}
    assert scores["width_range"].value == pytest.approx(0.8859 * 2.0 * GRID.pixel_range_m, rel=0.02)
    assert scores["width_range"].unit == "m"
    assert scores["sidelobe_cross_range"].value == pytest.approx(-13.26, abs=0.4)
    assert scores["width_distance_range"].value == pytest.approx(0.0, abs=1e-12)
    assert scores["width_range"].n == 8
    noise = base.with_amplitude(rng.rayleigh(2.0, base.amplitude.shape).astype(np.float32))
    scores = {s.quantity: s for s in METRICS.get("point_response")().measure(make_comparison(noise, chips)).scores}
    assert np.isnan(scores["width_range"].value)
    assert "no isolated peak" in scores["width_range"].note
    assert scores["peaks_per_chip_distance"].value == pytest.approx(1.0)


@pytest.mark.parametrize("length", [12, 20, 28])
def test_length_of_a_known_shadow(length):
    rng = np.random.default_rng(length)
    mean = np.full((10, 96, 96), 40.0)
    mean[:, 38:58, 30:40] = 300.0
    mean[:, 38:58, 40 : 40 + length] = 4.0
    base = make_chips(10, size=96)
    chips = base.with_amplitude((mean * rng.rayleigh(0.8, mean.shape)).astype(np.float32))
    found = shadow_lengths(chips)
    assert np.median(found) == pytest.approx(length, abs=2.0)
    comparison = make_comparison(chips, chips)
    scores = {s.quantity: s for s in METRICS.get("shadow_length")().measure(comparison).scores}
    assert scores["length"].value == pytest.approx(0.2 * np.median(found))
    height = 0.2 * np.median(found) * np.sin(np.radians(17.0))
    assert scores["implied_height"].value == pytest.approx(height)


def test_height_of_a_box_from_its_shadow():
    """A roof's far edge at height h: its image and the end of its shadow, projected to slant range."""
    depression, height, depth = np.radians(20.0), 2.4, 3.0
    edge = depth * np.cos(depression) - height * np.sin(depression)
    end = (depth + height / np.tan(depression)) * np.cos(depression)
    assert implied_height_m(np.array([end - edge]), np.array([20.0]))[0] == pytest.approx(height)


def test_extent_of_rows():
    codes = np.zeros((8, 20), dtype=np.uint8)
    assert row_extent(codes) == 0.0
    codes[2:6, 4:11] = SHADOW
    codes[3, 6] = TARGET
    assert row_extent(codes) == 7.0


def test_shadow_needs_the_direction_of_range():
    comparison = replace(make_comparison(count=8), grid=UNKNOWN_GRID)
    for score in METRICS.get("shadow_length")().measure(comparison).scores:
        assert np.isnan(score.value)
        assert "range_direction" in score.note


def spots(places: np.ndarray, levels: np.ndarray, size: int = 64) -> np.ndarray:
    """Gaussian spots."""
    row, column = np.mgrid[:size, :size]
    return sum(
        level * np.exp(-((row - r) ** 2 + (column - c) ** 2) / (2 * 0.8**2))
        for (r, c), level in zip(places, levels, strict=True)
    ).astype(np.float32)


PLACES = np.array([[20.3, 24.8], [28.0, 31.5], [35.6, 22.1], [40.2, 40.9], [24.7, 41.3]])
LEVELS = np.array([300.0, 250.0, 180.0, 120.0, 90.0])


def test_centres_are_found_to_a_fraction_of_a_pixel():
    centres = extract_centres(spots(PLACES, LEVELS), np.ones((64, 64), dtype=bool), 10.0)
    np.testing.assert_allclose(centres.place, PLACES, atol=0.02)
    inside = np.zeros((64, 64), dtype=bool)
    inside[:30] = True
    assert len(extract_centres(spots(PLACES, LEVELS), inside, 10.0)) == 3
    # 20 dB under the strongest and the floor
    assert len(extract_centres(spots(PLACES, LEVELS * [1, 1, 1, 1, 0.3]), inside, 10.0)) == 2
    assert len(extract_centres(spots(PLACES, LEVELS), inside, 100.0)) == 2


def test_match_falls_as_it_must():
    rng = np.random.default_rng(1)
    first = Centres(rng.uniform(10, 54, (15, 2)), rng.normal(40, 4, 15))
    same = match_centres(first, first, CELL)
    assert (same.f1, same.matched, same.difference_db) == (1.0, 15, 0.0)
    gain = Centres(first.place, first.level_db + 7.0)
    assert match_centres(first, gain, CELL).difference_db == pytest.approx(0.0, abs=1e-9)
    scores = []
    for jitter in (0.2, 1.0, 2.0, 4.0):
        moved = [Centres(first.place + rng.normal(0, jitter, (15, 2)), first.level_db) for _ in range(40)]
        scores.append(np.mean([match_centres(first, other, CELL).f1 for other in moved]))
    assert scores[0] > 0.99
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.3
    # P(both jitters within the cell) is 1 - exp(-r^2 / 2 s^2), a little more where another centre is near
    assert scores[1] == pytest.approx(1 - np.exp(-(1.5**2) / 2), abs=0.1)


def test_match_is_one_to_one_and_as_large_as_can_be():
    first = Centres(np.array([[10.0, 10.0], [10.0, 11.0]]), np.zeros(2))
    second = Centres(np.array([[10.0, 10.4], [10.0, 8.8]]), np.zeros(2))
    # the nearest partner of both is the same; taking it greedily would leave one alone
    assert match_centres(first, second, CELL).matched == 2
    assert match_centres(first, Centres(second.place[:1], np.zeros(1)), CELL).f1 == pytest.approx(2 / 3)
    none = Centres(np.zeros((0, 2)), np.zeros(0))
    assert match_centres(first, none, CELL).f1 == 0.0
    assert np.isnan(match_centres(none, none, CELL).f1)


def test_shift_is_found_within_its_limit():
    rng = np.random.default_rng(2)
    first = Centres(rng.uniform(10, 54, (12, 2)), np.zeros(12))
    second = Centres(first.place + np.array([2.0, -1.5]), np.zeros(12))
    assert best_shift(first, second, CELL, 3.0) == pytest.approx((2.0, -1.5))
    assert max(np.abs(best_shift(first, Centres(first.place + 9.0, np.zeros(12)), CELL, 3.0))) <= 3.0


@pytest.mark.parametrize("kind", ["same", "shifted within", "shifted beyond", "jittered"])
def test_match_with_the_prior(kind, tmp_path):
    rng = np.random.default_rng(5)
    base = make_chips(6)
    places = [rng.uniform(20, 44, (10, 2)) for _ in range(6)]
    pictures = np.stack([spots(p, np.linspace(300, 120, 10)) for p in places]) + rng.rayleigh(0.5, (6, 64, 64))
    masks = np.zeros_like(base.masks)
    masks[:, 16:48, 16:48] = TARGET
    move = {"same": 0, "shifted within": 2, "shifted beyond": 8, "jittered": 0}[kind]
    paths = []
    for k, p in enumerate(places):
        cells = np.rint(p + move + (rng.normal(0, 3.0, p.shape) if kind == "jittered" else 0)).astype(int)
        maps = np.zeros((len(MAP_NAMES), 64, 64), dtype=np.float32)
        level = 1 + 20 * np.log10(np.linspace(300, 120, 10) / 300) / CENTRES_RANGE_DB
        maps[MAP_NAMES.index("centres"), cells[:, 0], cells[:, 1]] = level
        paths.append(tmp_path / f"{k}.safetensors")
        save_features(paths[-1], GeometryPrior(np.zeros((3, 64), dtype=np.float32), maps=maps))
    chips = replace(base.with_amplitude(pictures.astype(np.float32)), masks=masks, priors=tuple(paths))
    scores = METRICS.get("scattering_centres")().measure(make_comparison(chips)).scores
    f1 = next(s for s in scores if s.quantity == "f1_prior")
    assert f1.n == 6
    if kind in ("same", "shifted within"):
        assert f1.value > 0.93
    else:
        assert f1.value < 0.6


def test_priors_on_another_grid_are_left_out_and_counted(tmp_path):
    path = tmp_path / "0.safetensors"
    maps = np.ones((len(MAP_NAMES), 32, 32), dtype=np.float32)
    save_features(path, GeometryPrior(np.zeros((3, 64), dtype=np.float32), maps=maps))
    chips = replace(make_chips(3), priors=(path, None, path))
    scores = METRICS.get("scattering_centres")().measure(make_comparison(chips)).scores
    f1 = next(s for s in scores if s.quantity == "f1_prior")
    assert np.isnan(f1.value)
    assert "2 chips left out: a prior whose maps are not on the chip's grid" in f1.note


def test_distance_of_shifted_and_of_equal_distributions():
    rng = np.random.default_rng(6)
    first, second = rng.normal(0, 1, 300), rng.normal(0, 1, 400)
    value, low, high = distance_between(first, first + 2.5, 0)
    assert value == pytest.approx(2.5, abs=0.01)
    assert low < 2.5 < high
    value, low, high = distance_between(first, second, 0)
    assert low <= value <= high
    assert value < 0.2


@pytest.fixture(scope="module")
def measured():
    """All radar metrics on controls of chips at every twelfth degree."""
    azimuth = np.repeat(np.arange(0, 360, 12.0), 2)
    reference = make_chips(60, 1, "reference", size=80, azimuth_deg=azimuth)
    gallery = make_chips(60, 3, "gallery", size=80, azimuth_deg=azimuth)
    real = make_chips(60, 2, "real half", size=80, azimuth_deg=azimuth + 0.5)
    return {
        row: {
            name: METRICS.get(name)().measure(replace(make_comparison(chips, reference, row), gallery=gallery))
            for name in RADAR
        }
        for row, chips in control_rows(real, 0)
    }


@pytest.mark.parametrize("name", RADAR)
def test_headlines_see_what_they_claim_of_target_and_aspect(name, measured):
    """Clutter of these chips is that of the row "noise", so what claims to see texture is left to real chips."""
    for real in measured["real half"][name].scores:
        claims = METRICS.get(name).sees if real.sees is None else real.sees
        if not real.headline or name in ("clutter_looks", "clutter_fit"):
            continue
        for control in set(claims) - {"class-shuffled"}:
            bad = next(s for s in measured[control][name].scores if s.quantity == real.quantity)
            worse = bad.value > real.value if real.direction == "lower" else bad.value < real.value
            assert worse, (real.quantity, control, real.value, bad.value)


def test_values_of_the_synthetic_chips(measured):
    looks = {s.quantity: s.value for s in measured["real half"]["clutter_looks"].scores}
    assert looks["enl"] == pytest.approx(1.0, abs=0.05)
    assert looks["correlation_length_range"] == pytest.approx(0.63, abs=0.02)
    fits = {s.quantity: s.value for s in measured["real half"]["clutter_fit"].scores}
    assert fits["share_best_rayleigh"] > 80.0
    assert fits["k_texture"] < 0.05
    ratios = {s.quantity: s.value for s in measured["real half"]["target_to_clutter"].scores}
    assert ratios["mean"] > 20 * np.log10(110 / 20)
    assert ratios["peak"] == pytest.approx(20 * np.log10(560 / (20 * np.sqrt(4 / np.pi))), abs=2.5)


def test_correlated_and_textured_clutter_is_told_from_noise():
    from scipy import ndimage

    def clutter(seed):
        rng = np.random.default_rng(seed)
        field = rng.normal(0, 1, (30, 64, 64)) + 1j * rng.normal(0, 1, (30, 64, 64))
        field = ndimage.gaussian_filter(field.real, (0, 1, 1)) + 1j * ndimage.gaussian_filter(field.imag, (0, 1, 1))
        texture = rng.gamma(2.0, 0.5, (30, 32, 32)).repeat(2, axis=1).repeat(2, axis=2)
        base = make_chips(30, seed)
        chips = base.with_amplitude((np.abs(field) * np.sqrt(texture) * 100).astype(np.float32))
        return replace(chips, masks=np.zeros_like(base.masks))

    reference, real = clutter(1), clutter(2)
    noise = dict(control_rows_of_clutter(real))["noise"]
    for name in ("clutter_looks", "clutter_fit"):
        good = METRICS.get(name)().measure(make_comparison(real, reference)).scores
        bad = METRICS.get(name)().measure(make_comparison(noise, reference)).scores
        for a, b in zip(good, bad, strict=True):
            if a.headline:
                assert a.high < b.low, a.quantity
    texture = next(
        s for s in METRICS.get("clutter_fit")().measure(make_comparison(real, real)).scores if s.quantity == "k_texture"
    )
    assert texture.value > 0.25


def control_rows_of_clutter(chips):
    from geodiff_sar.evaluation.controls import noise_like

    yield "noise", noise_like(chips, np.random.default_rng(0))


def test_values_of_unknown_law_are_marked():
    chips = replace(make_chips(8), remap=UNSPECIFIED)
    for name in RADAR[:4]:
        for score in METRICS.get(name)().measure(make_comparison(chips, chips)).scores:
            assert "displayed values" in score.note, (name, score.quantity)
