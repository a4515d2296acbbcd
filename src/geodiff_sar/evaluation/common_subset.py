"""As many chips of either side as every row of the report can give, for metrics whose expectation depends on the number."""

import numpy as np
from jaxtyping import Float

from geodiff_sar.evaluation.base import Comparison

First = Float[np.ndarray, "first feature"]
Second = Float[np.ndarray, "second feature"]


def common_subset(comparison: Comparison) -> tuple[First, Second]:
    """``common_n`` chips of the reference and of the candidate, drawn without replacement; float64, in their order."""
    sides = (comparison.reference_features, comparison.candidate_features)
    drawn = []
    for side, features in enumerate(sides):
        count = min(comparison.common_n, len(features))
        chosen = np.random.default_rng([comparison.seed, 21, side]).permutation(len(features))[:count]
        drawn.append(features[np.sort(chosen)].astype(np.float64))
    return drawn[0], drawn[1]
