"""The neighbourhood of every sample in a feature space: which other samples lie in it."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.spatial.distance import cdist

NEIGHBOURS = 5
"""k: the radius of a chip's neighbourhood is the distance to its k-th nearest chip of the same set."""


def radii(features: Float[np.ndarray, "chip feature"]) -> Float[np.ndarray, " chip"]:
    """Distance of every chip to its NEIGHBOURS-th nearest other chip; more than NEIGHBOURS chips are needed."""
    return np.partition(cdist(features, features), NEIGHBOURS, axis=1)[:, NEIGHBOURS]


def inside(
    samples: Float[np.ndarray, "sample feature"], centres: Float[np.ndarray, "centre feature"]
) -> Bool[np.ndarray, "sample centre"]:
    """Whether a sample lies in the neighbourhood of a centre, its border included."""
    return cdist(samples, centres) <= radii(centres)[None, :]
