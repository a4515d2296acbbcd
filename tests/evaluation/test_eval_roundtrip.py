import io

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.evaluation.roundtrip import measure_roundtrip

REMAP = AmplitudeRemap()


def speckle(looks: int, seed: int, chips: int = 6) -> np.ndarray:
    """Amplitudes 0..255 of homogeneous clutter of ``looks`` looks."""
    intensity = np.random.default_rng(seed).gamma(looks, 1.0 / looks, (chips, 96, 96))
    return np.clip(40 * np.sqrt(intensity), 0, 255).astype(np.float32)


def measured(original: np.ndarray, decoded: np.ndarray, numbers: int = 2304):
    everywhere = np.ones(original.shape, dtype=bool)
    return measure_roundtrip(
        REMAP.to_model(original), REMAP.to_model(decoded), original, decoded, everywhere, numbers
    ).table()


def test_a_perfect_autoencoder():
    chips = speckle(1, 1)
    table = measured(chips, chips)
    assert table["psnr_db"] > 100
    assert table["enl"] == pytest.approx(1.0, abs=0.05)
    assert (table["enl_ratio"], table["enl_within_15_percent"]) == (1.0, 1.0)
    assert table["histogram_distance"] == 0.0
    assert table["deviation_ratio"] == 1.0


def test_averaged_speckle_has_more_looks_and_another_histogram():
    table = measured(speckle(1, 1), speckle(4, 2))
    assert table["enl_ratio"] == pytest.approx(4.0, rel=0.1)
    assert table["enl_within_15_percent"] == 0.0
    assert table["histogram_distance"] > 0.25
    assert table["deviation_ratio"] < 0.7


def test_fresh_speckle_of_the_same_law_keeps_statistics_but_not_pixels():
    table = measured(speckle(1, 1), speckle(1, 2))
    assert table["enl_ratio"] == pytest.approx(1.0, abs=0.1)
    assert table["histogram_distance"] < 0.1
    assert table["psnr_db"] < 18


def test_psnr_and_the_jpeg_of_the_same_size():
    chips = speckle(1, 4, chips=2)[:, :64, :64]
    model = REMAP.to_model(chips)
    table = measure_roundtrip(model, model + np.float32(0.02), chips, chips, np.ones(chips.shape, bool), 700).table()
    assert table["psnr_db"] == pytest.approx(10 * np.log10(4 / 0.02**2), abs=0.01)
    noisy = REMAP.to_model(speckle(1, 3, chips=1)[:, :64, :64])
    picture = Image.fromarray(np.rint((noisy[0] + 1) * 127.5).astype(np.uint8))
    sizes = []
    for quality in range(1, 101):
        buffer = io.BytesIO()
        picture.save(buffer, format="JPEG", quality=quality, optimize=True)
        sizes.append((len(buffer.getvalue()), buffer))
    size, buffer = max(((s, b) for s, b in sizes if s <= 1500), key=lambda pair: pair[0])
    decoded = np.asarray(Image.open(buffer), dtype=np.float32) / 127.5 - 1
    wanted = 10 * np.log10(4 / np.mean((decoded.astype(np.float64) - noisy[0]) ** 2))
    one = REMAP.to_amplitude(noisy)
    found = measure_roundtrip(noisy, noisy, one, one, np.ones(one.shape, bool), 1500).table()["jpeg_psnr_db"]
    assert size <= 1500
    assert found == pytest.approx(wanted, abs=0.01)
