"""Frechet distance between Gaussians fitted to two samples, and its limit for many samples."""

import numpy as np
from jaxtyping import Float

First = Float[np.ndarray, "first feature"]
Second = Float[np.ndarray, "second feature"]
MOST_PARTS, DEALS = 3, 4


def frechet_distance(first: First, second: Second) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) (Dowson and Landau 1982; Heusel et al. 2017, eq. 6), C with n - 1.

    With C1 = A'A and C2 = B'B the eigenvalues of C1 C2 are the squares of the singular values of A B', so the trace of the
    root is their sum. No root of a covariance is taken, and it does not matter whether one is singular.
    """
    (m1, a), (m2, b) = _root(first), _root(second)
    overlap = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    distance = np.sum((m1 - m2) ** 2) + np.sum(a**2) + np.sum(b**2) - 2.0 * overlap
    return max(float(distance), 0.0)


def frechet_limit(first: First, second: Second, seed: int) -> float:
    """Frechet distance for endless samples: linear in 1/N, read at 1/N = 0 (Chong and Forsyth 2020, section 3).

    Both sides are dealt into 1, 2 and 3 parts of equal size; the mean over all parts of a size, in several deals, is one
    point of the line. (The paper draws parts at random, whose own scatter the extrapolation would multiply.)

    Args:
        first, second: as many of one as of the other, at least 6.
        seed: of the deals.

    Returns:
        The limit; noise can bring it below zero.
    """
    n = len(first)
    rng = np.random.default_rng([seed, 22])
    inverse, distance = [1.0 / n], [frechet_distance(first, second)]
    for parts in range(2, MOST_PARTS + 1):
        size, found = n // parts, []
        for _ in range(DEALS):
            a, b = rng.permutation(n), rng.permutation(n)
            cuts = [slice(k * size, (k + 1) * size) for k in range(parts)]
            found += [frechet_distance(first[a[cut]], second[b[cut]]) for cut in cuts]
        inverse.append(1.0 / size)
        distance.append(float(np.mean(found)))
    return float(np.polynomial.Polynomial.fit(inverse, distance, 1)(0.0))


def _root(
    features: Float[np.ndarray, "chip feature"],
) -> tuple[Float[np.ndarray, " feature"], Float[np.ndarray, "row feature"]]:
    """Mean, and a matrix A with A'A the covariance and no more rows than needed."""
    mean = features.mean(axis=0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    rows, width = centred.shape
    return mean, centred if rows <= width else np.asarray(np.linalg.qr(centred, mode="r"))
