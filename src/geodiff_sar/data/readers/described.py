"""Any table of chips, or any other layout, with a ``dataset.toml`` that says what its columns and pixels mean."""

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options, parse_options, read_toml
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.pixels import UNKNOWN_GRID, UNSPECIFIED, ChipGrid, PixelRemap
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.table import COLUMNS, DESCRIPTION, find_table, read_rows, row_sample
from geodiff_sar.data.sample import Origin, Sample
from geodiff_sar.data.sectors import wrapped


class Constants(Options):
    """Values that all chips share; a column of the same name wins where it has a value."""

    target: str | None = Field(default=None, description="name of the target")
    band: str | None = Field(default=None, description="radar band, such as X")
    resolution: Literal["High", "Low"] = Field(default="High", description="the word of the caption")
    polarisation: Literal["HH", "HV", "VH", "VV"] | None = Field(default=None, description="HH, HV, VH or VV")
    depression: float | None = Field(default=None, gt=0, lt=90, description="degrees")
    serial: str | None = Field(default=None, description="specimen of the target")


class DatasetOptions(Options):
    """Everything that a ``dataset.toml`` may say."""

    remedy: ClassVar[str] = "correct these keys; docs/formats.md lists them"

    table: str | None = Field(default=None, description="CSV or JSONL; None: metadata.jsonl or metadata.csv")
    layout: str | None = Field(default=None, description="in place of a table: another layout that reads this folder")
    pictures: str = Field(default=".", description="folder that file names are relative to")
    masks: str | None = Field(default=None, description="folder of masks, <stem>.png for every chip")
    columns: dict[str, str] = Field(
        default={},
        description="our column -> theirs; columns that are not named here are not read. Empty: ours as they are",
    )
    constants: Constants = Constants()
    azimuth_convention: Literal["clockwise", "counterclockwise"] = Field(
        default="clockwise", description="sense in which the azimuth column grows, as the radar moves round the target"
    )
    azimuth_offset_deg: float = Field(default=0.0, description="our azimuth where the column says 0")
    remap: PixelRemap = Field(default=UNSPECIFIED, description="how values follow from amplitude")
    grid: ChipGrid = Field(default=UNKNOWN_GRID, description="how the pixels lie")
    origin: Origin | None = Field(default=None, description="measured, simulated or generated")

    @model_validator(mode="after")
    def _consistent(self) -> "DatasetOptions":
        unknown = sorted(set(self.columns) - set(COLUMNS))
        if unknown:
            raise ValueError(f"columns names {unknown}, which are none of {', '.join(COLUMNS)}")
        if self.columns and "file_name" not in self.columns:
            raise ValueError("columns has to name file_name")
        if self.turned and {"text", "caption"} & set(self.columns):
            raise ValueError(
                "captions state our azimuth, so azimuth_convention and _offset_deg go with a column azimuth only"
            )
        if self.layout is not None:
            free = {"layout", "masks", "remap", "grid", "origin"}
            given = sorted(self.model_fields_set - free)
            if given:
                raise ValueError(f"{', '.join(given)} describe a table, and layout stands in place of one")
            if self.layout == "described":
                raise ValueError("layout names another layout than this one")
        return self

    @property
    def turned(self) -> bool:
        """Whether azimuths have to be converted."""
        return self.azimuth_convention != "clockwise" or self.azimuth_offset_deg != 0.0


@READERS.register("described")
class DescribedReader(Reader):
    """A folder with ``dataset.toml``, or that file itself: it names table, columns, constants, masks, remap and grid.

    azimuth = azimuth_offset_deg + column (clockwise) or - column (counterclockwise), modulo 360. Remap, grid and origin that
    the description states win over what files say about themselves; what it does not state is taken from the files.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return (root / DESCRIPTION).is_file()

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        path = root if root.is_file() else root / DESCRIPTION
        folder = path.parent
        options = parse_options(DatasetOptions, read_toml(path, "data.root"), str(path))
        if options.layout is not None:
            samples = READERS.get(options.layout).read(folder, pointcloud_dir)
        else:
            samples = _from_table(path, options, pointcloud_dir)
        described = [_described(sample, folder, options) for sample in samples]
        _require_own_masks(described)
        return described


def _from_table(path: Path, options: DatasetOptions, pointcloud_dir: Path | None) -> list[Sample]:
    folder = path.parent
    table = find_table(folder) if options.table is None else folder / options.table
    if table is None:
        raise FileError(
            path, "names no table, and there is no metadata.csv or .jsonl", "a table", "set table or layout"
        )
    pictures = folder / options.pictures
    if not pictures.is_dir():
        raise FileError(pictures, "no such folder", f"pictures of {path}", "correct the path")
    features = pointcloud_dir or next((p for p in (folder / "3d_features",) if p.is_dir()), None)
    rows = read_rows(table)
    if options.columns:
        present = {str(key) for _, row in rows for key in row}
        absent = sorted(set(options.columns.values()) - present)
        if absent:
            raise DataError(
                table,
                f"no row has the columns {absent}",
                f"columns that {path} names",
                f"its columns are {sorted(present)}",
            )
    return [
        row_sample(folder, pictures, features, _our_row(row, options, f"{table}:{line}"), f"{table}:{line}")
        for line, row in rows
    ]


def _our_row(row: dict[str, Any], options: DatasetOptions, source: str) -> dict[str, Any]:
    """A row under our names, with constants filled in and the azimuth in our convention."""
    if options.columns:
        row = {ours: row[theirs] for ours, theirs in options.columns.items() if theirs in row}
    constants = options.constants.model_dump(exclude_none=True)
    if "text" in row or "caption" in row:
        if options.turned:
            raise DataError(
                source, "has a caption", "captions state our azimuth: no conversion", "name a column azimuth"
            )
        constants = {key: value for key, value in constants.items() if key in ("depression", "serial")}
    row = {**constants, **row}
    if options.turned and row.get("azimuth") is not None:
        try:
            azimuth = float(row["azimuth"])
        except (TypeError, ValueError):
            raise DataError(source, f"azimuth is {row['azimuth']!r}", "a number", "correct the value") from None
        sign = 1.0 if options.azimuth_convention == "clockwise" else -1.0
        row["azimuth"] = wrapped(options.azimuth_offset_deg + sign * azimuth)
    return row


def _described(sample: Sample, folder: Path, options: DatasetOptions) -> Sample:
    stated: dict[str, Any] = {
        name: getattr(options, name) for name in ("remap", "grid", "origin") if name in options.model_fields_set
    }
    if "grid" in stated:
        stated["grid"] = sample.grid.model_copy(update=options.grid.model_dump(exclude_unset=True))
    if options.masks is not None and sample.mask_path is None:
        stated["mask_path"] = folder / options.masks / f"{sample.image_path.stem}.png"
    mask = stated.get("mask_path", sample.mask_path)
    if mask is not None and not mask.is_file():
        raise FileError(mask, "no such file", f"the mask of {sample.image_path}", "add it, or leave out the masks")
    return replace(sample, **stated)


def _require_own_masks(samples: list[Sample]) -> None:
    owner: dict[Path, Sample] = {}
    for sample in samples:
        if sample.mask_path is not None:
            other = owner.setdefault(sample.mask_path, sample)
            if other is not sample:
                raise DataError(
                    sample.mask_path,
                    f"is the mask of {other.image_path} and of {sample.image_path}",
                    "every chip has a mask of its own",
                    "name masks in a column mask",
                )
