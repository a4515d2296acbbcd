"""Squared maximum mean discrepancy of two samples: unbiased, with an interval that holds near zero and far from it.

A kernel k(x, y) = <phi(x), phi(y)> puts every chip into a space of features of features; MMD^2 = |delta|^2, where delta is
the difference of the means of phi. With D the difference of the sample means, S, T the samples' covariances in that space and
V = S/n + T/m the covariance of D, the unbiased estimate (Gretton et al. 2012, Lemma 6) is

    MMD_u^2 = |D|^2 - tr V,     Var MMD_u^2 = 2 tr V^2 + 4 delta' V delta

(Chen and Qin 2010, Ann. Statist. 38, whose statistic this is, in the kernel's space; Sutherland and Deka 2019 for
kernels). The first term alone is left where the distributions agree, and an interval that lacks it, as that of means over
subsets does, does not cover there. Everything follows from sums over the three kernel matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from jaxtyping import Float
from scipy.stats import norm

from geodiff_sar.evaluation.intervals import LEVEL

Within = Float[np.ndarray, "first first"]
WithinOther = Float[np.ndarray, "second second"]
Across = Float[np.ndarray, "first second"]

LEAST = 4
"""Samples that the unbiased estimate of tr S^2 needs at least."""


@dataclass(frozen=True)
class Discrepancy:
    """MMD^2 of one pair of samples, or a weighted mean over independent pairs.

    Attributes:
        value: unbiased estimate; below zero about half of the time where the distributions agree.
        noise: estimate of tr V^2; half of the value's variance if the distributions were the same.
        along: estimate of delta' V delta; a quarter of what a difference adds to the variance.
        widest: upper bound of the largest eigenvalue of V.
    """

    value: float
    noise: float
    along: float
    widest: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """All t >= 0 that a test would not refuse: (value - t)^2 <= z^2 (2 noise + 4 slope t); a score interval, as
        Wilson's is for shares.

        ``slope`` is delta' V delta / |delta|^2. Where the difference drowns in noise it cannot be told, and it is drawn
        towards its upper bound, the largest eigenvalue of V. Where t = 0 is inside, the interval goes on below zero as far
        as the noise does, so that the unbiased value stays inside too; a value below the noise floor itself, as sets give
        that are more evenly drawn than at random, has the floor on either side.
        """
        z = float(norm.ppf(0.5 + level / 2))
        scale = float(np.sqrt(self.noise))
        slope = (self.along + self.widest * scale) / (max(self.value, 0.0) + scale) if scale > 0 else 0.0
        half = 2.0 * z * z * slope
        floor = z * float(np.sqrt(2.0 * self.noise))
        if self.value <= -floor:
            return self.value - floor, self.value + floor
        root = float(np.sqrt(half * half + 2.0 * half * self.value + floor * floor))
        low, high = self.value + half - root, self.value + half + root
        return low if low >= 0 else self.value - floor, high


def discrepancy(xx: Within, yy: WithinOther, xy: Across) -> Discrepancy:
    """MMD^2 from kernel matrices in float64: (n, n) within one sample, (m, m) within the other, (n, m) across; n, m >= 4."""
    n, m = xy.shape
    # The witness <phi(.), D> at every sample.
    at_x, at_y = xx.mean(axis=1) - xy.mean(axis=1), xy.mean(axis=0) - yy.mean(axis=1)
    squared = float(at_x.mean() - at_y.mean())
    inner_x, inner_y = _centred(xx), _centred(yy)
    trace = float(np.trace(inner_x) / (n * (n - 1)) + np.trace(inner_y) / (m * (m - 1)))
    cross = float(np.sum(_centred(xy) ** 2)) / ((n - 1) * (m - 1))
    trace_of_square = _square_trace(inner_x) / n**2 + _square_trace(inner_y) / m**2 + 2 * cross / (n * m)
    along = float(at_x.var(ddof=1) / n + at_y.var(ddof=1) / m)
    widest = _largest(inner_x) / (n * (n - 1)) + _largest(inner_y) / (m * (m - 1))
    return Discrepancy(squared - trace, max(trace_of_square, 0.0), max(along - trace_of_square, 0.0), widest)


def mean_discrepancy(parts: Sequence[Discrepancy], weights: Sequence[float]) -> Discrepancy:
    """The weighted mean of MMD^2 over independent pairs; weights are scaled to the sum 1."""
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    pairs = list(zip(share.tolist(), parts, strict=True))
    return Discrepancy(
        sum(w * p.value for w, p in pairs),
        sum(w * w * p.noise for w, p in pairs),
        sum(w * w * p.along for w, p in pairs),
        max(w * p.widest for w, p in pairs),
    )


def _centred(gram: Across) -> Across:
    return gram - gram.mean(axis=0, keepdims=True) - gram.mean(axis=1, keepdims=True) + gram.mean()


def _largest(inner: Within) -> float:
    last = len(inner) - 1
    return float(scipy.linalg.eigvalsh(inner, subset_by_index=[last, last])[0])


def _square_trace(inner: Within) -> float:
    """Unbiased estimate of tr S^2 for any distribution (Himeno and Yamada 2014, eq. 2.4), from the centred kernel matrix."""
    n = len(inner)
    square = float(np.sum(inner**2)) / (n - 1) ** 2
    trace = float(np.trace(inner)) / (n - 1)
    fourth = float(np.sum(np.diagonal(inner) ** 2)) / (n - 1)
    return (n - 1) / (n * (n - 2) * (n - 3)) * ((n - 1) * (n - 2) * square + trace**2 - n * fourth)


def permutation_p_value(xx: Within, yy: WithinOther, xy: Across, seed: int, draws: int = 499) -> float:
    """How often chips dealt to the two samples at random give an MMD_u^2 at least as large (Gretton et al. 2012, section 5);
    at least 1 / (draws + 1)."""
    n, m = xy.shape
    both = np.block([[xx, xy], [xy.T, yy]])
    rng = np.random.default_rng([seed, 23])
    first = np.zeros((n + m, draws + 1))
    first[:n, 0] = 1.0
    for draw in range(1, draws + 1):
        first[rng.permutation(n + m)[:n], draw] = 1.0
    second, diagonal = 1.0 - first, np.diagonal(both)
    seen = both @ first
    within_first = (np.sum(first * seen, axis=0) - diagonal @ first) / (n * (n - 1))
    across = np.sum(second * seen, axis=0)
    within_second = (np.sum(second * (both.sum(axis=1)[:, None] - seen), axis=0) - diagonal @ second) / (m * (m - 1))
    value = within_first + within_second - 2.0 * across / (n * m)
    slack = 1e-9 * float(np.abs(value).max())
    return float(np.mean(value >= value[0] - slack))
