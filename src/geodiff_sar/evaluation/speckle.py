"""Statistics of speckle on homogeneous clutter: looks, variation, level, correlation."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32

TILE_SHARE, LEAST_TILE, MOST_TILE = 4, 8, 32
"""Tiles measure a quarter of a chip's smaller side, 8 to 32 pixels, and overlap by half."""

LEAST_FILLED = 0.8
"""Share of a tile that must be clutter."""

MOST_LAG = 12
"""Pixels over which the correlation of speckle is followed."""


@dataclass(frozen=True)
class TileStatistics:
    """Medians over the tiles of each chip; NaN where a chip has no tile of clutter.

    Attributes:
        looks: equivalent number of looks mean(I)^2 / var(I).
        variation: coefficient of variation of amplitude, std(A) / mean(A).
        intensity: mean intensity.
        tiles: number of tiles.
    """

    looks: Float[np.ndarray, " chip"]
    variation: Float[np.ndarray, " chip"]
    intensity: Float[np.ndarray, " chip"]
    tiles: Float[np.ndarray, " chip"]


def tile_statistics(
    amplitude: Float32[np.ndarray, "chip height width"], clutter: Bool[np.ndarray, "chip height width"]
) -> TileStatistics:
    """Moments of clutter in small tiles, and their median over the tiles of a chip.

    Within a tile a slow change of reflectivity (texture, antenna pattern) adds little variance, and the median passes over
    tiles with an edge or a bright object: over a whole chip both would lower the number of looks.
    """
    side = int(np.clip(min(amplitude.shape[1:]) // TILE_SHARE, LEAST_TILE, MOST_TILE))
    weight = clutter.astype(np.float64)
    values = amplitude.astype(np.float64) * weight
    count = _tile_sums(weight, side)
    with np.errstate(divide="ignore", invalid="ignore"):
        m1, m2, m4 = (_tile_sums(values**power, side) / count for power in (1, 2, 4))
        # unbiased variances, so that small tiles do not flatter
        unbias = count / (count - 1.0)
        looks = m2**2 / (np.maximum(m4 - m2**2, 0.0) * unbias)
        variation = np.sqrt(np.maximum(m2 - m1**2, 0.0) * unbias) / m1
    good = count >= LEAST_FILLED * side * side
    return TileStatistics(
        _median(looks, good), _median(variation, good), _median(m2, good), good.sum(axis=1).astype(np.float64)
    )


def correlation_length(
    amplitude: Float32[np.ndarray, "chip height width"], clutter: Bool[np.ndarray, "chip height width"], axis: int
) -> Float[np.ndarray, " chip"]:
    """Pixels along an axis (1 rows, 2 columns) in which the autocorrelation of clutter falls to 1/e.

    The autocorrelation of amplitude less its mean over the chip's clutter, over pairs of clutter pixels, interpolated
    linearly between lags; 12 where it has not fallen by then, NaN without clutter. White noise gives 0.63.
    """
    weight = np.moveaxis(clutter, axis, 2).astype(np.float32)
    values = np.moveaxis(amplitude, axis, 2)
    count = weight.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (values * weight).sum(axis=(1, 2)) / count
        level = (values - mean[:, None, None]) * weight
        # isolated bright objects would dominate the products
        limit = 4.0 * np.sqrt((level**2).sum(axis=(1, 2)) / count)[:, None, None]
        level = np.clip(level, -limit, limit)
        lags = range(min(MOST_LAG, values.shape[2] - 1) + 1)
        width = values.shape[2]
        curve = np.stack(
            [
                np.einsum("nij,nij->n", level[:, :, : width - k], level[:, :, k:])
                / np.einsum("nij,nij->n", weight[:, :, : width - k], weight[:, :, k:])
                for k in lags
            ],
            axis=1,
        )
        curve = curve / curve[:, :1]
    return np.array([_first_crossing(line, np.exp(-1.0)) for line in curve])


def _first_crossing(curve: Float[np.ndarray, " lag"], level: float) -> float:
    if not np.isfinite(curve).all():
        return float("nan")
    below = np.flatnonzero(curve < level)
    if len(below) == 0:
        return float(len(curve) - 1)
    k = int(below[0])
    return float(k - 1 + (curve[k - 1] - level) / (curve[k - 1] - curve[k]))


def _tile_sums(values: Float[np.ndarray, "chip height width"], side: int) -> Float[np.ndarray, "chip tile"]:
    total = np.zeros((values.shape[0], values.shape[1] + 1, values.shape[2] + 1))
    np.cumsum(np.cumsum(values, axis=1), axis=2, out=total[:, 1:, 1:])
    rows = np.arange(0, values.shape[1] - side + 1, max(1, side // 2))
    columns = np.arange(0, values.shape[2] - side + 1, max(1, side // 2))
    lower, upper = total[:, rows], total[:, rows + side]
    sums = upper[:, :, columns + side] - upper[:, :, columns] - lower[:, :, columns + side] + lower[:, :, columns]
    return sums.reshape(len(values), -1)


def _median(values: Float[np.ndarray, "chip tile"], good: Bool[np.ndarray, "chip tile"]) -> Float[np.ndarray, " chip"]:
    chosen = [line[keep & np.isfinite(line)] for line, keep in zip(values, good, strict=True)]
    return np.array([np.median(line) if len(line) else np.nan for line in chosen])
