"""File formats of chips. A new format is one new file here."""

from pathlib import Path

from geodiff_sar.core.files import open_binary
from geodiff_sar.core.registry import Registry
from geodiff_sar.data.formats.base import HEAD_BYTES, ChipFormat, FileFacts

FORMATS: Registry[type[ChipFormat]] = Registry("chip format", "chip format", "geodiff_sar.data.formats")

PICTURE = "picture"
"""The format of everything that no other one recognises."""


def find_format(path: Path) -> type[ChipFormat]:
    """The format of an existing file, by its first bytes or its ending."""
    with open_binary(path) as file:
        head = file.read(HEAD_BYTES)
    suffix = path.suffix.lower()
    for name in FORMATS.names():
        if name != PICTURE and FORMATS.get(name).recognises(head, suffix):
            return FORMATS.get(name)
    return FORMATS.get(PICTURE)


def file_facts(path: Path) -> FileFacts | None:
    """What a chip's file says about itself; None where it says nothing or does not exist.

    Raises:
        FileError, DataError: a damaged header.
    """
    return find_format(path).facts(path) if path.is_file() and path.stat().st_size else None
