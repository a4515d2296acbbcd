"""The mirror image of a prior is the prior of the mirrored target."""

from dataclasses import replace

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.descriptors import CHANNELS
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.geometry.mirror import SIGNS, mirrored
from geodiff_sar.geometry.options import TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target


@pytest.fixture(scope="module", params=[65, 64], ids=["odd", "even"])
def pair(request):
    """Priors of a symmetric aircraft at 40 and at 320 degrees, and the rows of its chip."""
    radar = load_radar("compact-ku", [f"rows={request.param}", "columns=64"])
    options = PriorOptions(trace=TraceOptions(rays=60_000))
    tracer = PriorTracer(build_target("Cessna 208"), radar, options)
    return (*(tracer.products(Pose(a, 30.0), ["HH"]).chips["HH"].prior for a in (40.0, 320.0)), request.param)


def test_maps_are_those_of_the_mirrored_azimuth(pair):
    one, other, rows = pair
    found = mirrored(one)
    assert found.pose == other.pose
    # with an even number of rows the mirrored chip lies one row lower
    step = 1 - rows % 2
    for name in ("illumination", "shadow", "height", "body_x", "body_y"):
        k = MAP_NAMES.index(name)
        here, there = found.maps[k][: rows - step], other.maps[k][step:]
        both = (here > 0) & (there > 0)
        assert both.sum() > 0.85 * ((here > 0) | (there > 0)).sum(), name
        assert np.median(np.abs(here - there)[both]) < 0.01, name
    body_y = found.maps[MAP_NAMES.index("body_y")]
    assert np.ptp(body_y[body_y > 0]) > 0.3


def test_points_lie_at_the_other_side(pair):
    one, other, rows = pair
    found = mirrored(one)
    pixel = one.provenance["pixel_m"][0]
    shift = np.array([0.0, pixel * (1 - rows % 2), 0.0])
    for quantile in (0.1, 0.5, 0.9):
        here, there = (np.quantile(prior.coordinates, quantile, axis=0) for prior in (found, other))
        np.testing.assert_allclose(here + shift, there, atol=0.4)
    place = np.clip(found.coordinates / 8.0, -3, 3)
    np.testing.assert_allclose(found.features[:, :3], place, atol=1e-5)
    port = CHANNELS.index("normal y (port)")
    assert np.mean(found.features[:, port]) == pytest.approx(np.mean(other.features[:, port]), abs=0.1)
    assert abs(np.mean(one.features[:, port])) > 0.1


def test_twice_mirrored_is_the_first(pair):
    one, _, rows = pair
    again = mirrored(mirrored(one))
    assert again.pose == one.pose
    np.testing.assert_allclose(again.maps, one.maps, atol=1e-6)
    if rows % 2:
        np.testing.assert_allclose(again.features, one.features, atol=1e-5)
    assert (SIGNS < 0).sum() == 3 + 5


def test_features_of_unknown_origin_are_refused(pair):
    one, _, _ = pair
    for prior in (replace(one, provenance={}), replace(one, features=one.features[:, :32], coordinates=None)):
        with pytest.raises(DataError, match="how they change with their chip"):
            mirrored(prior)
