"""Raw MSTAR chips: a text header ("Phoenix header"), then magnitude and phase as big-endian float32.

Layout of a file (MSTAR public release, Sandia's Twin Otter spotlight SAR)::

    [PhoenixHeaderVer01.04]
    PhoenixHeaderLength= 01976      bytes of the header, from the first byte of the file
    PhoenixSigSize= 00133048        bytes of the whole file
    native_header_length= 0         bytes of a second, binary header between this one and the data
    NumberOfColumns= 128
    ...
    [EndofPhoenixHeader]
    magnitude (rows x columns), then phase (rows x columns, radians in [0, 2 pi))

What is odd about it: the first byte is a line feed, which counts as part of the header; the length of the header differs
from chip to chip; numbers are padded with zeros or blanks and may carry units ("9.60 GHz", "64 dB"); keys are not sorted and
not the same in all collections; files end in .000 to .999, a number that stands for the vehicle; full scenes of clutter
have the same kind of header but 16-bit integers, and are no chips; a few magnitudes are exactly 0. TargetAz of BMP2 differs
from the true azimuth by a constant per specimen. Angles and conventions: see ``data.readers.mstar``.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import open_binary
from geodiff_sar.data.formats.base import require_size

MAGIC, END = b"[PhoenixHeaderVer", b"[EndofPhoenixHeader]"
MAX_HEADER = 65_536
"""Real headers have about 2,000 bytes."""

WHAT = "a raw MSTAR chip: Phoenix header, then magnitude and phase as big-endian float32"
REMEDY = "copy the file again from the original"


@dataclass(frozen=True)
class PhoenixHeader:
    """A header that has been checked against the size of its file.

    Attributes:
        path: the file.
        fields: the texts after "=", stripped.
        offset: where the magnitude begins, bytes.
        rows, columns: size of the chip.
    """

    path: Path
    fields: dict[str, str]
    offset: int
    rows: int
    columns: int

    def number(self, key: str) -> float | None:
        """A field as a number; None where it is absent or empty; a DataError where it is something else."""
        text = self.fields.get(key, "")
        if not text:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise DataError(self.path, f"{key} is {text!r}", "a number", REMEDY)
        return value


@dataclass(frozen=True)
class PhoenixChip:
    """A raw chip.

    Attributes:
        magnitude: (rows, columns) in the units of the file.
        phase: (rows, columns) radians.
        header: fields of the header as texts.
    """

    magnitude: Float32[np.ndarray, "height width"]
    phase: Float32[np.ndarray, "height width"]
    header: dict[str, str]


def read_phoenix(path: Path) -> PhoenixChip:
    """Read a raw chip.

    Raises:
        FileError: not such a file, a damaged header, a file cut short.
        DataError: impossible sizes, a scene of 16-bit values, magnitudes or phases that are NaN or infinite.
    """
    header = read_phoenix_header(path)
    count = header.rows * header.columns
    with open_binary(path) as file:
        file.seek(header.offset)
        values = np.frombuffer(file.read(8 * count), dtype=">f4").astype(np.float32)
    if len(values) != 2 * count:
        raise FileError(path, "became shorter while it was read", WHAT, REMEDY)
    parts = values.reshape(2, header.rows, header.columns)
    for name, part in zip(("magnitudes", "phases"), parts, strict=True):
        if not np.isfinite(part).all():
            bad = int((~np.isfinite(part)).sum())
            raise DataError(path, f"{bad} {name} are NaN or infinite", "finite numbers", REMEDY)
    return PhoenixChip(parts[0], parts[1], header.fields)


def read_phoenix_header(path: Path) -> PhoenixHeader:
    """Read and check the header only; the file's size must be what the header says.

    Raises:
        FileError: not such a file, a damaged header, a file cut short.
        DataError: impossible sizes, or a scene of 16-bit values.
    """
    size = path.stat().st_size
    with open_binary(path) as file:
        head = file.read(MAX_HEADER)
    fields, end = _fields(path, head)
    length = _whole(path, fields, "PhoenixHeaderLength")
    native = _whole(path, fields, "native_header_length", 0)
    if not (end <= length <= MAX_HEADER and 0 <= native <= MAX_HEADER):
        raise FileError(
            path,
            f"says that its headers have {length} and {native} bytes; the text ends after {end}",
            f"headers of at most {MAX_HEADER} bytes, not shorter than their text",
            REMEDY,
        )
    rows, columns = (_whole(path, fields, key) for key in ("NumberOfRows", "NumberOfColumns"))
    require_size(path, rows, columns)
    offset = length + native
    expected = offset + 8 * rows * columns
    if size == offset + 4 * rows * columns:
        raise DataError(
            path, "holds 16-bit values: a full scene", "chips of float32 magnitude and phase", "leave scenes out"
        )
    if size != expected:
        state = "is cut short" if size < expected else "is too long"
        raise FileError(
            path,
            f"{state}: {size} bytes",
            f"{expected} bytes for {rows} rows x {columns} columns after the header",
            REMEDY,
        )
    return PhoenixHeader(path, fields, offset, rows, columns)


def is_phoenix(path: Path) -> bool:
    """Whether a file begins like a raw MSTAR chip."""
    with open_binary(path) as file:
        return begins_phoenix(file.read(len(MAGIC) + 2))


def begins_phoenix(head: bytes) -> bool:
    """Whether these first bytes are those of a raw MSTAR chip; a line break before the mark is usual."""
    return head.lstrip(b"\r\n").startswith(MAGIC)


def _fields(path: Path, head: bytes) -> tuple[dict[str, str], int]:
    """Fields, and the byte after the mark that ends the text."""
    end = head.find(END)
    if not begins_phoenix(head) or end < 0:
        found = "its header does not end" if begins_phoenix(head) else "does not begin with a Phoenix header"
        raise FileError(path, found, WHAT, REMEDY)
    try:
        lines = head[:end].decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise FileError(path, f"its header is damaged ({error})", "ASCII text", REMEDY) from error
    fields: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        key, sign, value = line.partition("=")
        if not line.strip() or line.encode().startswith(MAGIC):
            continue
        if not sign or not key.strip() or not line.isprintable():
            raise FileError(path, f"line {number} of its header is damaged: {line[:60]!r}", "key= value", REMEDY)
        fields[key.strip()] = value.strip()
    return fields, end + len(END)


def _whole(path: Path, fields: dict[str, str], key: str, default: int | None = None) -> int:
    text = fields.get(key, "")
    if not text and default is not None:
        return default
    if not (text.isdecimal() and len(text) <= 12):
        raise FileError(path, f"{key} of its header is {text!r}", "a whole number", REMEDY)
    return int(text)
