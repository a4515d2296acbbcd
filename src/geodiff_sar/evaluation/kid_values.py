"""What each chip adds to the kernel distance of features, so that distances of two sets can be compared view by view."""

import numpy as np
from jaxtyping import Float, Float32

from geodiff_sar.evaluation.kernels import cubic_kernel


def kid_values(
    candidate: Float32[np.ndarray, "candidate feature"], reference: Float32[np.ndarray, "reference feature"]
) -> Float[np.ndarray, " candidate"]:
    """Jackknife pseudo-values ``n K - (n - 1) K_without_i`` of ``metrics.kid.Kid``'s ``kid`` (Efron and Tibshirani 1993,
    section 11.5).

    Their mean is the unbiased ``kid`` itself, since it is a U-statistic in the candidate's chips; their spread says how it
    would change with other chips of the candidate. The reference is taken as it is.

    Args:
        candidate: features, at least three chips.
        reference: features, at least two chips.
    """
    n, m = len(candidate), len(reference)
    cc, cr = cubic_kernel(candidate, candidate), cubic_kernel(candidate, reference)
    rr = cubic_kernel(reference, reference)
    within = cc.sum(axis=1) - np.diag(cc)
    total = within.sum()
    real = (rr.sum() - np.trace(rr)) / (m * (m - 1))
    across = cr.mean(axis=1)
    whole = total / (n * (n - 1)) + real - 2.0 * across.mean()
    without = (total - 2.0 * within) / ((n - 1) * (n - 2)) + real - 2.0 * (across.sum() - across) / (n - 1)
    return n * whole - (n - 1) * without
