"""MSTAR chips as pictures with ``manifest.csv``: folders ``linear`` and ``enhanced``, masks in ``masks``."""

import csv
import io
from pathlib import Path

from geodiff_sar.core.console import say
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import read_text
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.pixels import ChipGrid, PixelRemap
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.table import read_number
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sectors import wrapped

TABLE, MASKS, FEATURES = "manifest.csv", "masks", "3d_features"
REMAPS = {
    "linear": PixelRemap(kind="power", exponent=1.0, scaling="per-chip"),
    "enhanced": PixelRemap(kind="nonlinear", name="enhanced", scaling="per-chip"),
}
COLUMNS = ("file", "class", "target_azimuth_deg")
GRID = ChipGrid(
    range_direction="up",
    pixel_range_m=0.202,
    pixel_cross_range_m=0.203,
    resolution_range_m=0.301,
    resolution_cross_range_m=0.323,
)
"""Near range lies at the bottom; spacings and 3 dB widths as in the headers of the collection."""


@READERS.register("manifest")
class ManifestReader(Reader):
    """Columns ``file``, ``class``, ``target_azimuth_deg``; optional ``serial``, ``depression_deg``; others are ignored.

    The root is the folder of the table, and then ``linear`` is taken where there is one, or one of its picture folders.
    MSTAR's TargetAz turns the target clockwise under a radar that stands still, this package's azimuth turns the radar:
    azimuth = 360 - TargetAz.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return _folders(root) is not None

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        found = _folders(root)
        if found is None:
            raise DataError(root, f"no {TABLE} beside linear or enhanced", "the layout manifest", "check the folder")
        table, pictures = found
        if pictures != root:
            say(f"{root}: taking the pictures in {pictures.name}")
        rows = csv.DictReader(io.StringIO(read_text(table, "one row per chip")))
        missing = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
        if missing:
            raise DataError(table, f"lacks the columns {missing}", f"columns {', '.join(COLUMNS)}", "add them")
        places = (pointcloud_dir, table.parent / FEATURES)
        features = next((place for place in places if place is not None and place.is_dir()), None)
        return [_sample(table, pictures, features, row, f"{table}:{rows.line_num}") for row in rows]


def _folders(root: Path) -> tuple[Path, Path] | None:
    """Table and picture folder."""
    if (root / TABLE).is_file():
        return next(((root / TABLE, root / name) for name in REMAPS if (root / name).is_dir()), None)
    if root.name in REMAPS and (root.parent / TABLE).is_file():
        return root.parent / TABLE, root
    return None


def _sample(table: Path, pictures: Path, features: Path | None, row: dict[str, str], source: str) -> Sample:
    empty = [name for name in COLUMNS if not row.get(name)]
    if empty:
        raise DataError(
            source, f"has nothing in {', '.join(empty)}", "every row has file, class and azimuth", "add them"
        )
    chip = pictures / row["file"]
    if Path(row["file"]).name != row["file"]:
        raise DataError(source, f"file is {row['file']!r}", "a file name without folders", "correct it")
    turned = read_number(row, "target_azimuth_deg", source)
    assert turned is not None
    azimuth = wrapped(360.0 - turned)
    depression = read_number(row, "depression_deg", source)
    mask = table.parent / MASKS / f"{chip.stem}.png"
    caption = Caption(row["class"], "X", "High", "HH", azimuth)
    parse_caption(str(caption), source)
    return Sample(
        chip.stem,
        chip,
        caption,
        str(caption),
        Pose(azimuth, depression),
        None if features is None else find_features(features, chip.stem),
        remap=REMAPS[pictures.name],
        grid=GRID,
        mask_path=mask if mask.is_file() else None,
        serial=row.get("serial") or None,
        origin="measured",
    )
