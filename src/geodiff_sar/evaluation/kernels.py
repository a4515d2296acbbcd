"""Kernel matrices between feature vectors, in float64."""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist

Features = Float[np.ndarray, "chip feature"]
First = Float[np.ndarray, "first feature"]
Second = Float[np.ndarray, "second feature"]
Gram = Float[np.ndarray, "first second"]


def cubic_kernel(first: First, second: Second) -> Gram:
    """(x.y / d + 1)^3 with d the width of the space (Binkowski et al. 2018, eq. 6)."""
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return (x @ y.T / x.shape[1] + 1.0) ** 3


def gaussian_kernel(first: First, second: Second, bandwidth: float) -> Gram:
    """exp(-|x - y|^2 / (2 bandwidth^2))."""
    squared = cdist(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64), "sqeuclidean")
    return np.exp(squared / (-2.0 * bandwidth**2))


def median_distance(features: Features) -> float:
    """Median distance between different chips: the bandwidth that adapts to a space (Gretton et al. 2012, section 8)."""
    return float(np.median(pdist(np.asarray(features, dtype=np.float64))))


def unit_length(features: Features) -> Features:
    """Every vector divided by its length; a zero vector stays zero."""
    values = np.asarray(features, dtype=np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return values / np.where(length > 0, length, 1.0)
