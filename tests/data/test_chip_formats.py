"""Chips in files of other kinds than pictures: raw MSTAR, MATLAB, SICD."""

import sys

import numpy as np
import pytest
import scipy.io

from geodiff_sar.core.errors import DataError, FileError, GeodiffError
from geodiff_sar.data.chip_set import read_chip_set
from geodiff_sar.data.formats import FORMATS, file_facts
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.phoenix import read_phoenix
from geodiff_sar.data.pixels import AMPLITUDE
from geodiff_sar.data.readers import read_samples
from phoenix_support import write_phoenix
from sicd_support import write_sicd
from support import SHARED

pytestmark = pytest.mark.filterwarnings("ignore:(read|open)_text is deprecated:DeprecationWarning")  # inside sarkit


@pytest.fixture
def complex_chip() -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.standard_normal((10, 12)) + 1j * rng.standard_normal((10, 12))).astype(np.complex64)


def test_every_format_is_registered():
    assert FORMATS.names() == ["mat", "phoenix", "picture", "sicd"]


def test_phoenix_gives_back_what_was_written(tmp_path, complex_chip):
    magnitude, phase = np.abs(complex_chip), np.angle(complex_chip) % (2 * np.pi)
    chip = read_phoenix(write_phoenix(tmp_path / "HB1.015", magnitude, phase))
    assert np.array_equal(chip.magnitude, magnitude)
    assert np.array_equal(chip.phase, phase.astype(np.float32))
    assert chip.header["TargetSerNum"] == "s7"
    assert chip.header["CenterFrequency"] == "9.60 GHz"
    assert np.array_equal(load_chip(tmp_path / "HB1.015"), magnitude)
    assert "[PhoenixHeaderVer01.04]" not in chip.header


def test_both_headers_are_skipped_whatever_their_length(tmp_path, complex_chip):
    magnitude = np.abs(complex_chip)
    write_phoenix(tmp_path / "a", magnitude, native=b"\xff" * 512, Site="x" * 700)
    assert np.array_equal(load_chip(tmp_path / "a"), magnitude)


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"NumberOfRows": "many"}, FileError, "NumberOfRows of its header is 'many'"),
        ({"NumberOfRows": "-10"}, FileError, "NumberOfRows of its header is '-10'"),
        ({"NumberOfRows": None}, FileError, "NumberOfRows of its header is ''"),
        ({"NumberOfRows": "0"}, DataError, "0 rows x 12 columns"),
        ({"NumberOfRows": "999999999"}, DataError, "999999999 rows"),
        ({"NumberOfRows": "60000", "NumberOfColumns": "60000"}, DataError, "60000 rows x 60000"),
        ({"NumberOfRows": "11"}, FileError, "is cut short"),
        ({"NumberOfRows": "9"}, FileError, "is too long"),
        ({"NumberOfRows": "20"}, DataError, "16-bit values: a full scene"),
        ({"PhoenixHeaderLength": "00020"}, FileError, "20 and 0 bytes"),
        ({"PhoenixHeaderLength": "99999999"}, FileError, "headers of at most"),
        ({"native_header_length": "1000"}, FileError, "is cut short"),
        ({"Site": "a\nno sign here"}, FileError, "line .* of its header is damaged: 'no sign here'"),
        ({"Site": "\xe9"}, FileError, "its header is damaged"),
        ({"RadarPosition": "above"}, DataError, "RadarPosition is 'above'"),
        ({"RangePixelSpacing": "wide"}, DataError, "RangePixelSpacing is 'wide'"),
        ({"MeasuredDepression": "nan"}, DataError, "MeasuredDepression is 'nan'"),
    ],
)
def test_corrupt_headers_say_what_is_wrong(tmp_path, complex_chip, changes, kind, words):
    path = write_phoenix(tmp_path / "HB1.015", np.abs(complex_chip), **changes)
    with pytest.raises(kind, match=words) as error:
        load_chip(path)
        file_facts(path)
    assert "HB1.015" in str(error.value)


def test_a_file_cut_short_anywhere_is_refused(tmp_path, complex_chip):
    path = write_phoenix(tmp_path / "HB1.015", np.abs(complex_chip))
    whole = path.read_bytes()
    for length in (25, 100, len(whole) - 8 * 120 - 5, len(whole) - 8 * 120 + 5, len(whole) - 480 + 3, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"does not end|is cut short"):
            load_chip(path)


def test_random_damage_never_escapes_as_another_error(tmp_path, complex_chip):
    path = write_phoenix(tmp_path / "HB1.015", np.abs(complex_chip))
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for place in rng.integers(0, 500, 3):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            assert load_chip(path).shape == (10, 12)
        except GeodiffError:
            refused += 1
    assert refused > 100


def test_nan_magnitudes_are_counted(tmp_path, complex_chip):
    magnitude = np.abs(complex_chip)
    magnitude[2, :3] = np.nan
    with pytest.raises(DataError, match="3 magnitudes are NaN"):
        load_chip(write_phoenix(tmp_path / "a.000", magnitude))
    with pytest.raises(DataError, match="least pixel is -1"):
        load_chip(write_phoenix(tmp_path / "b.000", np.full((4, 4), -1.0)))


def test_phoenix_describes_its_pixels(tmp_path):
    facts = file_facts(write_phoenix(tmp_path / "a.000", np.ones((4, 4)), RadarPosition="left"))
    assert facts is not None
    assert facts.remap == AMPLITUDE
    assert facts.grid.range_direction == "right"
    assert (facts.grid.pixel_range_m, facts.grid.pixel_cross_range_m) == (0.202, 0.203)
    assert (facts.grid.resolution_range_m, facts.grid.resolution_cross_range_m) == (0.301, 0.323)
    assert facts.depression_deg == 17.09375


