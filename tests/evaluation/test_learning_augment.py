"""Augmentation: what it does to pixels, and that labels follow."""

from dataclasses import replace

import numpy as np
import pytest

from geodiff_sar.data.pixels import AMPLITUDE, UNKNOWN_GRID, PixelRemap
from geodiff_sar.evaluation.learning.augment import NO_AUGMENTATION, AugmentOptions, augment, may_mirror
from geodiff_sar.evaluation.learning.heads import AzimuthHead, ClassHead, SectorHead
from geodiff_sar.evaluation.learning.surroundings import Surroundings
from learning_support import bar_chips

MIRROR_ONLY = NO_AUGMENTATION.model_copy(update={"mirror": True})
SHIFT_ONLY = NO_AUGMENTATION.model_copy(update={"shift": 4})


def _ramp(count: int = 64) -> np.ndarray:
    """Values that tell every pixel's row and column."""
    return np.tile(np.arange(12 * 10, dtype=np.float32).reshape(12, 10), (count, 1, 1))


def test_without_augmentation_nothing_changes():
    chips, azimuth = augment(
        _ramp(3), np.array([1.0, 2.0, 3.0]), NO_AUGMENTATION, AMPLITUDE, True, np.random.default_rng(0)
    )
    assert np.array_equal(chips, _ramp(3))
    assert azimuth.tolist() == [1.0, 2.0, 3.0]


def test_mirror_flips_rows_and_turns_azimuth_together():
    asked = np.linspace(0, 350, 64)
    chips, azimuth = augment(_ramp(), asked, MIRROR_ONLY, AMPLITUDE, True, np.random.default_rng(0))
    flipped = np.array([np.array_equal(chip, _ramp(1)[0, ::-1]) for chip in chips])
    kept = np.array([np.array_equal(chip, _ramp(1)[0]) for chip in chips])
    assert (flipped ^ kept).all()
    assert 16 < flipped.sum() < 48
    assert np.allclose(azimuth[kept], asked[kept])
    assert np.allclose(azimuth[flipped], (360.0 - asked[flipped]) % 360.0)


def test_a_mirrored_bar_is_the_bar_of_the_mirrored_azimuth():
    """The rule 360 - azimuth on chips whose azimuth is known by construction: mirrored pixels give the mirrored direction."""
    chips = bar_chips(40, 0, targets=("long",))
    pixels, azimuth = augment(
        chips.amplitude, chips.azimuth_deg, MIRROR_ONLY, AMPLITUDE, may_mirror(chips), np.random.default_rng(1)
    )
    assert not np.allclose(azimuth, chips.azimuth_deg)
    rows, columns = np.mgrid[:32, :32] - 15.5
    weight = np.maximum(pixels - 80.0, 0.0)  # the nose is brighter, so the centre of brightness lies towards it
    seen = np.rad2deg(np.arctan2((weight * rows).sum((1, 2)), (weight * columns).sum((1, 2))))
    assert np.abs((seen - azimuth + 180) % 360 - 180).max() < 25.0


def test_mirror_needs_a_known_direction_of_range():
    chips = bar_chips(8, 0)
    assert may_mirror(chips)
    assert not may_mirror(replace(chips, grid=UNKNOWN_GRID))
    same, _ = augment(chips.amplitude, chips.azimuth_deg, MIRROR_ONLY, AMPLITUDE, False, np.random.default_rng(0))
    assert np.array_equal(same, chips.amplitude)


def test_shift_moves_by_whole_pixels_and_reflects_the_edge():
    chips, _ = augment(_ramp(), np.zeros(64), SHIFT_ONLY, AMPLITUDE, False, np.random.default_rng(0))
    seen = set()
    for chip in chips:
        # the middle pixel's value tells where the window lies; the far corner of the source must not wrap round
        row, column = divmod(int(chip[6, 5]), 10)
        seen.add((row - 6, column - 5))
        padded = np.pad(_ramp(1)[0], 4, mode="reflect")
        top, left = 4 + row - 6, 4 + column - 5
        assert np.array_equal(chip, padded[top : top + 12, left : left + 10])
    assert len(seen) > 20


@pytest.mark.parametrize("exponent", [1.0, 0.5])
def test_speckle_has_the_stated_looks_on_intensity(exponent: float):
    options = NO_AUGMENTATION.model_copy(update={"speckle": 1.0, "looks": 5.0})
    flat = np.full((8, 64, 64), 3.0, dtype=np.float32)
    chips, _ = augment(
        flat, np.zeros(8), options, PixelRemap(kind="power", exponent=exponent), False, np.random.default_rng(0)
    )
    intensity = (chips / 3.0).astype(np.float64) ** (2.0 / exponent)
    assert intensity.mean() == pytest.approx(1.0, abs=0.01)
    assert intensity.mean() ** 2 / intensity.var() == pytest.approx(5.0, rel=0.03)


