"""Squared maximum mean discrepancy of two samples: unbiased, with an interval that holds near zero and far from it.

A kernel k(x, y) = <phi(x), phi(y)> puts every chip into a space of features of features; MMD^2 = |delta|^2, where delta is
the difference of the means of phi. With D the difference of the sample means, S, T the samples' covariances in that space and
V = S/n + T/m the covariance of D, the unbiased estimate (Gretton et al. 2012, Lemma 6) is

    MMD_u^2 = |D|^2 - tr V,     Var MMD_u^2 = 2 tr V^2 + 4 delta' V delta

(Chen and Qin 2010, Ann. Statist. 38, eqs 2.2 and 3.1, whose statistic this is, in the kernel's space; Sutherland and Deka 2019
for kernels). The first term alone is left where the distributions agree, and an interval that lacks it, as that of means over
subsets does, does not cover there. Everything follows from sums over the three kernel matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from geodiff_sar.evaluation.intervals import LEVEL

Gram = Float[np.ndarray, "first second"]

LEAST = 4
"""Samples that the unbiased estimate of tr S^2 needs at least."""


@dataclass(frozen=True)
class Discrepancy:
    """MMD^2 of one pair of samples, or a weighted mean over independent pairs.

    Attributes:
        value: unbiased estimate; below zero about half of the time where the distributions agree.
        noise: estimate of tr V^2; half of the value's variance if the distributions were the same.
        along: estimate of delta' V delta; a quarter of what a difference adds to the variance.
    """

    value: float
    noise: float
    along: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """All t >= 0 that a test would not refuse: (value - t)^2 <= z^2 (2 noise + 4 slope t); a score interval, as
        Wilson's is for shares.

        ``slope`` is delta' V delta / |delta|^2. Where the difference drowns in noise it cannot be told, and it is drawn
        towards its upper bound sqrt(tr V^2). Where t = 0 is inside, the interval goes on below zero as far as the noise
        does, so that the unbiased value stays inside too.
        """
        z = float(norm.ppf(0.5 + level / 2))
        bound = float(np.sqrt(self.noise))
        slope = (self.along + self.noise) / (max(self.value, 0.0) + bound) if bound > 0 else 0.0
        half = 2.0 * z * z * slope
        floor = z * float(np.sqrt(2.0 * self.noise))
        root = float(np.sqrt(max(0.0, half * half + 2.0 * half * self.value + floor * floor)))
        low, high = self.value + half - root, self.value + half + root
        return low if low >= 0 else self.value - floor, high if high >= 0 else self.value + floor


def discrepancy(xx: Gram, yy: Gram, xy: Gram) -> Discrepancy:
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
    return Discrepancy(squared - trace, max(trace_of_square, 0.0), max(along - trace_of_square, 0.0))


def mean_discrepancy(parts: Sequence[Discrepancy], weights: Sequence[float]) -> Discrepancy:
    """The weighted mean of MMD^2 over independent pairs; weights are scaled to the sum 1."""
    share = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    pairs = list(zip(share.tolist(), parts, strict=True))
    return Discrepancy(
        sum(w * p.value for w, p in pairs), sum(w * w * p.noise for w, p in pairs), sum(w * w * p.along for w, p in pairs)
    )


def _centred(gram: Gram) -> Gram:
    return gram - gram.mean(axis=0, keepdims=True) - gram.mean(axis=1, keepdims=True) + gram.mean()


def _square_trace(inner: Gram) -> float:
    """Unbiased estimate of tr S^2 for any distribution (Himeno and Yamada 2014, eq. 2.4), from the centred kernel matrix."""
    n = len(inner)
    square = float(np.sum(inner**2)) / (n - 1) ** 2
    trace = float(np.trace(inner)) / (n - 1)
    fourth = float(np.sum(np.diagonal(inner) ** 2)) / (n - 1)
    return (n - 1) / (n * (n - 2) * (n - 3)) * ((n - 1) * (n - 2) * square + trace**2 - n * fourth)