def test_mat_files_give_the_magnitude_and_their_spacing(tmp_path, complex_chip):
    path = tmp_path / "a.mat"
    scipy.io.savemat(
        path, {"complex_img": complex_chip, "range_pixel_spacing": 0.20214, "xrange_pixel_spacing": 0.2031}
    )
    assert np.allclose(load_chip(path), np.abs(complex_chip))
    facts = file_facts(path)
    assert facts is not None
    assert (facts.remap, facts.grid.pixel_range_m, facts.grid.pixel_cross_range_m) == (AMPLITUDE, 0.202, 0.203)


def test_mat_files_that_hold_something_else(tmp_path, complex_chip):
    scipy.io.savemat(tmp_path / "other.mat", {"image": complex_chip})
    scipy.io.savemat(tmp_path / "cube.mat", {"complex_img": np.ones((2, 3, 4))})
    scipy.io.savemat(tmp_path / "text.mat", {"complex_img": np.array(["ab", "cd"])})
    for name, words in (("other", "has no matrix"), ("cube", r"shape \(2, 3, 4\)"), ("text", "'complex_img'")):
        with pytest.raises(DataError, match=words):
            load_chip(tmp_path / f"{name}.mat")
    (tmp_path / "new.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF")
    with pytest.raises(FileError, match=r"7\.3"):
        load_chip(tmp_path / "new.mat")


def test_damaged_mat_files(tmp_path, complex_chip):
    path, rng = tmp_path / "a.mat", np.random.default_rng(2)
    scipy.io.savemat(path, {"complex_img": complex_chip}, do_compression=True)
    whole = path.read_bytes()
    for length in (5, 100, 130, 150, len(whole) - 20):
        path.write_bytes(whole[:length])
        with pytest.raises((FileError, DataError)):
            load_chip(path)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[rng.integers(110, len(whole))] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            load_chip(path)
        except GeodiffError:
            continue


@pytest.mark.parametrize("kind", ["RE32F_IM32F", "RE16I_IM16I", "AMP8I_PHS8I", "AMP8I_PHS8I with table"])
def test_sicd_of_every_pixel_type(tmp_path, complex_chip, kind):
    pixel_type, table = kind.split()[0], None
    if pixel_type == "RE32F_IM32F":
        pixels, expected = complex_chip, np.abs(complex_chip)
    elif pixel_type == "RE16I_IM16I":
        pixels = np.zeros(complex_chip.shape, [("real", np.int16), ("imag", np.int16)])
        pixels["real"], pixels["imag"] = -30000, 30000
        expected = np.full(complex_chip.shape, 30000 * np.sqrt(2))
    else:
        pixels = np.zeros(complex_chip.shape, [("amp", np.uint8), ("phase", np.uint8)])
        pixels["amp"] = np.arange(120).reshape(10, 12)
        table = np.arange(256.0) ** 2 if "table" in kind else None
        expected = pixels["amp"].astype(float) ** (2 if "table" in kind else 1)
    write_sicd(tmp_path / "a.nitf", pixels, pixel_type, table=table)
    assert np.allclose(load_chip(tmp_path / "a.nitf"), expected, rtol=1e-6)


def test_sicd_keeps_the_sensor_apart(tmp_path, complex_chip):
    write_sicd(tmp_path / "a.nitf", complex_chip, azimuth=123.5, graze=17.25)
    facts = file_facts(tmp_path / "a.nitf")
    assert facts is not None
    assert (facts.sensor_azimuth_deg, facts.depression_deg) == (123.5, 17.25)
    assert (facts.band, facts.polarisation, facts.grid.range_direction) == ("X", "HH", "down")
    assert (facts.grid.pixel_range_m, facts.grid.resolution_cross_range_m) == (0.202, 0.323)


def test_sicd_that_is_damaged_or_no_sicd(tmp_path, complex_chip):
    path = tmp_path / "a.nitf"
    write_sicd(path, complex_chip)
    whole = path.read_bytes()
    for length in (200, 600, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError, match=r"a\.nitf"):
            load_chip(path)
    path.write_text("no container")
    with pytest.raises(FileError, match="does not begin like a NITF"):
        load_chip(path)


def test_sicd_without_sarkit_names_the_command(tmp_path, complex_chip, monkeypatch):
    write_sicd(tmp_path / "a.nitf", complex_chip)
    monkeypatch.setitem(sys.modules, "sarkit.sicd", None)
    with pytest.raises(FileError, match=r"pip install 'geodiff-sar\[sicd\]'"):
        load_chip(tmp_path / "a.nitf")


@pytest.mark.skipif(not (SHARED / "data/mstar_raw").is_dir(), reason="the shared data are absent")
def test_raw_mstar_chips_are_those_of_the_pictures():
    raw = read_chip_set(read_samples(SHARED / "data/mstar_raw"), "raw")
    pictures = read_samples(SHARED / "data/mstar17/linear")
    assert raw.amplitude.shape == (3, 128, 128)
    for k in range(len(raw)):
        pairs = [s for s in pictures if s.pose is not None and s.pose.azimuth_deg == raw.azimuth_deg[k]]
        same = read_chip_set([s for s in pairs if s.caption.target == raw.target[k]], "picture")
        assert len(same) == 1
        assert same.serial[0] == raw.serial[k]
        assert same.grid == raw.grid
        assert same.depression_deg[0] == raw.depression_deg[k]
        assert np.corrcoef(same.amplitude[0].ravel(), raw.amplitude[k].ravel())[0, 1] > 0.9
