"""Confidence intervals: of means and medians by the bootstrap, of shares by Wilson's formula."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

LEVEL = 0.95
DRAWS = 1000


def bootstrap(
    values: Float[np.ndarray, " chip"],
    statistic: Callable[[Float[np.ndarray, "draw chip"]], Float[np.ndarray, " draw"]],
    seed: int,
    draws: int = DRAWS,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile interval of a statistic of independent values (Efron and Tibshirani 1993, section 13.3).

    Args:
        values: one per chip, at least one.
        statistic: of every row of an array, such as ``lambda x: np.median(x, axis=1)``.
        seed: of the draws.
        draws: resamples.
        level: coverage.
    """
    rng = np.random.default_rng([seed, 95])
    index = rng.integers(0, len(values), (draws, len(values)))
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(statistic(values[index]), [tail, 100.0 - tail])
    return float(low), float(high)


def wilson(hits: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Interval of a share ``hits / n`` (Wilson 1927; Brown, Cai and DasGupta 2001); (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    z = float(norm.ppf(0.5 + level / 2))
    share = hits / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
