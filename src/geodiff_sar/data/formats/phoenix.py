"""Raw MSTAR chips; see ``data.phoenix``."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.formats import FORMATS
from geodiff_sar.data.formats.base import ChipFormat, FileFacts
from geodiff_sar.data.phoenix import PhoenixHeader, begins_phoenix, read_phoenix, read_phoenix_header
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid, RangeDirection

AWAY: dict[str, RangeDirection] = {"bottom": "up", "top": "down", "left": "right", "right": "left"}
"""RadarPosition is the edge of the picture where the radar stands; range grows away from it."""


@FORMATS.register("phoenix")
class PhoenixFormat(ChipFormat):
    """MSTAR raw chip: the magnitude."""

    @staticmethod
    def recognises(head: bytes, suffix: str) -> bool:
        return begins_phoenix(head)

    @staticmethod
    def load(path: Path) -> Float[np.ndarray, "height width"]:
        return read_phoenix(path).magnitude

    @staticmethod
    def facts(path: Path) -> FileFacts | None:
        return phoenix_facts(read_phoenix_header(path))


def phoenix_facts(header: PhoenixHeader) -> FileFacts:
    """Grid, depression, band and polarisation of a raw chip; lengths rounded to 1 mm, so that a collection has one grid."""

    def metres(key: str) -> float | None:
        value = header.number(key)
        return None if value is None else round(value, 3)

    position = header.fields.get("RadarPosition", "").lower()
    if position and position not in AWAY:
        raise DataError(
            header.path, f"RadarPosition is {position!r}", f"one of {', '.join(AWAY)}", "correct the header"
        )
    depression = header.number("MeasuredDepression")
    grid = ChipGrid(
        range_direction=AWAY.get(position),
        pixel_range_m=metres("RangePixelSpacing"),
        pixel_cross_range_m=metres("CrossRangePixelSpacing"),
        resolution_range_m=metres("Range3dBWidth"),
        resolution_cross_range_m=metres("CrossRange3dBWidth"),
    )
    return FileFacts(
        AMPLITUDE,
        grid,
        "measured",
        header.number("DesiredDepression") if depression is None else depression,
        band="X",
        polarisation=header.fields.get("Polarization") or "HH",
    )
