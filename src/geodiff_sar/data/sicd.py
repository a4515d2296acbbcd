"""SICD files (NGA.STND.0024, a NITF container) through sarkit, which is an optional extra."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import open_binary
from geodiff_sar.data.formats.base import FileFacts, require_size
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid

MAGIC = b"NITF02.1"
SUFFIXES = (".nitf", ".ntf", ".sicd")
PIXEL_BYTES = {"RE32F_IM32F": 8, "RE16I_IM16I": 4, "AMP8I_PHS8I": 2}
BANDS = (
    ("VHF", 0.03e9),
    ("UHF", 0.3e9),
    ("L", 1e9),
    ("S", 2e9),
    ("C", 4e9),
    ("X", 8e9),
    ("Ku", 12e9),
    ("K", 18e9),
    ("Ka", 27e9),
    ("V", 40e9),
)
"""Radar bands after IEEE 521, with their lower limits in Hz."""

DAMAGED = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError),
    *(RuntimeError, OSError, SyntaxError, EOFError),
)
"""What sarkit, jbpy and lxml raise at a damaged file."""


def read_sicd(path: Path) -> Float32[np.ndarray, "height width"]:
    """Magnitude of the complex image; rows grow with slant range.

    Pixels are complex floats, complex 16-bit integers, or 8-bit amplitude and phase; the amplitude goes through the file's
    amplitude table where it has one.

    Raises:
        FileError: sarkit is absent; not a SICD, or damaged, or cut short.
        DataError: an impossible size or pixel type.
    """
    with _opened(path) as reader:
        tree = reader.metadata.xmltree
        kind, rows, columns = (
            _text(path, tree, f"ImageData/{{*}}{name}") for name in ("PixelType", "NumRows", "NumCols")
        )
        if kind not in PIXEL_BYTES or not (rows.isdecimal() and columns.isdecimal()):
            raise DataError(
                path, f"{rows} x {columns} pixels of type {kind}", f"a type of {', '.join(PIXEL_BYTES)}", "convert it"
            )
        require_size(path, int(rows), int(columns))
        if path.stat().st_size < PIXEL_BYTES[kind] * int(rows) * int(columns):
            raise FileError(
                path, "is cut short", f"{rows} x {columns} pixels of {PIXEL_BYTES[kind]} bytes", "copy it again"
            )
        image = reader.read_image()
        if kind == "RE32F_IM32F":
            return np.abs(image).astype(np.float32)
        if kind == "RE16I_IM16I":
            return np.hypot(image["real"].astype(np.float32), image["imag"].astype(np.float32))
        return _amplitude_table(path, tree)[image["amp"]]


def sicd_facts(path: Path) -> FileFacts:
    """Grid, sensor azimuth, depression, band and polarisation; lengths rounded to 1 mm.

    A SICD shows the scene from above with slant range growing with the row number. ``SCPCOA/AzimAng`` is the direction
    from the scene centre to the sensor, clockwise from north: it is the aspect of no target, since the file does not know
    where a target's nose points. ``SCPCOA/GrazeAng`` is taken as the depression. In a ground-plane image
    (``Grid/ImagePlane``) rows are not slant range, and their spacing and width are left out. ``ImpRespWid`` are 3 dB widths.

    Raises:
        FileError: sarkit is absent; not a SICD, or damaged.
        DataError: angles or lengths that are not numbers.
    """
    with _opened(path) as reader:
        tree = reader.metadata.xmltree
        slant = tree.findtext("{*}Grid/{*}ImagePlane") != "GROUND"
        grid = ChipGrid(
            range_direction="down",
            pixel_range_m=_metres(path, tree, "Grid/{*}Row/{*}SS") if slant else None,
            pixel_cross_range_m=_metres(path, tree, "Grid/{*}Col/{*}SS"),
            resolution_range_m=_metres(path, tree, "Grid/{*}Row/{*}ImpRespWid") if slant else None,
            resolution_cross_range_m=_metres(path, tree, "Grid/{*}Col/{*}ImpRespWid"),
        )
        frequencies = [
            _number(path, tree, f"ImageFormation/{{*}}TxFrequencyProc/{{*}}{end}Proc") for end in ("Min", "Max")
        ]
        polarisation = (tree.findtext("{*}ImageFormation/{*}TxRcvPolarizationProc") or "").replace(":", "")
        return FileFacts(
            AMPLITUDE,
            grid,
            "measured",
            _number(path, tree, "SCPCOA/{*}GrazeAng"),
            _number(path, tree, "SCPCOA/{*}AzimAng") % 360.0,
            next(name for name, low in reversed(BANDS) if sum(frequencies) / 2 >= low or low == BANDS[0][1]),
            polarisation if polarisation in ("HH", "HV", "VH", "VV") else None,
        )


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """sarkit's reader of a file; whatever goes wrong inside is a FileError."""
    try:
        import sarkit.sicd
    except ImportError as error:
        raise FileError(
            path,
            "SICD needs the package sarkit, which is not installed",
            "the extra 'sicd'",
            "pip install 'geodiff-sar[sicd]'",
        ) from error
    with open_binary(path) as file:
        if not file.read(len(MAGIC)) == MAGIC:
            raise FileError(path, "does not begin like a NITF 2.1 file", "a SICD", "give SICD files only")
        file.seek(0)
        try:
            with sarkit.sicd.NitfReader(file) as reader:
                yield reader
        except (FileError, DataError):
            raise
        except DAMAGED as error:
            raise FileError(
                path,
                f"cannot be read as a SICD ({type(error).__name__}: {error})",
                "an intact SICD",
                "copy the file again",
            ) from error


def _text(path: Path, tree: Any, place: str) -> str:
    found = tree.findtext("{*}" + place)
    if found is None:
        raise FileError(path, f"its XML lacks {place.replace('{*}', '')}", "an intact SICD", "copy the file again")
    return found.strip()


def _number(path: Path, tree: Any, place: str) -> float:
    text = _text(path, tree, place)
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        raise DataError(path, f"{place.replace('{*}', '')} is {text!r}", "a number", "correct the file")
    return value


def _metres(path: Path, tree: Any, place: str) -> float:
    value = round(_number(path, tree, place), 3)
    if value <= 0:
        raise DataError(path, f"{place.replace('{*}', '')} is {value:g} m", "at least 1 mm", "correct the file")
    return value


def _amplitude_table(path: Path, tree: Any) -> Float32[np.ndarray, " code"]:
    """Amplitude of every 8-bit code."""
    table = np.arange(256, dtype=np.float32)
    for entry in tree.findall("{*}ImageData/{*}AmpTable/{*}Amplitude"):
        index = entry.get("index", "")
        if not (index.isdecimal() and int(index) < 256):
            raise DataError(path, f"an entry of its AmpTable has the index {index!r}", "0 to 255", "correct the file")
        table[int(index)] = float(entry.text)
    return table
