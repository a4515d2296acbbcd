"""Where a target stands is learned from some chips and holds for others."""

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.placing import Placement, fit_placement
from geodiff_sar.geometry.look import look_from, slant_and_cross_range

TRUE = Placement(0.8, -0.2, -0.3, 0.6)


def test_a_point_of_the_body_moves_as_the_radar_goes_round():
    for azimuth in (0.0, 70.0, 200.0):
        pose = Pose(azimuth, 17.0)
        slant, cross = slant_and_cross_range(np.array([[0.8, -0.2, 0.0]]), look_from(pose))
        assert TRUE.at(pose) == pytest.approx((float(cross[0]) - 0.3, float(slant[0]) + 0.6))


def test_the_four_numbers_are_found_in_spite_of_outliers():
    rng = np.random.default_rng(0)
    poses = [Pose(float(azimuth), 17.0) for azimuth in range(0, 360, 6) if not 60 <= azimuth < 90]
    moves = np.array([TRUE.at(pose) for pose in poses]) + rng.normal(0, 0.1, (len(poses), 2))
    moves[::11] += 1.5
    found = fit_placement(poses, moves, "T72")
    for name in ("ahead_m", "port_m", "cross_range_m", "slant_range_m"):
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), abs=0.08)
    unseen = Pose(75.0, 17.0)
    assert found.at(unseen) == pytest.approx(TRUE.at(unseen), abs=0.1)


def test_few_chips_teach_nothing():
    with pytest.raises(DataError, match="at least 8 chips"):
        fit_placement([Pose(10.0, 17.0)] * 7, np.zeros((7, 2)), "T72")
