"""The place of a target on its chip is found again."""

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.alignment import align, power_over_clutter, predicted_power
from geodiff_sar.geometry.clutter import cell_area_m2
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.geometry.options import SurfaceOptions, TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target

RADAR = load_radar("mstar-x", ["rows=96", "columns=96"])
CLUTTER = 10 ** (RADAR.sigma0_db / 10) * cell_area_m2(RADAR, np.cos(np.radians(17.0)))


@pytest.fixture(scope="module")
def products():
    """Simulated chips of one vehicle round the circle."""
    trace = TraceOptions(rays=40_000, surface=SurfaceOptions(diffuse=0.16))
    tracer = PriorTracer(build_target("tank:1"), RADAR, PriorOptions(trace=trace))
    return [tracer.products(Pose(azimuth, 17.0), ["HH"], 3).chips["HH"] for azimuth in np.arange(10.0, 360.0, 24.0)]


def test_known_moves_are_found(products):
    rng = np.random.default_rng(0)
    errors, gains = [], []
    for chip in products:
        rows, columns = rng.integers(-7, 8, 2)
        moved = np.roll(np.abs(chip.image), (rows, columns), (0, 1)).astype(np.float64)
        found = align(moved, chip.prior.maps, CLUTTER, 8, "chip")
        errors.append(np.hypot(found.rows - rows, found.columns - columns))
        gains.append(found.score - found.unmoved)
        assert found.score <= 1.0
    assert np.median(errors) < 1.0
    assert np.mean(np.array(errors) <= 2.0) >= 0.8
    assert min(gains) >= 0.0


def test_gain_plays_no_part_and_the_border_is_noticed(products):
    chip = products[0]
    image = np.abs(chip.image).astype(np.float64)
    assert align(image, chip.prior.maps, CLUTTER, 6, "chip") == align(1000 * image, chip.prior.maps, CLUTTER, 6, "chip")
    beyond = align(np.roll(image, 12, 1), chip.prior.maps, CLUTTER, 4, "chip")
    assert beyond.at_border


def test_prediction_is_one_on_lit_ground_and_bright_on_the_target(products):
    maps = products[0].prior.maps
    power = predicted_power(maps, CLUTTER)
    lit = (maps[MAP_NAMES.index("shadow")] == 0) & (maps[MAP_NAMES.index("illumination")] == 0)
    assert np.median(power[lit]) == pytest.approx(1.0, abs=0.01)
    assert np.median(power[maps[MAP_NAMES.index("illumination")] > 0]) > 2.0
    level = power_over_clutter(np.abs(products[0].image).astype(np.float64), maps, 4, "chip")
    assert level[lit].mean() == pytest.approx(1.0, abs=0.3)


def test_what_cannot_be_aligned_is_refused(products):
    maps = products[0].prior.maps
    with pytest.raises(DataError, match="grid of their chip"):
        align(np.ones((64, 96)), maps, CLUTTER, 4, "chip")
    with pytest.raises(DataError, match="a quarter of the chip"):
        align(np.ones((96, 96)), maps, CLUTTER, 30, "chip")
    with pytest.raises(DataError, match="black"):
        align(np.zeros((96, 96)), maps, CLUTTER, 4, "chip")
    with pytest.raises(DataError, match="no clutter"):
        align(np.ones((96, 96)), np.ones_like(maps), CLUTTER, 4, "chip")
