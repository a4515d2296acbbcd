import numpy as np
import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.scattering_centres import AIRFRAMES, build_centres
from geodiff_sar.data.simulated import PIXEL_M, radar_frame, random_chips, simulate_chip, write_chips


def test_frame_conventions():
    point = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # nose, port, up
    slant, cross, toward = radar_frame(point, Pose(0.0, 30.0))
    assert slant == pytest.approx([-np.cos(np.pi / 6), 0.0, -0.5])  # nose and height lie nearer to the radar
    assert cross == pytest.approx([0.0, 1.0, 0.0])
    assert np.linalg.norm(toward) == pytest.approx(1.0)
    slant, _, _ = radar_frame(point, Pose(90.0, 30.0))
    assert slant[1] == pytest.approx(np.cos(np.pi / 6))  # radar on starboard: port is far


def test_same_arguments_same_bits_and_azimuth_matters():
    one = simulate_chip("Cessna 208", Pose(20.0, 35.0), seed=3)
    assert np.array_equal(one.amplitude, simulate_chip("Cessna 208", Pose(20.0, 35.0), seed=3).amplitude)
    other = simulate_chip("Cessna 208", Pose(80.0, 35.0), seed=3)
    assert not np.array_equal(one.amplitude, other.amplitude)
    assert one.prior.features.shape == (192, 64)


def test_wing_line_lies_at_its_slant_range():
    chip = simulate_chip("Cessna 208", Pose(0.0, 35.0), seed=0)
    centres = build_centres("Cessna 208")
    slant, _, _ = radar_frame(centres.position, Pose(0.0, 35.0))
    frame = AIRFRAMES["Cessna 208"]
    wing = (np.abs(centres.position[:, 1]) > 3) & (centres.position[:, 2] > frame.wing_z) & (centres.lobe_rad == 0.07)
    expected = slant[wing].mean() / PIXEL_M + 64
    rows = np.r_[24:50, 78:104]
    assert abs(int(chip.amplitude[rows].mean(axis=0).argmax()) - expected) < 2.5


def test_unknown_target_and_missing_depression():
    with pytest.raises(OptionError, match="Boeing"):
        simulate_chip("Boeing", Pose(0.0, 35.0))
    with pytest.raises(OptionError, match="depression"):
        simulate_chip("Cessna 208", Pose(0.0))


def test_written_set_is_read_back(tmp_path):
    chips = random_chips(4, seed=2, size=32)
    write_chips(tmp_path, chips)
    samples = read_samples(tmp_path)
    assert [s.caption for s in samples] == [c.caption for c in chips]
    assert samples[0].pose is not None
    assert samples[0].pose.depression_deg == chips[0].pose.depression_deg
