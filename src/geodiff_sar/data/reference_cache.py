"""The published latent cache: ``<stem>_{W:04d}x{H:04d}_sd3.npz`` beside the chip, W x H its original size.

Keys end in the latent size ``_{h}x{w}``: ``latents`` float32 (16, h, w), a raw (unscaled) VAE sample, ``original_size``
int (W, H) and ``crop_ltrb`` int (left, top, right, bottom). Entries of other sizes in the same file are kept.
"""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_path


def reference_cache_path(image_path: Path, original_size: tuple[int, int]) -> Path:
    """Name of the cache file of a chip whose original size is (width, height)."""
    width, height = original_size
    return image_path.with_name(f"{image_path.stem}_{width:04d}x{height:04d}_sd3.npz")


def read_reference_latents(path: Path, latent_size: tuple[int, int]) -> Float[np.ndarray, "channel h w"] | None:
    """Raw latents for the latent size (h, w); None where the file holds other sizes only.

    Raises:
        FileError: damaged file.
        DataError: all-zero (as in the published sample) or non-finite latents.
    """
    height, width = latent_size
    entries = _read(path)
    key = f"latents_{height}x{width}"
    if key not in entries:
        return None
    if not isinstance(entries[key], np.ndarray) or entries[key].shape[1:] != latent_size:
        raise DataError(
            path,
            f"'{key}' has the shape {getattr(entries[key], 'shape', None)}",
            f"(channels, {height}, {width})",
            "remove the file; it is computed again",
        )
    latents = entries[key].astype(np.float32)
    if not latents.any():
        raise DataError(
            path, "all latents are zero", "a VAE sample of the chip", "remove the file; it is computed again"
        )
    if not np.isfinite(latents).all():
        raise DataError(path, "latents hold NaN or Inf", "finite numbers", "remove the file; it is computed again")
    return latents


def write_reference_latents(
    image_path: Path,
    latents: Float[np.ndarray, "channel h w"],
    original_size: tuple[int, int],
    crop_ltrb: tuple[int, int, int, int],
) -> Path:
    """Write raw latents in the published form; returns the path."""
    path = reference_cache_path(image_path, original_size)
    entries = _read(path) if path.is_file() else {}
    size = f"{latents.shape[1]}x{latents.shape[2]}"
    entries[f"latents_{size}"] = latents.astype(np.float32)
    entries[f"original_size_{size}"] = np.array(original_size)
    entries[f"crop_ltrb_{size}"] = np.array(crop_ltrb)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **entries)  # pyright: ignore
    return path


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(path, f"cannot be read ({error})", "an .npz without pickles", "remove the file") from error
