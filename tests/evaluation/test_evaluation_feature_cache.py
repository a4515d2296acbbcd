"""Features kept by content: the same with and without, never stale, whole after damage and interruption."""

import numpy as np
import pytest

from evaluation_support import BlockMeans, make_chips
from geodiff_sar.core.errors import Interrupted, NumericalError
from geodiff_sar.evaluation import feature_cache
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.evaluation.controls import shuffled_azimuths
from geodiff_sar.evaluation.feature_cache import cached_features


class Counting(FeatureSpace):
    """BlockMeans that counts chips and can be interrupted."""

    name = "counting"

    def __init__(self, fingerprint: str = "a", stop_after: int = 10**9):
        self.fingerprint, self.seen, self.stop_after = fingerprint, 0, stop_after

    def extract(self, amplitude):
        if self.seen >= self.stop_after:
            raise KeyboardInterrupt
        self.seen += len(amplitude)
        return BlockMeans().extract(amplitude)


@pytest.fixture(autouse=True)
def _small_shards(monkeypatch):
    monkeypatch.setattr(feature_cache, "SHARD", 8)


@pytest.fixture(scope="module")
def chips():
    return make_chips(20, 0, "real", 32)


def test_the_same_cached_or_not(chips, tmp_path):
    space = Counting()
    plain = cached_features(space, chips, None, "features")
    np.testing.assert_array_equal(plain, BlockMeans().extract(chips.amplitude))
    fresh = cached_features(space, chips, tmp_path, "features")
    again = cached_features(space, chips, tmp_path, "features")
    np.testing.assert_array_equal(plain, fresh)
    np.testing.assert_array_equal(plain, again)
    assert space.seen == 40


def test_labels_share_an_entry_and_pixels_or_weights_do_not(chips, tmp_path):
    space = Counting()
    cached_features(space, chips, tmp_path, "features")
    cached_features(space, shuffled_azimuths(chips, np.random.default_rng(0)), tmp_path, "features")
    assert space.seen == 20
    cached_features(space, chips.with_amplitude(chips.amplitude + 1), tmp_path, "features")
    assert space.seen == 40
    other = Counting("b")
    cached_features(other, chips, tmp_path, "features")
    assert other.seen == 20


def test_order_belongs_to_the_key(chips, tmp_path):
    forward = cached_features(Counting(), chips, tmp_path, "features")
    backward = cached_features(Counting(), chips.take(np.arange(20)[::-1]), tmp_path, "features")
    np.testing.assert_array_equal(forward[::-1], backward)


def test_interruption_keeps_finished_shards(chips, tmp_path):
    with pytest.raises(Interrupted, match="after 8 of 20 chips; run the same command again"):
        cached_features(Counting(stop_after=8), chips, tmp_path, "features")
    space = Counting()
    whole = cached_features(space, chips, tmp_path, "features")
    assert space.seen == 12
    np.testing.assert_array_equal(whole, BlockMeans().extract(chips.amplitude))


@pytest.mark.parametrize("keep", [0, 30])
def test_a_damaged_shard_is_computed_again(chips, tmp_path, keep, capfd):
    whole = cached_features(Counting(), chips, tmp_path, "features")
    shards = sorted(tmp_path.rglob("*.safetensors"))
    assert len(shards) == 3
    shards[0].write_bytes(shards[0].read_bytes()[:keep])
    space = Counting()
    np.testing.assert_array_equal(cached_features(space, chips, tmp_path, "features"), whole)
    assert 0 < space.seen <= 8
    assert "is damaged" in capfd.readouterr().err
    again = Counting()
    cached_features(again, chips, tmp_path, "features")
    assert again.seen == 0, "mended"


def test_features_that_are_not_finite(chips):
    amplitude = chips.amplitude.copy()
    amplitude[11, 0, 0] = np.nan
    with pytest.raises(NumericalError, match="real-0011"):
        cached_features(Counting(), chips.with_amplitude(amplitude), None, "features")
