"""Whole grey levels as what they stand for: intervals of amplitude."""

import numpy as np
from jaxtyping import Float32


def spread_levels(values: Float32[np.ndarray, "*shape"], rng: np.random.Generator) -> Float32[np.ndarray, "*shape"]:
    """Whole values spread evenly over their cells; values that are not all whole are returned as they are.

    A clutter of a few grey levels has ties and zeros, whose logarithm is not finite. A whole value v stands for
    [v - 1/2, v + 1/2); the cell of zero is [0, 1/2), filled as Rayleigh amplitudes fill it, with a density
    proportional to the value.
    """
    if not np.array_equal(values, np.rint(values)):
        return values
    share = rng.random(values.shape, dtype=np.float32)
    return np.where(values > 0, values + share - np.float32(0.5), np.sqrt(share) / 2).astype(np.float32)
