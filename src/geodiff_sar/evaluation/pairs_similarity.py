"""Similarity of many registered pairs at once: SSIM and its scales, PSNR, correlation."""

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage

SIGMA_PX, RADIUS_PX = 1.5, 5
"""Gaussian window of Wang et al. (2004): 11 x 11 taps."""

K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of Wang, Simoncelli and Bovik (2003), the finest scale first."""

BATCH = 64


def ssim(
    first: Float32[np.ndarray, "pair height width"], second: Float32[np.ndarray, "pair height width"], data_range: float
) -> Float[np.ndarray, " pair"]:
    """Mean structural similarity; equals scikit-image with Gaussian weights and population covariances."""
    return np.concatenate(
        [np.empty(0), *(_luminance_contrast(*pair, data_range)[0] for pair in _batches(first, second))]
    )


def scales_for(height: int, width: int) -> int:
    """Scales of MS-SSIM whose smallest picture still holds the window; at least 1."""
    usable = [k for k in range(1, len(SCALE_WEIGHTS) + 1) if min(height, width) // 2 ** (k - 1) >= 2 * RADIUS_PX + 1]
    return max(usable, default=1)


def ms_ssim(
    first: Float32[np.ndarray, "pair height width"], second: Float32[np.ndarray, "pair height width"], data_range: float
) -> Float[np.ndarray, " pair"]:
    """Product over scales of contrast-structure, and of luminance at the last, to the power of the scales' weights.

    Each scale halves the picture by means of 2 x 2. Where fewer than five scales fit, the weights of those that do
    are scaled to sum to 1. A negative mean counts as 0, for its power is not real.
    """
    count = scales_for(first.shape[1], first.shape[2])
    weights = np.array(SCALE_WEIGHTS[:count]) * (sum(SCALE_WEIGHTS) / sum(SCALE_WEIGHTS[:count]))
    result = [np.empty(0)]
    for a, b in _batches(first, second):
        product = np.ones(len(a))
        for scale, weight in enumerate(weights):
            both, contrast = _luminance_contrast(a, b, data_range)
            factor = both if scale == count - 1 else contrast
            product *= np.maximum(factor, 0.0) ** weight
            a, b = _halved(a), _halved(b)
        result.append(product)
    return np.concatenate(result)


def psnr(
    first: Float32[np.ndarray, "pair height width"], second: Float32[np.ndarray, "pair height width"], data_range: float
) -> Float[np.ndarray, " pair"]:
    """10 log10(data_range^2 / mean squared difference), dB; infinite for equal chips."""
    error = ((first.astype(np.float64) - second) ** 2).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        return 10.0 * np.log10(data_range**2 / error)


def ncc(
    first: Float32[np.ndarray, "pair height width"], second: Float32[np.ndarray, "pair height width"]
) -> Float[np.ndarray, " pair"]:
    """Zero-mean normalised cross-correlation at zero lag (Pearson's r over pixels); NaN for a constant chip."""
    a, b = (x - x.mean(axis=(1, 2), keepdims=True) for x in (first.astype(np.float64), second.astype(np.float64)))
    with np.errstate(invalid="ignore", divide="ignore"):
        return (a * b).sum(axis=(1, 2)) / np.sqrt((a**2).sum(axis=(1, 2)) * (b**2).sum(axis=(1, 2)))


def _luminance_contrast(first: np.ndarray, second: np.ndarray, data_range: float) -> tuple[np.ndarray, np.ndarray]:
    """Means over the picture, less a border of half a window, of SSIM and of its contrast-structure term."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean1, mean2 = _window(first), _window(second)
    var1, var2 = _window(first**2) - mean1**2, _window(second**2) - mean2**2
    covariance = _window(first * second) - mean1 * mean2
    contrast = (2.0 * covariance + c2) / (var1 + var2 + c2)
    both = (2.0 * mean1 * mean2 + c1) / (mean1**2 + mean2**2 + c1) * contrast
    inner = (slice(None), slice(RADIUS_PX, -RADIUS_PX), slice(RADIUS_PX, -RADIUS_PX))
    return both[inner].mean(axis=(1, 2)), contrast[inner].mean(axis=(1, 2))


def _window(values: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(values, (0.0, SIGMA_PX, SIGMA_PX), radius=(0, RADIUS_PX, RADIUS_PX))


def _halved(values: np.ndarray) -> np.ndarray:
    height, width = values.shape[1] // 2 * 2, values.shape[2] // 2 * 2
    return values[:, :height, :width].reshape(len(values), height // 2, 2, width // 2, 2).mean(axis=(2, 4))


def _batches(first: np.ndarray, second: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [
        (first[k : k + BATCH].astype(np.float64), second[k : k + BATCH].astype(np.float64))
        for k in range(0, len(first), BATCH)
    ]
