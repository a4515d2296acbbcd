"""Scattering centres of a chip, and how many of two sets of centres are the same."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32
from scipy.optimize import linear_sum_assignment

from geodiff_sar.evaluation.peaks import local_maxima

DYNAMIC_DB = 20.0
"""Centres weaker than the strongest by more than this are left out."""

OVER_CLUTTER_DB = 8.0
"""And those that stand less above the mean clutter: one pixel in 550 of single-look speckle does."""

MOST_CENTRES = 15
"""Strongest centres of a chip."""


@dataclass(frozen=True)
class Centres:
    """Scattering centres.

    Attributes:
        place: (C, 2) row and column, sub-pixel.
        level_db: (C,) intensity.
    """

    place: Float[np.ndarray, "centre 2"]
    level_db: Float[np.ndarray, " centre"]

    def __len__(self) -> int:
        return len(self.level_db)


@dataclass(frozen=True)
class Match:
    """How two sets of centres agree.

    Attributes:
        f1: 2 M / (C1 + C2) with M matched centres; NaN where neither has any.
        matched: M.
        difference_db: mean absolute difference of level over the matched, less their median difference (a common gain);
            NaN with fewer than two matched.
    """

    f1: float
    matched: int
    difference_db: float


def extract_centres(
    amplitude: Float32[np.ndarray, "height width"], region: Bool[np.ndarray, "height width"], floor: float
) -> Centres:
    """Local maxima of amplitude in a region, the strongest first.

    A maximum exceeds its eight neighbours (a plateau counts once); its place is refined by a parabola through the
    logarithms of three pixels along each axis, exact for a Gaussian response.

    Args:
        amplitude: (H, W).
        region: where centres are looked for.
        floor: amplitude below which none counts.
    """
    maxima = local_maxima(amplitude, ties=True) & region
    maxima[[0, -1]] = maxima[:, [0, -1]] = False
    level = np.where(maxima, amplitude, 0.0)
    least = max(float(level.max()) * 10 ** (-DYNAMIC_DB / 20), floor)
    places = np.argwhere(maxima & (amplitude >= least) & (amplitude > 0))
    order = np.argsort(-amplitude[places[:, 0], places[:, 1]], kind="stable")[:MOST_CENTRES]
    rows, columns = places[order].T
    logs = np.log(np.maximum(amplitude.astype(np.float64), 1e-3 * least + 1e-30))
    fine = np.stack(
        [
            rows + _vertex(logs[rows - 1, columns], logs[rows, columns], logs[rows + 1, columns]),
            columns + _vertex(logs[rows, columns - 1], logs[rows, columns], logs[rows, columns + 1]),
        ],
        axis=1,
    )
    return Centres(fine, 20.0 * np.log10(amplitude[rows, columns].astype(np.float64)))


def match_centres(
    first: Centres, second: Centres, cell: tuple[float, float], shift: tuple[float, float] = (0.0, 0.0)
) -> Match:
    """One-to-one assignment of centres (Hungarian method) within one resolution cell.

    The number of matches is greatest first, the sum of distances least second; two centres match when they lie within an
    ellipse whose half-axes are the cell's sides.

    Args:
        first: centres.
        second: centres.
        cell: rows and columns of a resolution cell, pixels.
        shift: rows and columns that are added to the places of ``first``.
    """
    total = len(first) + len(second)
    if total == 0:
        return Match(float("nan"), 0, float("nan"))
    if len(first) == 0 or len(second) == 0:
        return Match(0.0, 0, float("nan"))
    offset = (first.place + np.array(shift))[:, None] - second.place[None]
    distance = np.hypot(offset[..., 0] / cell[0], offset[..., 1] / cell[1])
    # forbidden pairs cost more than any number of allowed ones
    cost = np.where(distance <= 1.0, distance, float(total))
    rows, columns = linear_sum_assignment(cost)
    good = distance[rows, columns] <= 1.0
    levels = first.level_db[rows[good]] - second.level_db[columns[good]]
    difference = float(np.abs(levels - np.median(levels)).mean()) if len(levels) > 1 else float("nan")
    return Match(2.0 * int(good.sum()) / total, int(good.sum()), difference)


def best_shift(first: Centres, second: Centres, cell: tuple[float, float], limit: float) -> tuple[float, float]:
    """The shift of ``first``, at most ``limit`` pixels along each axis, that lays most centres on centres of ``second``.

    Every difference of two places within the limit is tried; agreement is the sum of exp(-2 d^2), d the distance in
    resolution cells from each centre to the nearest of the other set. (0, 0) where no difference is within the limit.
    """
    if len(first) == 0 or len(second) == 0:
        return 0.0, 0.0
    tried = (second.place[None] - first.place[:, None]).reshape(-1, 2)
    tried = np.concatenate([np.zeros((1, 2)), tried[np.abs(tried).max(axis=1) <= limit]])
    moved = first.place[None, :, None] + tried[:, None, None] - second.place[None, None]
    distance2 = ((moved / np.array(cell)) ** 2).sum(axis=-1)
    agreement = np.exp(-2.0 * distance2.min(axis=2)).sum(axis=1)
    row, column = tried[int(np.argmax(agreement))]
    return float(row), float(column)


def _vertex(before: np.ndarray, at: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Offset of the vertex of a parabola through three samples, within half a sample."""
    curvature = before - 2.0 * at + after
    offset = np.where(curvature < 0, 0.5 * (before - after) / np.where(curvature < 0, curvature, -1.0), 0.0)
    return np.clip(offset, -0.5, 0.5)
