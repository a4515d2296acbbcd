"""The SAR encoder: what it learns from, and that its features move where chips differ."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.spaces import SpaceOptions, make_space
from geodiff_sar.evaluation.spaces.sar import LIGHT, SarEncoderOptions, train_sar_encoder
from learning_support import bar_chips

SHORT = SarEncoderOptions(fit=FitOptions(steps=30, batch_size=16, augment=LIGHT))


def test_features_tell_targets_apart_and_are_scaled(tmp_path: Path):
    chips, held = bar_chips(96, 0), bar_chips(48, 1)
    space = train_sar_encoder(chips, SHORT, tmp_path, seed=0)
    known, seen = space.extract(chips.amplitude), space.extract(held.amplitude)
    assert (known.astype(float) ** 2).mean() == pytest.approx(1.0, rel=1e-3)
    distance = np.linalg.norm(seen[:, None] - known[None], axis=2)
    nearest = [chips.target[k] == t for k, t in zip(distance.argmin(axis=1), held.target, strict=True)]
    assert np.mean(nearest) > 0.8
    again = train_sar_encoder(chips, SHORT, tmp_path, seed=0)
    assert again.fingerprint == space.fingerprint
    assert again.name == f"sar-encoder {space.fingerprint[:8]}"
    assert train_sar_encoder(chips, SHORT, tmp_path, seed=1).fingerprint != space.fingerprint


def test_level_and_texture_move_the_features(tmp_path: Path):
    """A set that differs only in its level, or only in its speckle, lies elsewhere than another draw of the same set."""
    chips, held = bar_chips(96, 0), bar_chips(96, 1)
    space = train_sar_encoder(chips, SHORT, tmp_path, seed=0)

    def centre(amplitude: np.ndarray) -> np.ndarray:
        return space.extract(amplitude.astype(np.float32)).mean(axis=0)

    own = np.linalg.norm(centre(chips.amplitude) - centre(held.amplitude))
    brighter = np.linalg.norm(centre(chips.amplitude) - centre(held.amplitude * 1.5))
    smoother = (held.amplitude + np.roll(held.amplitude, 1, 1) + np.roll(held.amplitude, 1, 2)) / 3
    assert brighter > 2 * own
    assert np.linalg.norm(centre(chips.amplitude) - centre(smoother)) > 2 * own


def test_it_learns_what_the_labels_allow():
    chips = bar_chips(24, 0)
    short = SarEncoderOptions(fit=FitOptions(steps=2, batch_size=8, augment=LIGHT))
    one_target = replace(chips, target=("long",) * 24)
    no_azimuth = np.full(24, np.nan)
    assert train_sar_encoder(one_target, short).extract(chips.amplitude).shape == (24, 192)
    assert train_sar_encoder(replace(chips, azimuth_deg=no_azimuth), short).extract(chips.amplitude).shape == (24, 192)
    with pytest.raises(DataError, match="--space"):
        train_sar_encoder(replace(one_target, azimuth_deg=no_azimuth), short)
    with pytest.raises(DataError, match="at least 24"):
        train_sar_encoder(chips.take(range(10)), short)


def test_the_space_is_found_by_its_name_and_takes_no_weights():
    chips = bar_chips(10, 0)
    with pytest.raises(OptionError, match="trained on the real chips"):
        make_space(SpaceOptions(name="sar", weights=Path("w.pt")), chips, None, 0)
    with pytest.raises(OptionError, match="one model"):
        make_space(SpaceOptions(name="sar:resnet18"), chips, None, 0)
    with pytest.raises(DataError, match="at least 24"):
        make_space(SpaceOptions(), chips, None, 0)
