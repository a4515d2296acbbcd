"""What a metric is, what it is given and what it returns."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float, Float32

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.data.pixels import ChipGrid

Direction = Literal["lower", "higher", "match"]
"""Which way is better; ``match``: the value is to be that of real chips, and only a distance to it can rank."""

CONTROLS = ("real half", "azimuth-shuffled", "class-shuffled", "noise", "clutter only")
"""Rows that every table has beside the generated chips: the first is what good looks like, the others what bad does."""


@dataclass(frozen=True)
class Score:
    """One measured number.

    Attributes:
        quantity: what it is, such as "kid" or "share_within_10_deg"; unique within a metric and a group.
        value: NaN where it cannot be measured, and then ``note`` says why.
        unit: "1", "deg", "dB", "m", "%" ...
        direction: which way is better.
        low, high: ends of the 95 % confidence interval, or None where there is none.
        n: chips, pairs or peaks that it rests on.
        group: "all", or one part of the chips, such as "target: T72" or "azimuth: 0-30".
        note: what the reader must know of this very number.
        headline: whether it stands in the first table of the report.
        sees: controls that this number claims to tell from real chips, where they are not those of its metric.
    """

    quantity: str
    value: float
    unit: str
    direction: Direction
    n: int
    low: float | None = None
    high: float | None = None
    group: str = "all"
    note: str = ""
    headline: bool = False
    sees: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Measurement:
    """What one metric says of one set of chips.

    Attributes:
        scores: the numbers.
        details: JSON values for figures and lists, such as the error of every chip.
    """

    scores: list[Score]
    details: dict[str, Any] = field(default_factory=dict)


class FeatureSpace(ABC):
    """Turns chips into vectors; numbers of different spaces are never put side by side."""

    name: str
    """As reports call it, such as "sar-encoder 3f2a91c0"."""

    fingerprint: str
    """Changes when any feature could: weights, architecture, input scaling."""

    @abstractmethod
    def extract(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float32[np.ndarray, "chip feature"]:
        """Features of chips."""


class AzimuthEstimator(ABC):
    """Reads the azimuth off chips; trained on real ones."""

    fingerprint: str

    @abstractmethod
    def predict(self, amplitude: Float32[np.ndarray, "chip height width"]) -> Float[np.ndarray, " chip"]:
        """Azimuths in [0, 360), degrees."""


@dataclass(frozen=True)
class Comparison:
    """One row of the report: a set of chips, and the real chips it is compared with.

    Attributes:
        row: "generated" or one of CONTROLS.
        candidate: the chips to judge. Labels are what was asked for.
        reference: real chips that no instrument was trained on and that are not in ``candidate``; the same for every row.
        gallery: real chips in which partners of the same aspect are looked for; none of them is in ``candidate``.
        training: real chips that the generator was trained on, for memorisation; those of a control row are the gallery.
        reference_features, candidate_features: in ``space``.
        space: name of the feature space.
        azimuth_deg: (N,) azimuths that the estimator reads off the candidate's chips, or None without an estimator.
        common_n: chips that metrics whose expectation depends on their number take of each side, the same for every row.
        grid: of the pixels of all these chips; spacings may be unknown.
        seed: of every random draw.
    """

    row: str
    candidate: ChipSet
    reference: ChipSet
    gallery: ChipSet
    training: ChipSet
    reference_features: Float32[np.ndarray, "reference feature"]
    candidate_features: Float32[np.ndarray, "candidate feature"]
    space: str
    azimuth_deg: Float[np.ndarray, " candidate"] | None
    common_n: int
    grid: ChipGrid
    seed: int = 0


class Metric(ABC):
    """One way of judging, registered under its name in one file of ``evaluation/metrics``.

    The class docstring gives formula, source and known limits, and is printed in the report.
    """

    title: ClassVar[str]
    """As the report calls it."""

    family: ClassVar[Literal["distribution", "paired", "azimuth", "radar", "memorisation"]]

    sees: ClassVar[frozenset[str]]
    """Controls that its headline scores must tell from real chips, every one of CONTROLS but the first that it claims."""

    variables: ClassVar[tuple[str, ...]] = ()
    """Environment variables that name a folder which it reads."""

    @abstractmethod
    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row; a quantity that cannot be measured has the value NaN and a note."""
