"""Numbers of the same views under several seeds, with intervals that know of seeds and of neighbouring views.

A table of values has one row per seed of training and one column per view. Neighbouring azimuths of one target fail together,
so intervals take blocks of views, not views, as what is drawn at random.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import t

from geodiff_sar.evaluation.atr.accuracy import FEW_MISSES, Estimate, two_way
from geodiff_sar.evaluation.intervals import DRAWS, LEVEL

Table = Float[np.ndarray, "seed view"]
Blocks = Int[np.ndarray, " view"]

ANY = (-np.inf, np.inf)
SHARE, SHARE_DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)


def blocks_of(target: list[str], azimuth_deg: Float[np.ndarray, " view"], width_deg: float) -> Blocks:
    """Number of the block of every view: one target, ``width_deg`` of azimuth."""
    keys = [(name, int(azimuth % 360.0 // width_deg)) for name, azimuth in zip(target, azimuth_deg, strict=True)]
    number = {key: k for k, key in enumerate(sorted(set(keys)))}
    return np.array([number[key] for key in keys], dtype=np.int64)


def mean_estimate(values: Table, blocks: Blocks, bounds: tuple[float, float] = ANY) -> Estimate:
    """Mean over seeds and views. Columns that are not finite for every seed are left out.

    Blocks enter by the linearised ratio ``z_b = mean + (n_b / n') (mean_b - mean)``, n' the mean size of a block (Cochran
    1977, section 6.3), so that their mean is that of all views. Two seeds or more: the two-way random-effects interval of
    ``atr.accuracy.two_way`` over seeds and blocks. One seed: Student's t over blocks, which says nothing of other
    trainings. Shares (bounds of 0 and 1, and their differences) have a half-width of at least 3 / n views.

    Args:
        values: one row per seed.
        blocks: of every view.
        bounds: smallest and largest value that the mean can have.
    """
    kept = np.isfinite(values).all(axis=0)
    values, blocks = values[:, kept], blocks[kept]
    seeds, n = values.shape
    if n == 0:
        return Estimate(np.nan, np.nan, np.nan, 0, (np.nan,) * seeds)
    least = FEW_MISSES / n if bounds in (SHARE, SHARE_DIFFERENCE) else 0.0
    table = _by_block(values, blocks)
    count = table.shape[1]
    if count < 2:
        value = float(values.mean())
        return Estimate(value, *bounds, n, tuple(values.mean(axis=1).tolist()))
    if seeds > 1:
        return replace(two_way(table, bounds, least), n=n)
    value = float(table.mean())
    half = float(t.ppf(0.5 + LEVEL / 2, count - 1)) * float(table[0].std(ddof=1)) / count**0.5
    half = max(half, least)
    return Estimate(value, max(bounds[0], value - half), min(bounds[1], value + half), n, (value,))


def mean_difference(after: Table, before: Table, blocks: Blocks, bounds: tuple[float, float] = ANY) -> Estimate:
    """Mean of ``after - before``, paired by seed and view."""
    return mean_estimate(after - before, blocks, bounds)


def median_estimate(values: Table, blocks: Blocks, seed: int) -> Estimate:
    """Median over all seeds and views; percentile interval of the bootstrap over blocks and, if several, seeds."""
    low, high = _resampled(lambda x: float(np.median(x[0])), (values,), blocks, seed)
    value = float(np.median(values))
    per_seed = tuple(float(np.median(row)) for row in values)
    return Estimate(value, min(low, value), max(high, value), values.shape[1], per_seed)


def median_difference(after: Table, before: Table, blocks: Blocks, seed: int) -> Estimate:
    """Median of ``after`` minus median of ``before``; the same blocks and seeds are drawn for both."""

    def statistic(tables: tuple[Table, ...]) -> float:
        return float(np.median(tables[0]) - np.median(tables[1]))

    low, high = _resampled(statistic, (after, before), blocks, seed)
    value = statistic((after, before))
    per_seed = tuple(statistic((a[None], b[None])) for a, b in zip(after, before, strict=True))
    return Estimate(value, min(low, value), max(high, value), after.shape[1], per_seed)


def _by_block(values: Table, blocks: Blocks) -> Float[np.ndarray, "seed block"]:
    numbers, place, counts = np.unique(blocks, return_inverse=True, return_counts=True)
    sums = np.zeros((len(values), len(numbers)))
    np.add.at(sums.T, place, values.T)
    mean = values.mean(axis=1, keepdims=True)
    return mean + counts / counts.mean() * (sums / counts - mean)


def _resampled(
    statistic: Callable[[tuple[Table, ...]], float], tables: tuple[Table, ...], blocks: Blocks, seed: int
) -> tuple[float, float]:
    members = [np.flatnonzero(blocks == number) for number in np.unique(blocks)]
    rng = np.random.default_rng([seed, 95])
    seeds = len(tables[0])
    found = np.empty(DRAWS)
    for draw in range(DRAWS):
        views = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        rows = rng.integers(0, seeds, seeds)
        found[draw] = statistic(tuple(table[rows][:, views] for table in tables))
    tail = 50.0 * (1.0 - LEVEL)
    low, high = np.percentile(found, [tail, 100.0 - tail])
    return float(low), float(high)
