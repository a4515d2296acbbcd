"""What a chip format does, and what a file may say about itself."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.pixels import UNKNOWN_GRID, UNSPECIFIED, ChipGrid, PixelRemap
from geodiff_sar.data.sample import Origin

HEAD_BYTES = 32
"""Bytes from the beginning of a file that a format is recognised by."""

MAX_SIDE, MAX_PIXELS = 65_536, 1 << 26
"""A larger picture is no chip; the limit is checked before memory is taken."""


@dataclass(frozen=True)
class FileFacts:
    """What a chip's file says about itself; None or unspecified where it says nothing.

    Attributes:
        remap: how values follow from amplitude.
        grid: how the pixels lie.
        origin: measured, simulated or generated.
        depression_deg: angle by which the radar looks down.
        sensor_azimuth_deg: direction from the target to the sensor against north; never the target's aspect.
        band: letter of the radar band.
        polarisation: HH, HV, VH or VV.
        recipe: of a PNG that this tool wrote.
    """

    remap: PixelRemap = UNSPECIFIED
    grid: ChipGrid = UNKNOWN_GRID
    origin: Origin | None = None
    depression_deg: float | None = None
    sensor_azimuth_deg: float | None = None
    band: str | None = None
    polarisation: str | None = None
    recipe: dict[str, Any] | None = None


class ChipFormat(ABC):
    """Recognises, reads and describes files of one kind."""

    @staticmethod
    @abstractmethod
    def recognises(head: bytes, suffix: str) -> bool:
        """Whether a file that begins with ``head`` and ends in ``suffix`` (lower case) is of this kind."""

    @staticmethod
    @abstractmethod
    def load(path: Path) -> Float[np.ndarray, "height width"]:
        """Stored values; a FileError or DataError says what is wrong with the file."""

    @staticmethod
    @abstractmethod
    def facts(path: Path) -> FileFacts | None:
        """What the file says about itself, without reading its pixels; None: nothing."""


def require_size(path: Path, rows: int, columns: int) -> None:
    """Refuse a picture that is empty or too large, before memory is taken for it."""
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE and rows * columns <= MAX_PIXELS):
        raise DataError(
            path,
            f"{rows} rows x {columns} columns",
            f"a chip of 1 to {MAX_PIXELS} pixels, {MAX_SIDE} a side",
            "cut the chip out of the scene",
        )
