"""Reading the azimuth off a chip by a network trained on real chips."""

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
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.heads import AzimuthHead, bin_centres
from geodiff_sar.evaluation.learning.network import ChipNetwork, NetworkOptions, infer
from geodiff_sar.evaluation.learning.store import network_fingerprint, trained_network

LEAST_CHIPS = 24
"""Chips below which nothing can be learnt about a full turn."""

WINDOW_BINS = 3
"""Bins on either side of the mode that the mean is taken over."""


class AzimuthOptions(Options):
    """How the estimator is built."""

    bins: int = Field(default=72, ge=12, le=720, description="bins on the circle")
    spread_deg: float = Field(default=6.0, gt=0, le=60, description="width of the von Mises targets, degrees")
    network: NetworkOptions = Field(default=NetworkOptions(), description="which network")
    fit: FitOptions = Field(default=FitOptions(steps=800), description="how it is trained")


@final
class AzimuthNetwork(AzimuthEstimator):
    """Classification over bins of the circle; the answer is the circular mean in a window around the most likely bin.

    A mean over the whole circle would answer 90 degrees to a chip that may be at 0 or at 180; the window picks one of them.
    """

    def __init__(self, network: ChipNetwork, bins: int):
        self.network, self.bins = network, bins
        self.fingerprint = sha256_json(["azimuth", bins, WINDOW_BINS, network_fingerprint(network)])

    def predict(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float[np.ndarray, " chip"]:
        return windowed_mean(infer(self.network, amplitude)[1]["azimuth"], WINDOW_BINS)


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
    network = trained_network(
        "azimuth", chips, heads, options.network, options.fit, seed, "azimuth estimator", cache, settings
    )
    return AzimuthNetwork(network, options.bins)


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
