"""Which chips are near to a training chip, and which are one over again."""

from collections.abc import Mapping
from typing import Any

import numpy as np

NEAR_SHARE = 0.01
"""A chip is near to a training chip when it is nearer than this share of the training chips are to their nearest other."""


def memory_values(details: Mapping[str, Any]) -> dict[str, list[float]]:
    """Ones and zeros per chip.

    Args:
        details: of the metric ``memorisation``.

    Returns:
        ``near``: nearer to a training chip than all but ``NEAR_SHARE`` of the training chips are to another; ``copied``: a
        training chip over again.
    """
    distance = np.array(details["distance"])
    near = np.quantile(np.array(details["distance_among_training"]), NEAR_SHARE)
    return {
        "copied": (distance < details["threshold"]).astype(float).tolist(),
        "near": (distance < near).astype(float).tolist(),
    }
