"""A moved prior is the prior of a target that stands elsewhere."""

import numpy as np
import pytest

from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.geometry.options import TraceOptions
from geodiff_sar.geometry.placement import moved_maps, moved_prior
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target

RADAR = load_radar("compact-ku", ["rows=64", "columns=64"])
PIXEL = (RADAR.pixel_cross_range_m, RADAR.pixel_range_m)


def test_maps_move_towards_larger_cross_range_and_range_and_zeros_come_in():
    maps = np.zeros((1, 4, 5), dtype=np.float32)
    maps[0, 1, 2], maps[0, 3, 4] = 1.0, 2.0
    moved = moved_maps(maps, 2, -1)
    assert moved[0, 3, 1] == 1.0
    assert moved.sum() == 1.0  # the other one fell over the border
    assert (moved_maps(maps, 9, 0) == 0).all()


@pytest.mark.parametrize(("rows", "columns"), [(5, 0), (0, -4), (-3, 6)])
def test_moving_the_prior_is_moving_the_target(rows, columns):
    pose, options = Pose(40.0, 30.0), PriorOptions(trace=TraceOptions(rays=40_000))
    mesh = build_target("tank:1")
    ground = np.array([columns * PIXEL[1] / np.cos(np.radians(30.0)), rows * PIXEL[0]])
    c, s = np.cos(np.radians(40.0)), np.sin(np.radians(40.0))
    # away from the radar, and along cross-range, in the body frame
    step = ground[0] * np.array([-c, s, 0.0]) + ground[1] * np.array([s, c, 0.0])
    there = mesh.transformed(np.eye(3))
    there.vertices[:] += step
    here, beyond = (PriorTracer(one, RADAR, options).products(pose, ["HH"]).chips["HH"].prior for one in (mesh, there))
    moved = moved_prior(here, rows, columns, PIXEL)
    assert moved.coordinates is not None
    assert beyond.coordinates is not None
    centre = [np.median(prior.coordinates, axis=0) for prior in (moved, beyond)]
    assert np.allclose(*centre, atol=0.15)
    for name in ("illumination", "shadow"):
        one, other = (prior.maps[MAP_NAMES.index(name)] > 0.5 for prior in (moved, beyond))
        assert (one & other).sum() > 0.9 * (one | other).sum()
    place = moved.coordinates[:, :2] / 8.0
    assert np.allclose(moved.features[:, :2], np.clip(place, -3, 3), atol=1e-6)
    assert np.array_equal(moved.features[:, 33:], here.features[:, 33:])
