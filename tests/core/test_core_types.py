import numpy as np
import pytest

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.types import GeometryPrior, Pose, RadarParams


@pytest.mark.parametrize("azimuth", [-1.0, 360.0])
def test_azimuth_outside_the_circle(azimuth):
    with pytest.raises(OptionError, match="azimuth"):
        Pose(azimuth)


def test_resolution_follows_from_bandwidth_and_aperture():
    radar = RadarParams(15.2e9, 1e9, 5.9)
    assert radar.range_resolution_m == pytest.approx(0.1499, abs=1e-4)
    assert radar.cross_range_resolution_m == pytest.approx(0.0958, abs=1e-4)


def test_prior_refuses_non_finite_and_mismatched_arrays():
    with pytest.raises(DataError, match="NaN"):
        GeometryPrior(np.full((2, 4), np.nan, dtype=np.float32))
    with pytest.raises(DataError, match="coordinates"):
        GeometryPrior(np.zeros((2, 4), dtype=np.float32), np.zeros((3, 3), dtype=np.float32))
