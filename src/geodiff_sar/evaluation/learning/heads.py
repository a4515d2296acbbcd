"""What a network is to say of a chip: one head per label, each turning labels into target distributions."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32, Int
from typing_extensions import final


class Head(ABC):
    """A label with a finite number of values."""

    size: int
    """Number of values."""

    @abstractmethod
    def targets(
        self, index: Int[np.ndarray, " batch"], azimuth_deg: Float[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch value"]:
        """Distributions over the values.

        Args:
            index: places of the chips in the training set.
            azimuth_deg: their azimuths after augmentation, which a mirror image changes.
        """


@final
class ClassHead(Head):
    """A label that augmentation leaves alone.

    Args:
        labels: (N,) numbers 0 .. size - 1.
        size: number of values.
        smoothing: probability spread over all values (Szegedy et al. 2016, section 7).
    """

    def __init__(self, labels: Sequence[int], size: int, smoothing: float = 0.0):
        self.labels, self.size, self.smoothing = np.asarray(labels, dtype=np.int64), size, smoothing

    def targets(
        self, index: Int[np.ndarray, " batch"], azimuth_deg: Float[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch value"]:
        return _smooth(self.labels[index], self.size, self.smoothing)


@final
class SectorHead(Head):
    """Sector ``floor(azimuth / width)``; it follows the azimuth of the augmented chip."""

    def __init__(self, width_deg: float, smoothing: float = 0.0):
        self.width_deg, self.size, self.smoothing = width_deg, round(360.0 / width_deg), smoothing

    def targets(
        self, index: Int[np.ndarray, " batch"], azimuth_deg: Float[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch value"]:
        return _smooth(sector_of(azimuth_deg, self.width_deg), self.size, self.smoothing)


@final
class AzimuthHead(Head):
    """Bins on the circle with von Mises weights ``exp(cos(phi - centre) / s^2)``, so that neighbouring bins share a chip."""

    def __init__(self, bins: int, spread_deg: float):
        self.size, self.spread_deg = bins, spread_deg

    def targets(
        self, index: Int[np.ndarray, " batch"], azimuth_deg: Float[np.ndarray, " batch"]
    ) -> Float32[np.ndarray, "batch value"]:
        away = np.deg2rad(np.asarray(azimuth_deg)[:, None] - bin_centres(self.size)[None])
        weight = np.exp((np.cos(away) - 1.0) / np.deg2rad(self.spread_deg) ** 2)
        return (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)


def sector_of(azimuth_deg: Float[np.ndarray, " chip"], width_deg: float) -> Int[np.ndarray, " chip"]:
    """Number of the sector [k * width, (k + 1) * width) that holds an azimuth."""
    count = round(360.0 / width_deg)
    return np.floor(np.asarray(azimuth_deg) % 360.0 / width_deg).astype(np.int64) % count


def bin_centres(bins: int) -> Float[np.ndarray, " bin"]:
    """Azimuths at the middle of equal bins, degrees."""
    return (np.arange(bins) + 0.5) * 360.0 / bins


def _smooth(labels: Int[np.ndarray, " batch"], size: int, smoothing: float) -> Float32[np.ndarray, "batch value"]:
    return ((1.0 - smoothing) * np.eye(size)[labels] + smoothing / size).astype(np.float32)
