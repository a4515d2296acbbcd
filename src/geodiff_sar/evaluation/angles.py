"""Angles on the circle, in degrees."""

import numpy as np
from jaxtyping import Float


def circular_difference(
    first_deg: Float[np.ndarray, "*shape"], second_deg: Float[np.ndarray, "*shape"] | float
) -> Float[np.ndarray, "*shape"]:
    """``first - second`` in [-180, 180)."""
    return (np.asarray(first_deg) - np.asarray(second_deg) + 180.0) % 360.0 - 180.0


def circular_distance(
    first_deg: Float[np.ndarray, "*shape"], second_deg: Float[np.ndarray, "*shape"] | float, period: float = 360.0
) -> Float[np.ndarray, "*shape"]:
    """Distance on a circle of ``period`` degrees, in [0, period / 2]; 180 forgives front and rear."""
    turn = np.abs(np.asarray(first_deg) - np.asarray(second_deg)) % period
    return np.minimum(turn, period - turn)
