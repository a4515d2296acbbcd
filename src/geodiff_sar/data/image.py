"""Chips from files of any registered format: amplitude, or the values that stand for it."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import require_file
from geodiff_sar.data.formats import find_format
from geodiff_sar.data.pixels import ChipGrid, to_frame

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def load_chip(path: Path) -> Float[np.ndarray, "height width"]:
    """Stored values of a chip, float32: the grey level of a picture (8 or 16 bits), the magnitude of a complex image.

    RGB files are accepted when the three channels agree to within 16 levels (JPEG rounding) and their mean is taken. The
    formats (``data.formats``) are told apart by content.

    Raises:
        FileError: missing, empty, truncated or of no known format.
        DataError: a colour picture; an amplitude that is negative, NaN or infinite (TIFF can hold such).
    """
    require_file(path, "picture of a chip", "check the path, or restore the file")
    amplitude = find_format(path).load(path).astype(np.float32)
    if not np.isfinite(amplitude).all():
        bad = int((~np.isfinite(amplitude)).sum())
        raise DataError(path, f"{bad} pixels are NaN or infinite", "finite amplitudes", "make the chip again")
    if amplitude.min() < 0:
        raise DataError(
            path, f"the least pixel is {amplitude.min():g}", "amplitudes are not negative", "store the magnitude"
        )
    return amplitude


def load_in_frame(path: Path, grid: ChipGrid) -> Float[np.ndarray, "cross_range range"]:
    """As ``load_chip``, turned into the package's frame, where range grows to the right; as it lies in the file where
    ``grid`` does not say the direction of range."""
    return to_frame(load_chip(path), grid)


def to_grey8(amplitude: Float[np.ndarray, "height width"]) -> np.ndarray:
    """8-bit grey levels of an amplitude: rounded and clipped to 0..255."""
    return np.round(np.clip(amplitude, 0, 255)).astype(np.uint8)
