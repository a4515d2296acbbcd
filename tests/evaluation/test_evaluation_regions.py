"""Target, shadow and clutter found in pixels, and chips reduced to one of them."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation_support import CLUTTER_MEAN, make_chips
from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import CLUTTER, SHADOW, TARGET
from geodiff_sar.data.pixels import UNSPECIFIED, PixelRemap
from geodiff_sar.evaluation.radar_values import amplitude_of, law_note, spread_amplitude_of
from geodiff_sar.evaluation.regions import (
    fill_with_clutter,
    find_regions,
    fixed_clutter_region,
    segment,
    target_only,
)


def overlap(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Intersection over union per chip."""
    return (found & true).sum(axis=(1, 2)) / (found | true).sum(axis=(1, 2))


def test_masks_are_taken_as_they_are_and_clutter_keeps_away():
    chips = make_chips(6)
    regions = find_regions(chips)
    assert not regions.estimated
    np.testing.assert_array_equal(regions.codes, chips.masks)
    assert not (regions.clutter & (chips.masks != CLUTTER)).any()
    edge = np.roll(chips.masks != CLUTTER, 2, axis=1)
    assert not (regions.clutter & edge).any()
    assert regions.clutter.mean() > 0.5


def test_regions_found_in_pixels_lie_on_the_true_ones():
    chips = make_chips(40, size=96)
    regions = find_regions(chips, use_masks=False)
    assert regions.estimated
    assert np.median(overlap(regions.codes == TARGET, chips.masks == TARGET)) > 0.7
    assert np.median(overlap(regions.codes == SHADOW, chips.masks == SHADOW)) > 0.6


def test_shadow_lies_on_the_far_side():
    chips = make_chips(20, size=96)
    towards = segment(chips.amplitude[:, :, ::-1].copy(), range_known=True)
    anywhere = segment(chips.amplitude[:, :, ::-1].copy(), range_known=False)
    assert (anywhere == SHADOW).any(axis=(1, 2)).mean() > 0.9
    # in mirrored chips the dark part is between radar and target, where no shadow can be
    assert (towards == SHADOW).any(axis=(1, 2)).mean() < 0.3


def test_clutter_alone_has_neither_target_nor_shadow():
    noise = np.random.default_rng(3).rayleigh(20.0, (20, 64, 64)).astype(np.float32)
    assert (segment(noise, True) == CLUTTER).all()


def test_fixed_region_is_clutter_in_every_chip():
    chips = make_chips(30)
    keep = fixed_clutter_region(chips)
    assert keep.shape == (64, 64)
    assert not (chips.masks[:, keep] != CLUTTER).any()
    assert 0.2 < keep.mean() < 0.9


def test_filling_leaves_clutter_only():
    chips = make_chips(30)
    keep = fixed_clutter_region(chips)
    filled = fill_with_clutter(chips.amplitude, keep, np.random.default_rng(0))
    np.testing.assert_array_equal(filled[:, keep], chips.amplitude[:, keep])
    for chip, source in zip(filled, chips.amplitude, strict=True):
        assert np.isin(chip[~keep], source[keep]).all()
    assert filled[:, ~keep].mean() == pytest.approx(CLUTTER_MEAN, rel=0.02)
    # neighbouring pixels come from neighbouring pixels
    textured = np.repeat(np.repeat(chips.amplitude[:, ::4, ::4], 4, axis=1), 4, axis=2)
    inside = fill_with_clutter(textured, keep, np.random.default_rng(0))[:, 24:40, 24:40]
    assert (np.diff(inside, axis=2) == 0).mean() > 0.6


def test_too_little_clutter_is_refused():
    keep = np.zeros((64, 64), dtype=bool)
    keep[0, :40] = True
    with pytest.raises(DataError, match="clutter"):
        fill_with_clutter(make_chips(2).amplitude, keep, np.random.default_rng(0))


def test_target_only():
    chips = make_chips(4)
    alone = target_only(chips.amplitude, chips.masks)
    assert (alone[chips.masks != TARGET] == 0).all()
    np.testing.assert_array_equal(alone[chips.masks == TARGET], chips.amplitude[chips.masks == TARGET])


def test_amplitude_follows_the_law_and_unknown_laws_are_named():
    chips = make_chips(3)
    root = replace(chips, amplitude=np.sqrt(chips.amplitude), remap=PixelRemap(kind="power", exponent=0.5))
    np.testing.assert_allclose(amplitude_of(root), chips.amplitude, rtol=1e-5)
    assert law_note(root) == ""
    unknown = replace(chips, remap=UNSPECIFIED)
    np.testing.assert_array_equal(amplitude_of(unknown), chips.amplitude)
    assert "displayed values" in law_note(unknown)


def test_grey_levels_are_spread_over_their_cells():
    rng = np.random.default_rng(5)
    fine = rng.rayleigh(3.0, (4, 64, 64)).astype(np.float32)
    grey = make_chips(4).with_amplitude(np.rint(fine))
    spread = spread_amplitude_of(grey, 0)
    assert (spread > 0).all()
    assert np.abs(spread - np.rint(fine)).max() <= 0.5
    # the variance of ln I of single-look speckle, pi^2 / 6, nearly survives levels of a quarter of the mean
    assert np.log(spread**2).var() == pytest.approx(np.pi**2 / 6, rel=0.1)
    np.testing.assert_array_equal(spread_amplitude_of(grey.with_amplitude(fine), 0), fine)