def test_gain_is_one_factor_for_a_chip_within_its_limit():
    options = NO_AUGMENTATION.model_copy(update={"gain_db": 3.0})
    flat = np.ones((200, 4, 4), dtype=np.float32)
    chips, _ = augment(flat, np.zeros(200), options, AMPLITUDE, False, np.random.default_rng(0))
    assert np.ptp(chips, axis=(1, 2)).max() == 0
    gain = 20 * np.log10(chips[:, 0, 0])
    assert 2.5 < gain.max() <= 3.001
    assert -3.001 <= gain.min() < -2.5


def test_gain_in_decibels_is_a_step_of_the_values():
    options = NO_AUGMENTATION.model_copy(update={"gain_db": 3.0})
    law = PixelRemap(kind="db", range_db=51.0)  # five grey levels to a decibel
    values = np.tile(np.array([[0.0, 2.0, 100.0, 200.0]], dtype=np.float32), (50, 1, 1))
    chips, _ = augment(values, np.zeros(50), options, law, False, np.random.default_rng(0))
    step = chips[:, 0, 2] - 100.0
    assert np.allclose(chips[:, 0, 3] - 200.0, step, atol=1e-3)
    assert 12.0 < np.abs(step).max() <= 15.01
    assert (chips[:, 0, 0] == 0).all()
    assert chips.min() == 0
    assert np.allclose(
        20 * np.log10(law.to_amplitude(chips[:, 0, 2]) / law.to_amplitude(values[:, 0, 2])), step / 5, atol=1e-3
    )


def test_same_generator_same_chips():
    chips = bar_chips(8, 0)
    first, second = (
        augment(chips.amplitude, chips.azimuth_deg, AugmentOptions(), AMPLITUDE, True, np.random.default_rng(7))
        for _ in range(2)
    )
    assert np.array_equal(first[0], second[0])
    assert np.array_equal(first[1], second[1])


def test_heads_follow_the_azimuth_after_augmentation():
    index = np.array([0, 1])
    assert SectorHead(30.0).targets(index, np.array([10.0, 350.0])).argmax(1).tolist() == [0, 11]
    assert ClassHead([1, 0], 2).targets(index, np.array([10.0, 350.0])).tolist() == [[0.0, 1.0], [1.0, 0.0]]
    targets = AzimuthHead(72, 6.0).targets(index, np.array([2.5, 360.0]))
    assert np.allclose(targets.sum(axis=1), 1.0)
    assert targets[0].argmax() == 0
    assert targets[1, 0] == pytest.approx(targets[1, 71])  # 360 degrees lies between the last bin and the first


def test_smoothing_spreads_its_share_over_all_values():
    smooth = ClassHead([2], 4, 0.2).targets(np.array([0]), np.array([0.0]))
    assert smooth[0] == pytest.approx([0.05, 0.05, 0.85, 0.05])


def test_surroundings_are_exchanged_and_targets_stay():
    """The clutter of every chip has a level of its own: after the exchange the level says nothing of the chip."""
    chips = bar_chips(60, 0, targets=("long",))
    level = np.linspace(10.0, 30.0, 60, dtype=np.float32)
    marked = chips.with_amplitude(np.where(chips.amplitude > 80, chips.amplitude, level[:, None, None]))
    surroundings = Surroundings(marked, seed=0)
    assert surroundings.usable.all()
    index, rng = np.arange(60), np.random.default_rng(3)
    changed = surroundings.exchanged(marked.amplitude, index, 0.5, rng)
    corner = changed[:, 0, 0]
    moved = corner != level
    assert 15 < moved.sum() < 45
    assert abs(np.corrcoef(corner[moved], level[moved])[0, 1]) < 0.5
    assert set(corner.tolist()) <= set(level.tolist())
    bright = marked.amplitude > 80
    assert np.array_equal(changed[bright], marked.amplitude[bright])
    whole = surroundings.clutter[moved]
    assert np.all(np.ptp(np.where(whole, changed[moved], corner[moved][:, None, None]), axis=(1, 2)) == 0)


def test_chips_without_a_target_keep_their_surroundings():
    chips = bar_chips(8, 0)
    rng = np.random.default_rng(0)
    flat = chips.with_amplitude(rng.rayleigh(20.0, chips.amplitude.shape).astype(np.float32))
    flat = replace(flat, masks=None)
    surroundings = Surroundings(flat, seed=0)
    assert not surroundings.usable.any()
    assert np.array_equal(surroundings.exchanged(flat.amplitude, np.arange(8), 1.0, rng), flat.amplitude)
