"""From the values of single chips to the numbers of the tables, each with its interval."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.evaluation.atr.accuracy import Estimate
from geodiff_sar.evaluation.metrics.azimuth_consistency import flipped
from geodiff_sar.evaluation.paired import (
    ANY,
    SHARE,
    SHARE_DIFFERENCE,
    blocks_of,
    mean_difference,
    mean_estimate,
    median_difference,
    median_estimate,
)
from geodiff_sar.workflows.study.instruments import CEILING, Instruments
from geodiff_sar.workflows.study.material import PARTS, Material, Part
from geodiff_sar.workflows.study.options import StudyMeasure, StudyRow

WITHIN_DEG = 10.0

Values = Float[np.ndarray, " chip"]


@dataclass(frozen=True)
class Quantity:
    """A column of the tables.

    Attributes:
        name: in JSON and CSV.
        title: head of the column.
        kind: how chips are joined; a share is a mean of ones and zeros.
        key: which values of a chip it is made from.
        of: what is made of them; None: themselves.
        scale, digits: how it is printed.
        parts: kinds of sectors whose chips it takes together.
        ceiling: metric and quantity of the same number for real chips; None: none.
    """

    name: str
    title: str
    kind: Literal["mean", "median", "share"]
    key: str
    of: Callable[[Values], Values] | None = None
    scale: float = 1.0
    digits: int = 2
    parts: tuple[Part, ...] = ("held out",)
    ceiling: tuple[str, str] | None = None


def _within(error: Values) -> Values:
    return (error <= WITHIN_DEG).astype(float)


def _flips(error: Values) -> Values:
    return flipped(error).astype(float)


WITHIN = Quantity("share_within_10_deg", "within 10 degrees, %", "share", "error_deg", _within, 100.0, 1)
QUANTITIES = (
    WITHIN,
    Quantity("median_error_deg", "median azimuth error, degrees", "median", "error_deg", digits=1),
    Quantity("flip_share", "flipped, %", "share", "error_deg", _flips, 100.0, 1),
    Quantity("kid", "KID", "mean", "kid", ceiling=("kid", "kid")),
    Quantity("ssim", "SSIM", "mean", "ssim", digits=3, ceiling=("ssim", "ssim")),
    Quantity("ncc", "NCC", "mean", "ncc", digits=3, ceiling=("ncc", "ncc")),
    Quantity("f1_centres", "centres, F1", "mean", "centres", digits=3, ceiling=("scattering_centres", "f1_neighbour")),
    Quantity("share_near", "near a training chip, %", "share", "near", None, 100.0, 1, PARTS),
    Quantity("share_of_copies", "copies, %", "share", "copied", None, 100.0, 1, PARTS),
)
TRAINED_QUANTITIES = (
    Quantity("share_within_10_deg", WITHIN.title, "share", "error_deg", _within, 100.0, 1, ("trained",)),
    Quantity("median_error_deg", "median azimuth error, degrees", "median", "error_deg", digits=1, parts=("trained",)),
    Quantity("ssim", "SSIM", "mean", "ssim", digits=3, parts=("trained",)),
)


@dataclass(frozen=True)
class RowResult:
    """What was measured of one row.

    Attributes:
        row: which one.
        measured: by seed, what ``measure_chips`` gave.
    """

    row: StudyRow
    measured: dict[int, dict[str, Any]]

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that are finished."""
        return tuple(self.measured)

    def table(self, quantity: Quantity, seeds: Sequence[int]) -> Float[np.ndarray, "seed chip"]:
        """Values of one quantity: one row per seed, one column per chip."""
        found = []
        for seed in seeds:
            parts = [self.measured[seed][part][quantity.key] for part in quantity.parts if part in self.measured[seed]]
            values = np.array([np.nan if value is None else value for part in parts for value in part], dtype=float)
            found.append(values if quantity.of is None else quantity.of(values))
        return np.stack(found)

    def views(self, quantity: Quantity) -> Int[np.ndarray, " chip"]:
        """Number of the view of every column."""
        first = self.measured[self.seeds[0]]
        return np.array(
            [view for part in quantity.parts if part in first for view in first[part]["view"]], dtype=np.int64
        )


def value_of(result: RowResult, quantity: Quantity, material: Material, options: StudyMeasure) -> Estimate:
    """The number of one cell."""
    values, blocks = result.table(quantity, result.seeds), _blocks(result, quantity, material, options)
    if quantity.kind == "median":
        return median_estimate(values, blocks, options.seed)
    return mean_estimate(values, blocks, SHARE if quantity.kind == "share" else ANY)


def difference_of(
    result: RowResult, baseline: RowResult, quantity: Quantity, material: Material, options: StudyMeasure
) -> Estimate | None:
    """Row minus baseline over the seeds that both have finished, paired chip by chip; None without such a seed."""
    seeds = [seed for seed in result.seeds if seed in baseline.seeds]
    if not seeds:
        return None
    after, before = result.table(quantity, seeds), baseline.table(quantity, seeds)
    blocks = _blocks(result, quantity, material, options)
    if quantity.kind == "median":
        return median_difference(after, before, blocks, options.seed)
    return mean_difference(after, before, blocks, SHARE_DIFFERENCE if quantity.kind == "share" else ANY)


def ceiling_of(instruments: Instruments, quantity: Quantity) -> Estimate | None:
    """The same number of real chips in the held-out sectors that no instrument was trained on; None where there is none.

    Azimuths are read off all of them; nearness to training chips is that of all real chips that are not trained on; other
    numbers compare one half of them with the other.
    """
    options, unseen = instruments.options, instruments.unseen
    if quantity.key == "error_deg":
        error = instruments.unseen_error_deg
        values = (error if quantity.of is None else quantity.of(error))[None]
        blocks = blocks_of(list(unseen.target), unseen.azimuth_deg, options.block_deg)
        if quantity.kind == "median":
            return median_estimate(values, blocks, options.seed)
        return mean_estimate(values, blocks, SHARE)
    if quantity.key in instruments.apart_memory:
        apart = instruments.apart
        blocks = blocks_of(list(apart.target), apart.azimuth_deg, options.block_deg)
        return mean_estimate(np.array([instruments.apart_memory[quantity.key]]), blocks, SHARE)
    if quantity.ceiling is None:
        return None
    metric, name = quantity.ceiling
    scores = instruments.ceiling[CEILING][metric].scores
    score = next(score for score in scores if score.quantity == name and score.group == "all")
    low, high = (np.nan if end is None else end for end in (score.low, score.high))
    return Estimate(score.value, low, high, score.n, (score.value,))


def _blocks(
    result: RowResult, quantity: Quantity, material: Material, options: StudyMeasure
) -> Int[np.ndarray, " chip"]:
    chosen = [material.views[k] for k in result.views(quantity)]
    azimuth = np.array([view.azimuth_deg for view in chosen])
    return blocks_of([view.sample.caption.target for view in chosen], azimuth, options.block_deg)
