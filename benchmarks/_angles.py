"""Errors of azimuths: modulo 360 and 180 degrees, with bootstrap intervals; used by ``mstar_azimuth.py``."""

import numpy as np

NEAR_DEG, BLOCK_DEG = 10.0, 10.0


def surprise(table: np.ndarray, simulated: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Per chip, -log of the probability given to azimuths within 10 degrees, nats: finer than counting hits.

    The probability is a softmax of the scores, at the best of a few temperatures, mixed with 2 % of chance.
    """
    near = circular(simulated[None] - azimuth[:, None]) <= NEAR_DEG
    costs = []
    for temperature in (0.004, 0.008, 0.012, 0.02, 0.03):
        share = np.exp((table - table.max(axis=1, keepdims=True)) / temperature)
        share /= share.sum(axis=1, keepdims=True)
        costs.append(-np.log(0.98 * (share * near).sum(axis=1) + 0.02 * near.mean(axis=1)))
    return min(costs, key=lambda cost: float(cost.mean()))


def circular(difference: np.ndarray) -> np.ndarray:
    """Absolute difference of angles, 0 to 180 degrees."""
    return np.abs((difference + 180) % 360 - 180)


def numbers_of(errors: np.ndarray) -> dict[str, float]:
    """Median error and share within 10 degrees, modulo 360 and 180."""
    half = np.minimum(errors, 180 - errors)
    return {
        "chips": len(errors),
        "median_mod_360": float(np.median(errors)),
        "median_mod_180": float(np.median(half)),
        "within_10_mod_360": 100 * float(np.mean(errors <= NEAR_DEG)),
        "within_10_mod_180": 100 * float(np.mean(half <= NEAR_DEG)),
    }


def resampled(values: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Bootstrap means over blocks of 10 degrees: chips at neighbouring azimuths are not independent."""
    blocks = np.floor(azimuth / BLOCK_DEG).astype(int)
    names = np.unique(blocks)
    sums = np.array([values[blocks == b].sum() for b in names], dtype=float)
    counts = np.array([(blocks == b).sum() for b in names], dtype=float)
    picks = np.random.default_rng(0).integers(0, len(names), (4000, len(names)))
    return sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
