"""A folder with ``metadata.csv`` or ``metadata.jsonl``: one row per chip."""

import csv
import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import read_text
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.formats import file_facts
from geodiff_sar.data.formats.base import FileFacts
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.sample import Sample

COLUMNS = (
    "file_name",
    "id",
    "text",
    "caption",
    "target",
    "band",
    "resolution",
    "polarisation",
    "azimuth",
    "depression",
    "features",
    "repeats",
    "serial",
    "mask",
    "sensor_azimuth",
)

DESCRIPTION = "dataset.toml"
"""Where it lies in the folder, the layout ``described`` reads the table."""


@READERS.register("table")
class TableReader(Reader):
    """Columns: ``file_name`` and either ``text`` (or ``caption``) or ``target, band, resolution, polarisation, azimuth``.

    Optional: ``id``, ``azimuth`` and ``depression`` in degrees, ``features`` (path of the point features, relative to the
    folder), ``repeats``, ``serial``, ``mask`` (path), ``sensor_azimuth`` in degrees. Other columns are an error, so that a
    misspelt one is not overlooked.

    Pixels are what the chips' files say (raw MSTAR, SICD, PNGs of this tool); what they do not say is unspecified, unless a
    ``dataset.toml`` states it (layout ``described``).
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return find_table(root) is not None and not (root / DESCRIPTION).is_file()

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        table = find_table(root)
        if table is None:
            raise FileError(root, "holds neither metadata.csv nor metadata.jsonl", "one of them", "write one")
        if (root / DESCRIPTION).is_file():
            raise FileError(
                root / DESCRIPTION,
                "describes this table",
                "the layout 'described' reads both",
                "set data.layout = 'auto'",
            )
        features = pointcloud_dir or next((p for p in (root / "3d_features",) if p.is_dir()), None)
        return [row_sample(root, root, features, row, f"{table}:{line}") for line, row in read_rows(table)]


def find_table(root: Path) -> Path | None:
    """The table of a folder, or None."""
    return next((root / n for n in ("metadata.jsonl", "metadata.csv") if (root / n).is_file()), None)


def read_rows(table: Path) -> list[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of a CSV or JSONL table; empty cells are left out.

    Raises:
        FileError: missing or unreadable.
        DataError: malformed; names the line.
    """
    text = read_text(table, "one row per chip")
    if table.suffix.lower() != ".jsonl":
        return _csv_rows(table, text)
    rows = []
    for line, entry in enumerate(text.splitlines(), start=1):
        if not entry.strip():
            continue
        try:
            row = json.loads(entry)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{table}:{line}", f"is not JSON ({error})", "one JSON object per line", "correct it"
            ) from None
        if not isinstance(row, dict):
            raise DataError(f"{table}:{line}", f"is a {type(row).__name__}", "one JSON object per line", "correct it")
        rows.append((line, {key: value for key, value in row.items() if value not in (None, "")}))
    return rows


def _csv_rows(table: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if None in row:
                raise DataError(
                    f"{table}:{reader.line_num}",
                    f"{len(row[None])} cells more than columns",
                    "as many cells as the first line has columns",
                    "put a caption, which holds commas, in double quotes",
                )
            rows.append((reader.line_num, {k: v for k, v in row.items() if v not in (None, "")}))
    except csv.Error as error:
        raise DataError(f"{table}:{reader.line_num}", f"is not CSV ({error})", "a CSV table", "correct it") from error
    return rows


def row_sample(root: Path, pictures: Path, features: Path | None, row: dict[str, Any], source: str) -> Sample:
    """The sample of one row.

    Args:
        root: folder that ``features`` and ``mask`` of the row are relative to.
        pictures: folder that ``file_name`` is relative to.
        features: folder of point features that the row does not name.
        row: columns of COLUMNS.
        source: file and line, for messages.

    Raises:
        FileError: a chip with a damaged header.
        DataError: a row that breaks the rules.
    """
    unknown = sorted(str(key) for key in row if key not in COLUMNS)
    if unknown:
        raise DataError(
            source, f"unknown columns {unknown}", f"columns are {', '.join(COLUMNS)}", "rename or remove them"
        )
    if "file_name" not in row:
        raise DataError(source, "has no file_name", "every row names its chip", "add the column file_name")
    chip = pictures / str(row["file_name"])
    facts = file_facts(chip) or FileFacts()
    text = row.get("text") or row.get("caption")
    if text is None:
        missing = [k for k in ("target", "band", "resolution") if k not in row]
        if missing:
            raise DataError(source, f"has neither text nor {', '.join(missing)}", "a caption or its fields", "add them")
        azimuth = read_number(row, "azimuth", source)
        if row.get("polarisation") is not None and azimuth is None:
            raise DataError(source, "has a polarisation but no azimuth", "a caption has both or neither", "add it")
        polarisation = row.get("polarisation") or (facts.polarisation if azimuth is not None else None)
        text = str(Caption(str(row["target"]), str(row["band"]), str(row["resolution"]), polarisation, azimuth))
    caption = parse_caption(str(text), source)
    azimuth = read_number(row, "azimuth", source)
    azimuth = caption.azimuth_deg if azimuth is None else azimuth
    depression = read_number(row, "depression", source)
    if depression is not None and azimuth is None:
        raise DataError(source, "has a depression but no azimuth", "a pose begins with the azimuth", "add the azimuth")
    depression = facts.depression_deg if depression is None else depression
    try:
        pose = Pose(azimuth, depression) if azimuth is not None else None
    except OptionError as error:
        raise DataError(source, f"{error.subject} is {error.found}", error.rule, error.remedy) from None
    identity = _identity(chip.stem if row.get("id") is None else str(row["id"]), source)
    prior = root / str(row["features"]) if "features" in row else None
    if prior is None and features is not None:
        prior = find_features(features, identity)
    repeats = read_number(row, "repeats", source)
    if repeats is not None and (repeats < 1 or repeats != int(repeats)):
        raise DataError(source, f"repeats is {row['repeats']!r}", "a whole number from 1 on", "correct or remove it")
    sensor = read_number(row, "sensor_azimuth", source)
    return Sample(
        identity,
        chip,
        caption,
        str(text),
        pose,
        prior,
        1 if repeats is None else int(repeats),
        remap=facts.remap,
        grid=facts.grid,
        mask_path=root / str(row["mask"]) if "mask" in row else None,
        serial=None if row.get("serial") is None else str(row["serial"]),
        sensor_azimuth_deg=facts.sensor_azimuth_deg if sensor is None else sensor % 360.0,
        origin=facts.origin,
    )


def _identity(identity: str, source: str) -> str:
    """An id is part of the name of the chip's feature file, perhaps below a folder, and must not lead elsewhere."""
    parts = re.split(r"[/\\]", identity)
    if "\\" in identity or any(part.strip() in ("", ".", "..") for part in parts) or not identity.isprintable():
        raise DataError(
            source, f"the id is {identity!r}", "a name, or a path below the features' folder without '..'", "rename it"
        )
    return identity


def read_number(row: Mapping[str, Any], key: str, source: str) -> float | None:
    """A finite number of a row; None where the cell is empty, a DataError where it is anything else."""
    if row.get(key) in (None, ""):
        return None
    try:
        value = float(row[key])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise DataError(source, f"{key} is {row[key]!r}", "a number", "correct the value")
    return value
