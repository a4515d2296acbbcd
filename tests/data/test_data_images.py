import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.buckets import BucketOptions, check_grain, choose_bucket, fit_to_bucket, make_buckets
from geodiff_sar.data.image import load_chip, to_grey8
from geodiff_sar.data.remap import AmplitudeRemap


@pytest.mark.parametrize("exponent", [0.25, 0.5, 1.0, 2.0])
def test_remap_is_inverted_to_the_grey_level(exponent):
    remap = AmplitudeRemap(exponent=exponent)
    levels = np.arange(256, dtype=np.float32)
    model = remap.to_model(levels)
    assert model.min() == -1.0
    assert model.max() == 1.0
    assert (np.diff(model) > 0).all()
    assert np.abs(remap.to_amplitude(model) - levels).max() < 0.05
    assert AmplitudeRemap(**remap.record()) == remap


def test_remap_clips_above_its_peak():
    remap = AmplitudeRemap(peak=100.0)
    assert remap.to_amplitude(remap.to_model(np.array([150.0], dtype=np.float32)))[0] == pytest.approx(100.0)


def test_published_buckets():
    expected = {(128, 384), (128, 448), (128, 512), (192, 320), (256, 256)}
    expected |= {(h, w) for w, h in expected}
    assert set(make_buckets((256, 256), 128, 512, 64)) == expected
    assert choose_bucket((194, 282), sorted(expected)) == (192, 320)


def test_fitting_keeps_aspect_and_centre():
    rows, columns = np.mgrid[0:282, 0:194]
    chip = (rows * 0 + columns).astype(np.float32)
    fitted, size, crop = fit_to_bucket(chip, 192, 320)
    assert fitted.shape == (320, 192)
    assert size == (194, 282)
    assert crop == (14, 0, 206, 320)
    assert fitted.mean() == pytest.approx(chip.mean(), abs=0.5)


def test_grain_is_checked():
    with pytest.raises(OptionError, match="multiple of 16"):
        check_grain(24, (128, 128), 16)
    with pytest.raises(OptionError, match="resolution"):
        check_grain(16, (130, 128), 16)


def test_chips_of_every_kind(tmp_path):
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / "rgb.png")
    Image.fromarray(grey.astype(np.uint16) * 100).save(tmp_path / "deep.png")
    assert np.array_equal(load_chip(tmp_path / "grey.png"), load_chip(tmp_path / "rgb.png"))
    assert load_chip(tmp_path / "deep.png").max() == 25500
    assert np.array_equal(to_grey8(load_chip(tmp_path / "grey.png")), grey)


def test_what_is_not_a_chip(tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(FileError, match=r"text\.png.*not a readable picture"):
        load_chip(tmp_path / "text.png")
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(tmp_path / "whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    with pytest.raises(FileError, match="not a readable picture"):
        load_chip(tmp_path / "cut.png")
    colour = np.zeros((8, 8, 3), np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "colour.png")
    with pytest.raises(DataError, match="colour"):
        load_chip(tmp_path / "colour.png")


@pytest.mark.parametrize(("value", "words"), [(np.nan, "1 pixels are NaN"), (-1.0, "least pixel is -1")])
def test_amplitudes_are_finite_and_not_negative(tmp_path, value, words):
    chip = np.ones((8, 8), np.float32)
    chip[2, 3] = value
    Image.fromarray(chip).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match=words) as error:
        load_chip(tmp_path / "a.tiff")
    assert "a.tiff" in str(error.value)


def test_impossible_buckets():
    for wrong in ({"resolution": [0, 0]}, {"resolution": [-32, 32]}, {"min_bucket_reso": 64, "max_bucket_reso": 32}):
        with pytest.raises(ValueError, match=r"greater than or equal to 8|above max_bucket_reso"):
            BucketOptions.model_validate(wrong)


def test_bucket_sides_are_multiples_of_the_step_and_the_published_rule_chooses():
    found = make_buckets((256, 256), 128, 500, 64)
    assert all(width % 64 == 0 and height % 64 == 0 for width, height in found)
    assert choose_bucket((79, 100), [(1, 1), (3, 5)]) == (3, 5)  # |0.79 - 0.6| < |0.79 - 1|, though not in logarithms
