import numpy as np
import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.simulated import ChipSpec, simulate_chip, simulate_chips, write_chips


def test_same_specification_same_bits_and_azimuth_matters():
    spec = ChipSpec("Cessna 208", Pose(20.0, 35.0), seed=3)
    one = simulate_chip(spec)
    assert np.array_equal(one.amplitude, simulate_chip(spec).amplitude)
    other = simulate_chip(ChipSpec("Cessna 208", Pose(80.0, 35.0), seed=3))
    assert not np.array_equal(one.amplitude, other.amplitude)
    assert one.prior.features.shape == (256, 64)
    assert one.prior.maps is not None
    assert one.prior.maps.shape[1:] == one.amplitude.shape
    assert str(one.caption) == "SAR image,Cessna 208,Ku-band,High,HH-Polarization,20.0"


def test_wing_line_lies_at_its_slant_range():
    chip = simulate_chip(ChipSpec("Cessna 208", Pose(0.0, 35.0)))
    rows = np.r_[24:50, 78:104]  # outside the fuselage
    bright = int(chip.amplitude[rows].mean(axis=0).argmax())
    # high wing, its leading edge 2.6 m ahead of the middle and 2.8 m up: nearer than the scene centre by about 3.7 m
    assert abs((bright - 64) * 0.18 + 3.7) < 0.5


def test_several_at_a_time_are_the_same_as_one_by_one():
    specs = [ChipSpec("tank:3", Pose(azimuth, 30.0), polarisation="VV", size=32) for azimuth in (0.0, 40.0, 200.0)]
    together = simulate_chips(specs, workers=3)
    for spec, chip in zip(specs, together, strict=True):
        assert np.array_equal(simulate_chip(spec).amplitude, chip.amplitude)


def test_unknown_target_band_and_missing_depression():
    with pytest.raises(OptionError, match="Boeing"):
        simulate_chip(ChipSpec("Boeing", Pose(0.0, 35.0)))
    with pytest.raises(OptionError, match="depression"):
        simulate_chip(ChipSpec("Cessna 208", Pose(0.0)))
    with pytest.raises(OptionError, match="band"):
        simulate_chip(ChipSpec("Cessna 208", Pose(0.0, 35.0), band="L"))


def test_written_set_is_read_back(tmp_path):
    chips = simulate_chips([ChipSpec("truck:1", Pose(azimuth, 30.5), size=32) for azimuth in (0.0, 90.0, 180.0)])
    write_chips(tmp_path, chips)
    samples = read_samples(tmp_path)
    assert [s.caption for s in samples] == [c.caption for c in chips]
    assert samples[0].pose is not None
    assert samples[0].pose.depression_deg == chips[0].pose.depression_deg
