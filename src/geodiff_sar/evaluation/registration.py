"""Sub-pixel registration of one chip to another."""

import numpy as np
from jaxtyping import Float, Float32
from scipy import ndimage
from skimage.registration import phase_cross_correlation

UPSAMPLING = 20
"""Shifts are found to a twentieth of a pixel."""

LIMIT_SHARE = 1.0 / 16.0
"""Longest shift, as a share of the smaller side."""

Shift = tuple[float, float]
"""Rows and columns by which a chip is moved to lie on another."""


def shift_limit(shape: tuple[int, ...]) -> int:
    """Longest shift in rows or columns, pixels, of chips of this shape (H, W)."""
    return max(1, int(min(shape) * LIMIT_SHARE))


def find_shift(
    fixed: Float32[np.ndarray, "height width"], moving: Float32[np.ndarray, "height width"], limit: float | int
) -> Shift | None:
    """The shift that brings ``moving`` onto ``fixed``; None where it is longer than ``limit`` or cannot be told.

    The peak of the cross-correlation of the square roots of both, refined by an upsampled Fourier transform
    (Guizar-Sicairos, Thurman and Fienup 2008, by scikit-image). The root keeps a few bright scatterers, which come and go
    from one aspect to the next, from deciding alone; phases are not whitened, for that would align speckle.
    """
    first, second = (np.sqrt(chip.astype(np.float64)) for chip in (fixed, moving))
    first, second = first - first.mean(), second - second.mean()
    if not first.any() or not second.any():
        return None
    shift, _, _ = phase_cross_correlation(first, second, upsample_factor=UPSAMPLING, normalization=None)  # pyright: ignore[reportArgumentType]
    found = (float(shift[0]), float(shift[1]))
    return found if max(abs(found[0]), abs(found[1])) <= limit else None


def apply_shift(chip: Float[np.ndarray, "height width"], shift: Shift) -> Float32[np.ndarray, "height width"]:
    """The chip moved by cubic splines; values stay >= 0, and borders without content repeat the edge."""
    if shift == (0.0, 0.0):
        return chip.astype(np.float32)
    moved = ndimage.shift(chip.astype(np.float64), shift, order=3, mode="nearest")
    return np.maximum(moved, 0.0).astype(np.float32)
