"""Chips from picture files: grey amplitude, and fitting to a bucket."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import require_file

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def load_chip(path: Path) -> Float[np.ndarray, "height width"]:
    """Amplitude of a grey chip, float32: the grey level of the file (8 or 16 bits).

    RGB files are accepted when the three channels agree to within 16 levels (JPEG rounding) and their mean is taken.

    Raises:
        FileError: missing, empty, truncated or not a picture.
        DataError: a colour picture; an amplitude that is negative, NaN or infinite (TIFF can hold such).
    """
    require_file(path, "picture of a chip", "check the path, or restore the file")
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode == "P":
                picture = picture.convert("RGB")
            array = np.asarray(picture)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise FileError(
            path, f"is not a readable picture ({error})", "PNG, JPEG, BMP, TIFF or WebP", "replace or remove the file"
        ) from error
    if array.ndim == 3:
        colour = array[..., :3].astype(np.float32) if array.shape[2] >= 3 else array[..., :1].astype(np.float32)
        spread = float((colour.max(axis=2) - colour.min(axis=2)).max())
        if spread > 16:
            raise DataError(
                path, f"a colour picture (channels differ by up to {spread:.0f})", "grey chips", "convert it to grey"
            )
        array = colour.mean(axis=2)
    if array.dtype == bool:
        array = array * np.float32(255)
    amplitude = array.astype(np.float32)
    if not np.isfinite(amplitude).all():
        bad = int((~np.isfinite(amplitude)).sum())
        raise DataError(path, f"{bad} pixels are NaN or infinite", "finite amplitudes", "make the chip again")
    if amplitude.min() < 0:
        raise DataError(
            path, f"the least pixel is {amplitude.min():g}", "amplitudes are not negative", "store the magnitude"
        )
    return amplitude


def to_grey8(amplitude: Float[np.ndarray, "height width"]) -> np.ndarray:
    """8-bit grey levels of an amplitude: rounded and clipped to 0..255."""
    return np.round(np.clip(amplitude, 0, 255)).astype(np.uint8)
