"""Features of a network trained on the real chips themselves: what tells targets and azimuths apart in this radar."""

from pathlib import Path

import numpy as np
from jaxtyping import Float32
from pydantic import Field
from typing_extensions import final

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.evaluation.learning.augment import AugmentOptions
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.heads import AzimuthHead, ClassHead, Head
from geodiff_sar.evaluation.learning.network import ChipNetwork, NetworkOptions, infer
from geodiff_sar.evaluation.learning.store import network_fingerprint, trained_network
from geodiff_sar.evaluation.spaces import SPACES, SpaceOptions, refuse_model

LEAST_CHIPS = 24
BINS, SPREAD_DEG, SMOOTHING = 36, 12.0, 0.05

LIGHT = AugmentOptions(shift=6, speckle=0.0, gain_db=0.0, mirror=False)
"""Shifts alone: a network that is taught to ignore speckle and level could not see when they are wrong."""


class SarEncoderOptions(Options):
    """How the encoder is built."""

    network: NetworkOptions = Field(default=NetworkOptions(), description="which network")
    fit: FitOptions = Field(default=FitOptions(steps=400, augment=LIGHT), description="how it is trained")


@final
class SarEncoder(FeatureSpace):
    """The penultimate layer, divided by one number so that the mean square over the training chips is 1."""

    def __init__(self, network: ChipNetwork, scale: float):
        self.network, self.scale = network, scale
        self.fingerprint = sha256_json(["sar-encoder", scale, network_fingerprint(network)])
        self.name = f"sar-encoder {self.fingerprint[:8]}"

    def extract(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float32[np.ndarray, "chip feature"]:
        return infer(self.network, amplitude)[0] / np.float32(self.scale)


@SPACES.register("sar")
def sar_space(options: SpaceOptions, real: ChipSet, cache: Path | None, seed: int) -> FeatureSpace:
    """``sar``: an encoder trained on these real chips; see ``train_sar_encoder``."""
    refuse_model(options)
    if options.weights is not None:
        raise OptionError(
            "--space-weights", str(options.weights), "the space sar is trained on the real chips", "leave it out"
        )
    encoder = SarEncoderOptions(fit=FitOptions(steps=options.steps, augment=LIGHT))
    return train_sar_encoder(real, encoder, cache, seed)


def train_sar_encoder(
    chips: ChipSet, options: SarEncoderOptions | None = None, cache: Path | None = None, seed: int = 0
) -> FeatureSpace:
    """Train on real chips for target and azimuth together, or read back what was trained on them.

    One target only: azimuth alone. A chip without azimuth: targets alone.

    Raises:
        DataError: neither can be learnt, or there are too few chips.
    """
    options = options or SarEncoderOptions()
    if len(chips) < LEAST_CHIPS:
        raise DataError(
            chips.name,
            f"{len(chips)} chips to train an encoder",
            f"at least {LEAST_CHIPS}",
            "give more real chips, or choose a space that needs no training with --space",
        )
    names = sorted(set(chips.target))
    heads: dict[str, Head] = {}
    if len(names) > 1:
        heads["target"] = ClassHead([names.index(t) for t in chips.target], len(names), SMOOTHING)
    if np.isfinite(chips.azimuth_deg).all():
        heads["azimuth"] = AzimuthHead(BINS, SPREAD_DEG)
    if not heads:
        raise DataError(
            chips.name,
            f"one target ({names[0]}), and chips without azimuth",
            "an encoder learns to tell targets or azimuths apart",
            "add azimuths to captions or metadata, or choose a space that needs no training with --space",
        )
    network = trained_network(
        "sar-encoder",
        chips,
        heads,
        options.network,
        options.fit,
        seed,
        "SAR encoder",
        cache,
        [BINS, SPREAD_DEG, SMOOTHING],
    )
    features = infer(network, chips.amplitude)[0].astype(np.float64)
    return SarEncoder(network, max(float(np.sqrt((features**2).mean())), 1e-12))
