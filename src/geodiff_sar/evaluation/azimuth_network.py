"""Reading the azimuth off a chip by a network trained on real chips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32
from pydantic import Field
from typing_extensions import final

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import AzimuthEstimator
from geodiff_sar.evaluation.learning.augment import AugmentOptions
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.heads import AzimuthHead, bin_centres
from geodiff_sar.evaluation.learning.network import ChipNetwork, NetworkOptions, infer
from geodiff_sar.evaluation.learning.store import network_fingerprint, trained_network

LEAST_CHIPS = 24
"""Chips below which nothing can be learnt about a full turn."""

WINDOW_BINS = 3
"""Bins on either side of the mode that the mean is taken over."""


class AzimuthFit(FitOptions):
    """How the estimator is trained: half of the chips before the clutter of another chip, for one trained without that reads
    front for rear of 7 % of real targets put on simulated ground (docs/log.md)."""

    steps: int = Field(default=800, ge=1, description="optimizer steps")
    augment: AugmentOptions = Field(default=AugmentOptions(surroundings=0.5), description="augmentation")


class AzimuthOptions(Options):
    """How the estimator is built."""

    bins: int = Field(default=72, ge=12, le=720, description="bins on the circle")
    spread_deg: float = Field(default=6.0, gt=0, le=60, description="width of the von Mises targets, degrees")
    network: NetworkOptions = Field(default=NetworkOptions(), description="which network")
    fit: AzimuthFit = Field(default=AzimuthFit(), description="how it is trained")
    members: int = Field(default=1, ge=1, le=16, description="networks of different seeds that answer together")


@final
class AzimuthNetwork(AzimuthEstimator):
    """Classification over bins of the circle; the answer is the circular mean in a window around the most likely bin.

    A mean over the whole circle would answer 90 degrees to a chip that may be at 0 or at 180; the window picks one of them.
    Several networks answer by the mean of their probabilities.
    """

    def __init__(self, networks: Sequence[ChipNetwork], bins: int):
        self.networks, self.bins = tuple(networks), bins
        prints = [network_fingerprint(network) for network in self.networks]
        self.fingerprint = sha256_json(["azimuth", bins, WINDOW_BINS, *prints])

    def predict(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float[np.ndarray, " chip"]:
        probability = np.mean([infer(network, amplitude)[1]["azimuth"] for network in self.networks], axis=0)
        return windowed_mean(probability, WINDOW_BINS)


def train_azimuth_estimator(
    chips: ChipSet, options: AzimuthOptions | None = None, cache: Path | None = None, seed: int = 0
) -> AzimuthEstimator:
    """Train on real chips of all targets together, or read back what was trained on them.

    Args:
        chips: real chips with azimuths; keep others apart to measure the error on.
        options: how.
        cache: folder, or None.
        seed: of everything drawn.

    Raises:
        DataError: azimuths are missing, or there are too few chips.
    """
    options = options or AzimuthOptions()
    missing = [identity for identity, a in zip(chips.ids, chips.azimuth_deg, strict=True) if not np.isfinite(a)]
    if missing:
        raise DataError(
            chips.name,
            f"{len(missing)} chips have no azimuth, such as {', '.join(missing[:3])}",
            "an azimuth estimator is trained on chips of known azimuth",
            "add azimuths to captions or metadata, or leave azimuth out with --no-azimuth",
        )
    if len(chips) < LEAST_CHIPS:
        raise DataError(
            chips.name,
            f"{len(chips)} chips to train an azimuth estimator",
            f"at least {LEAST_CHIPS}",
            "give more real chips, or leave azimuth out with --no-azimuth",
        )
    heads = {"azimuth": AzimuthHead(options.bins, options.spread_deg)}
    settings = [options.bins, options.spread_deg]
    networks = []
    for member in range(options.members):
        title = "azimuth estimator" + (f" {member + 1} of {options.members}" if options.members > 1 else "")
        networks.append(
            trained_network(
                "azimuth", chips, heads, options.network, options.fit, seed + 1000 * member, title, cache, settings
            )
        )
    return AzimuthNetwork(networks, options.bins)


def windowed_mean(probability: Float[np.ndarray, "chip bin"], window: int) -> Float[np.ndarray, " chip"]:
    """Circular mean over the ``window`` bins on either side of the mode, degrees in [0, 360)."""
    count, bins = probability.shape
    mode = probability.argmax(axis=1)
    near = (mode[:, None] + np.arange(-window, window + 1)) % bins
    weight = probability[np.arange(count)[:, None], near].astype(np.float64)
    angle = np.deg2rad(bin_centres(bins))[near]
    mean = np.arctan2((weight * np.sin(angle)).sum(axis=1), (weight * np.cos(angle)).sum(axis=1))
    # a tiny negative angle would become 360.0 by rounding
    degrees = np.rad2deg(mean) % 360.0
    return np.where(degrees >= 360.0, 0.0, degrees)
