"""Accuracy over seeds and chips, with intervals that know of both."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t

from geodiff_sar.evaluation.intervals import LEVEL

FEW_MISSES = 3.0
"""Rule of three: without a miss among n chips the true rate of misses is below 3 / n at 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and chips.

    Attributes:
        value: the mean.
        low, high: 95 % interval.
        n: chips.
        per_seed: mean over the chips for each seed.
    """

    value: float
    low: float
    high: float
    n: int
    per_seed: tuple[float, ...]


def two_way(
    values: Float[np.ndarray, "seed chip"], bounds: tuple[float, float], least_half: float | None = None
) -> Estimate:
    """Mean of a table whose rows (seeds) and columns (chips) are both drawn at random.

    The model is ``x_sc = mean + a_s + b_c + e_sc`` (two-way random effects; Searle, Casella and McCulloch 1992, chapter
    4). The variance of the mean is ``v_s + v_c`` with ``v_s = var(row means) / S`` (a and e) and
    ``v_c = var(column means) / n`` less the share of e that it has in common with v_s. The quantile is Cochran's (1964),
    ``(t_{S-1} v_s + t_{n-1} v_c) / (v_s + v_c)``, so that three seeds that disagree give the wide interval that three
    seeds deserve. In simulations the 95 % interval covers at 94 to 98 %, with spread in seeds, chips or both. Chips are
    taken as independent, which neighbours in azimuth are not quite. The half-width is never below ``least_half``.

    Args:
        values: at least two seeds and two chips.
        bounds: smallest and largest value that the mean can have.
        least_half: smallest half-width; None: 3 / n, for shares.
    """
    seeds, n = values.shape
    rows, columns = values.mean(axis=1), values.mean(axis=0)
    rest = values - rows[:, None] - columns[None] + values.mean()
    shared = float((rest**2).sum()) / ((seeds - 1) * (n - 1)) / (seeds * n)
    of_seeds = float(rows.var(ddof=1)) / seeds
    of_chips = max(float(columns.var(ddof=1)) / n - shared, 0.0)
    total = of_seeds + of_chips
    half = 0.0
    if total > 0:
        tail = 0.5 + LEVEL / 2
        half = float(t.ppf(tail, seeds - 1) * of_seeds + t.ppf(tail, n - 1) * of_chips) / total**0.5
    half = max(half, FEW_MISSES / n if least_half is None else least_half)
    value = float(values.mean())
    low, high = max(bounds[0], value - half), min(bounds[1], value + half)
    return Estimate(value, low, high, n, tuple(float(row) for row in rows))


def accuracy(guesses: Int[np.ndarray, "seed chip"], truth: Int[np.ndarray, " chip"]) -> Estimate:
    """Share of right answers."""
    return two_way((guesses == truth[None]).astype(np.float64), (0.0, 1.0))


def gain(
    after: Int[np.ndarray, "seed chip"], before: Int[np.ndarray, "seed chip"], truth: Int[np.ndarray, " chip"]
) -> Estimate:
    """Accuracy ``after`` minus ``before``, paired by seed and chip."""
    right = (after == truth[None]).astype(np.float64) - (before == truth[None]).astype(np.float64)
    return two_way(right, (-1.0, 1.0))


def confusion(
    guesses: Int[np.ndarray, "seed chip"], truth: Int[np.ndarray, " chip"], size: int
) -> Int[np.ndarray, "true guessed"]:
    """Counts summed over seeds: rows are true values, columns guesses."""
    counts = np.zeros((size, size), dtype=np.int64)
    np.add.at(counts, (np.broadcast_to(truth, guesses.shape), guesses), 1)
    return counts
