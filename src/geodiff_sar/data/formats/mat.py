"""MATLAB files that hold a complex chip as ``complex_img``, as in the SAMPLE data set."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from jaxtyping import Float
from scipy.io.matlab import MatReadError

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.formats import FORMATS
from geodiff_sar.data.formats.base import ChipFormat, FileFacts, require_size
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid

VARIABLE = "complex_img"
SPACINGS = ("range_pixel_spacing", "xrange_pixel_spacing")
DAMAGED = (
    MatReadError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OSError,
    struct.error,
    zlib.error,
    MemoryError,
    OverflowError,
)
"""What scipy raises at a damaged file."""


@FORMATS.register("mat")
class MatFormat(ChipFormat):
    """MATLAB version 4 to 7.2: the magnitude of the complex matrix ``complex_img``."""

    @staticmethod
    def recognises(head: bytes, suffix: str) -> bool:
        return head.startswith(b"MATLAB ") or suffix == ".mat"

    @staticmethod
    def load(path: Path) -> Float[np.ndarray, "height width"]:
        shape = _shapes(path).get(VARIABLE)
        if shape is None or len(shape) != 2:
            raise DataError(
                path,
                f"has no matrix '{VARIABLE}'" if shape is None else f"'{VARIABLE}' has the shape {shape}",
                f"a complex matrix '{VARIABLE}' (rows, columns)",
                "store the chip under this name",
            )
        require_size(path, *shape)
        image = _read(path, [VARIABLE])[VARIABLE]
        if not np.issubdtype(np.asarray(image).dtype, np.number):
            raise DataError(path, f"'{VARIABLE}' holds {np.asarray(image).dtype}", "numbers", "store the complex image")
        return np.abs(image).astype(np.float32)

    @staticmethod
    def facts(path: Path) -> FileFacts | None:
        found = _read(path, [name for name in SPACINGS if name in _shapes(path)])
        spacing = {name: round(_scalar(path, name, value), 3) for name, value in found.items() if name in SPACINGS}
        grid = ChipGrid(pixel_range_m=spacing.get(SPACINGS[0]), pixel_cross_range_m=spacing.get(SPACINGS[1]))
        return FileFacts(AMPLITUDE, grid)


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the variables, read without their values."""
    try:
        return {name: tuple(shape) for name, shape, _ in scipy.io.whosmat(path)}
    except NotImplementedError as error:
        raise _hdf5(path) from error
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _read(path: Path, names: list[str]) -> dict[str, Any]:
    try:
        return scipy.io.loadmat(path, variable_names=names)
    except NotImplementedError as error:
        raise _hdf5(path) from error
    except DAMAGED as error:
        raise _damaged(path, error) from error


def _scalar(path: Path, name: str, value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all() or array.min() <= 0:
        raise DataError(path, f"{name} is {str(value)[:60]}", "a positive number of metres", "correct the file")
    return float(array.reshape(-1)[0])


def _hdf5(path: Path) -> FileError:
    return FileError(
        path, "is a MATLAB file of version 7.3 (HDF5)", "MATLAB version 4 to 7.2", "save it in MATLAB with the flag -v7"
    )


def _damaged(path: Path, error: BaseException) -> FileError:
    return FileError(path, f"cannot be read as a MATLAB file ({error})", "an intact file", "copy the file again")
