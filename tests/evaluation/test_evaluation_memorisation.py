"""Copies are found, however they were disguised; real chips are not called copies."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from evaluation_support import make_chips, make_comparison
from geodiff_sar.core.errors import DataError
from geodiff_sar.data.pixels import UNKNOWN_GRID
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.metrics.memorisation import copy_threshold
from geodiff_sar.evaluation.neighbours import exact_duplicates, near_duplicates, nearest_chips
from support import SHARED


def grey(chip: np.ndarray) -> np.ndarray:
    """Whole levels up to 255."""
    return np.rint(chip * (255.0 / chip.max()))


def jpeg(chip: np.ndarray) -> np.ndarray:
    """Through JPEG of quality 75."""
    buffer = io.BytesIO()
    Image.fromarray(grey(chip).astype(np.uint8)).save(buffer, "JPEG", quality=75)
    return np.asarray(Image.open(buffer), dtype=np.float64)


def moved(chip: np.ndarray, rows: float, columns: float) -> np.ndarray:
    """Shifted, edges repeated."""
    return ndimage.shift(chip.astype(np.float64), (rows, columns), order=3, mode="nearest").clip(0)


RNG = np.random.default_rng(11)
DISGUISES = {
    "exact": lambda chip: chip,
    "moved": lambda chip: moved(chip, 4.0, -3.0),
    "moved by half pixels": lambda chip: moved(chip, 1.5, 0.5),
    "brighter": lambda chip: 3.1 * chip,
    "levels": grey,
    "jpeg": jpeg,
    "noisy": lambda chip: chip * (1 + 0.1 * RNG.normal(size=chip.shape)),
    "mirrored": lambda chip: chip[::-1],
    "mirrored and moved": lambda chip: moved(chip[::-1], -2.0, 3.0),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_copies_are_found(disguise):
    training = make_chips(60, 4, "training")
    candidate = make_chips(30, 1, "candidate")
    pixels = candidate.amplitude.copy()
    for k, source in ((3, 17), (20, 44)):
        pixels[k] = DISGUISES[disguise](training.amplitude[source])
    candidate = candidate.with_amplitude(pixels)
    expected = {("candidate-0003", "training-0017"), ("candidate-0020", "training-0044")}
    assert {(a, b) for a, b, _ in near_duplicates(candidate, training)} == expected
    comparison = replace(make_comparison(candidate), training=training)
    measurement = METRICS.get("memorisation")().measure(comparison)
    found = {(entry["id"], entry["training_id"]) for entry in measurement.details["copies"]}
    assert found == expected
    mirrored = {entry["mirrored"] for entry in measurement.details["copies"]}
    assert mirrored == {disguise.startswith("mirrored")}
    scores = {s.quantity: s for s in measurement.scores}
    assert scores["copies"].value == 2
    assert scores["share_of_copies"].value == pytest.approx(100 * 2 / 30)
    assert scores["share_of_copies"].low < 100 * 2 / 30 < scores["share_of_copies"].high


def test_new_chips_are_no_copies():
    training = make_chips(60, 4, "training")
    candidate = make_chips(30, 1, "candidate", azimuth_deg=training.azimuth_deg[:30])
    assert near_duplicates(candidate, training) == []
    measurement = METRICS.get("memorisation")().measure(replace(make_comparison(candidate), training=training))
    scores = {s.quantity: s for s in measurement.scores}
    assert scores["share_of_copies"].value == 0.0
    assert scores["distance_ratio"].value == pytest.approx(1.0, abs=0.1)
    assert 10.0 < scores["authentic"].value < 95.0
    assert measurement.details["copies"] == []
    assert len(measurement.details["nearest"]) == 20


def test_distance_is_exact():
    chips = make_chips(12, 2)
    nearest = nearest_chips(chips, chips)
    np.testing.assert_array_equal(nearest.place, np.arange(12))
    np.testing.assert_allclose(nearest.distance, 0.0, atol=1e-5)
    other = nearest_chips(chips, chips, others_only=True)
    assert (other.place != np.arange(12)).all()

    def unit(chip):
        value = chip / (chip + 4 * np.median(chip))
        value = value - value.mean()
        return value / np.linalg.norm(value)

    best = min(
        1 - float(np.fft.irfft2(np.fft.rfft2(unit(first)) * np.conj(np.fft.rfft2(unit(chips.amplitude[k])))).max())
        for k in range(1, 12)
        for first in (chips.amplitude[0], chips.amplitude[0][::-1])
    )
    assert other.distance[0] == pytest.approx(best, abs=0.02)
    assert other.distance[0] <= best + 1e-4


def test_mirrored_about_either_axis_where_range_is_not_known():
    chips = make_chips(10, 2)
    flipped = chips.with_amplitude(chips.amplitude[:, :, ::-1].copy())
    assert near_duplicates(flipped, chips) == []
    loose = replace(chips, grid=UNKNOWN_GRID)
    assert len(near_duplicates(replace(flipped, grid=UNKNOWN_GRID), loose)) == 10


def test_exact_duplicates_even_of_empty_chips():
    chips = make_chips(4, 2)
    pixels = chips.amplitude.copy()
    pixels[1] = 0.0
    first = chips.with_amplitude(pixels)
    second = make_chips(5, 3, "second").with_amplitude(np.concatenate([make_chips(3, 8).amplitude, pixels[[1, 0]]]))
    expected = [("real-0000", "second-0004"), ("real-0001", "second-0003")]
    assert exact_duplicates(first, second) == expected
    assert sorted((a, b) for a, b, _ in near_duplicates(first, second)) == expected


def test_threshold_follows_the_real_chips():
    assert copy_threshold(np.full(100, 0.9)) == 0.30
    assert copy_threshold(np.linspace(0.2, 0.4, 101)) == pytest.approx(0.75 * 0.202)


def test_bad_sets():
    with pytest.raises(DataError, match="one size"):
        nearest_chips(make_chips(3), make_chips(3, size=32))
    with pytest.raises(DataError, match="at least one other"):
        nearest_chips(make_chips(1), make_chips(1), others_only=True)
    comparison = replace(make_comparison(count=8), training=make_chips(1))
    (score,) = METRICS.get("memorisation")().measure(comparison).scores
    assert np.isnan(score.value)


@pytest.mark.skipif(not (SHARED / "data" / "mstar17").is_dir(), reason="shared/data/mstar17 is not there")
def test_real_chips_a_degree_apart_are_no_duplicates():
    """Every fourth chip of one vehicle against the three between, from whose serials and azimuths copies are then planted."""
    files = sorted((SHARED / "data" / "mstar17" / "linear").glob("T72_*"))[:240]
    pictures = np.stack([np.asarray(Image.open(f).convert("L"), dtype=np.float32) for f in files])
    pictures = np.rot90(pictures, -1, axes=(1, 2)).copy()
    base = make_chips(len(files), size=128).with_amplitude(pictures)
    first = base.take(range(0, len(files), 4))
    second = base.take([k for k in range(len(files)) if k % 4])
    assert near_duplicates(first, second) == []
    planted = second.amplitude.copy()
    planted[5] = moved(first.amplitude[7], 5, -4)
    planted[50] = jpeg(first.amplitude[30][::-1])
    found = near_duplicates(first, second.with_amplitude(planted))
    assert {a for a, _, _ in found} == {first.ids[7], first.ids[30]}


def test_duplicates_among_training_chips_do_not_hide_copies():
    among = np.concatenate([np.zeros(4), np.linspace(0.4, 0.6, 96)])
    assert 0.25 < copy_threshold(among) <= 0.30
    assert copy_threshold(np.zeros(10)) == 0.30
