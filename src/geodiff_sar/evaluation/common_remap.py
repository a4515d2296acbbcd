"""Bringing sets of different remaps to a common one, when that is asked for."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Float32
from scipy.stats import rankdata, rayleigh

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet, chip_hash
from geodiff_sar.data.pixels import PixelRemap
from geodiff_sar.evaluation.grey_levels import spread_levels

CommonRemap = Literal["linear", "root", "rank"]

MEAN_LEVEL = 40.0
"""Mean of a chip after ``linear``."""

WHITE = 255.0
"""Where ``linear`` and ``root`` agree."""


def common_remap(chips: ChipSet, law: CommonRemap) -> ChipSet:
    """The chips under a common remap, each scaled by itself. Nothing is clipped.

    ``linear``: amplitude over its mean in the chip, times 40. ``root``: v becomes sqrt(255 v). ``rank``: every value is
    replaced by the Rayleigh quantile of its rank in the chip, so that any monotonic remap is undone, and with it all
    radiometry: the histogram of every chip is the same.

    Whole grey levels are spread over their cells first: scaled levels are no longer whole, and no later step could tell
    that their gaps and zeros come from rounding.

    Raises:
        DataError: ``linear`` or ``root`` of chips whose law is not known.
    """
    if law != "rank" and not chips.remap.invertible:
        raise DataError(
            chips.name,
            f"its remap is {chips.remap}",
            f"--common-remap {law} needs a law that can be inverted",
            "state the remap of the chips in dataset.toml, or ask for --common-remap rank, which needs none",
        )
    spread = np.stack([spread_levels(chip, np.random.default_rng([17, k])) for k, chip in enumerate(chips.amplitude)])
    if law == "rank":
        amplitude = np.stack([_ranked(chip) for chip in spread])
        remap = PixelRemap(kind="nonlinear", name="rank", scaling="per-chip")
    else:
        linear = chips.remap.to_amplitude(spread)
        linear = linear * (MEAN_LEVEL / np.maximum(linear.mean(axis=(1, 2), keepdims=True), 1e-12))
        exponent = 1.0 if law == "linear" else 0.5
        amplitude = (WHITE ** (1.0 - exponent) * linear**exponent).astype(np.float32)
        remap = PixelRemap(kind="power", exponent=exponent, scaling="per-chip")
    return replace(chips, amplitude=amplitude, remap=remap, hashes=tuple(chip_hash(chip) for chip in amplitude))


def require_same_remap(first: ChipSet, second: ChipSet) -> None:
    """Refuse to compare chips of different remaps."""
    if first.remap != second.remap:
        raise DataError(
            f"{first.name} and {second.name}",
            f"different remaps: {first.remap}, and {second.remap}",
            "chips are compared under one remap",
            "ask for a common one (--common-remap linear, root or rank), or state the remap of the chips (dataset.toml)",
        )


def _ranked(chip: Float32[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    share = (rankdata(chip, axis=None).reshape(chip.shape) - 0.5) / chip.size
    return (MEAN_LEVEL * np.sqrt(2.0 / np.pi) * rayleigh.ppf(share)).astype(np.float32)
