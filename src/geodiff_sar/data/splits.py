"""Splits into training and validation part: by azimuth sector, by target, by list or by a split file, never at random."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import read_text
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sectors import in_sector
from geodiff_sar.data.split_file import read_split


class SplitOptions(Options):
    """Which chips are held out for validation."""

    validation: Literal["none", "azimuth-sectors", "targets", "list", "file"] = Field(
        default="none", description="kind of split"
    )
    sectors: list[tuple[float, float]] = Field(default=[], description="held-out azimuth sectors [start, end), degrees")
    targets: list[str] = Field(default=[], description="held-out targets")
    ids: list[str] | str = Field(default=[], description="held-out ids, or a text file with one id per line")
    file: str | None = Field(
        default=None, description="split file of `geodiff-sar split`: train to train on, test to validate"
    )

    @model_validator(mode="after")
    def _used(self) -> "SplitOptions":
        uses = {"azimuth-sectors": "sectors", "targets": "targets", "list": "ids", "file": "file"}
        unused = [name for kind, name in uses.items() if getattr(self, name) and kind != self.validation]
        if unused:
            kind = next(kind for kind, name in uses.items() if name == unused[0])
            raise ValueError(f'{unused[0]} is read with validation = "{kind}" only, and this is "{self.validation}"')
        if self.validation == "file" and self.file is None:
            raise ValueError('validation = "file" needs the path of a split file in the key file')
        return self


def split_samples(samples: list[Sample], options: SplitOptions) -> tuple[list[Sample], list[Sample]]:
    """Training and validation part; chips of a split file's guard are in neither.

    Raises:
        FileError: a split file that is damaged or was changed.
        DataError: a named target, id or sector matches nothing, a part is empty, or a split file was made of other chips.
    """
    if options.validation == "none":
        return samples, []
    if options.validation == "file":
        assert options.file is not None
        parts = {name: set(ids) for name, ids in read_split(Path(options.file), samples).parts.items()}
        return [s for s in samples if s.id in parts["train"]], [s for s in samples if s.id in parts["test"]]
    if options.validation == "azimuth-sectors":
        held = _by_sector(samples, options.sectors)
    elif options.validation == "targets":
        held = _by_name(options.targets, {s.id: s.caption.target for s in samples}, "data.split.targets")
    else:
        held = _by_name(_ids(options.ids), {s.id: s.id for s in samples}, "data.split.ids")
    training = [sample for sample in samples if sample.id not in held]
    validation = [sample for sample in samples if sample.id in held]
    if not training or not validation:
        raise DataError(
            "data.split",
            f"{len(training)} chips for training and {len(validation)} for validation",
            "both parts hold at least one chip",
            "choose other sectors, targets or ids",
        )
    return training, validation


def _by_sector(samples: list[Sample], sectors: list[tuple[float, float]]) -> set[str]:
    if not sectors:
        raise DataError("data.split.sectors", "is empty", "at least one sector", "write sectors = [[0, 30]]")
    without = [sample.id for sample in samples if sample.pose is None]
    if without:
        raise DataError(
            "data.split", f"chips without azimuth: {without[:5]}", "a sector split needs every azimuth", "split by list"
        )
    held: set[str] = set()
    for sector in sectors:
        inside = {s.id for s in samples if s.pose is not None and in_sector(s.pose.azimuth_deg, sector)}
        if not inside:
            raise DataError(
                "data.split.sectors", f"{list(sector)} holds no chip", "every sector holds chips", "widen it"
            )
        held |= inside
    return held


def _by_name(names: list[str], of: dict[str, str], option: str) -> set[str]:
    unknown = [name for name in names if name not in set(of.values())]
    if unknown or not names:
        known = sorted(set(of.values()))
        raise DataError(option, f"{unknown or 'nothing'} in the data", f"names among {known[:12]}", "correct the names")
    return {identity for identity, name in of.items() if name in names}


def _ids(ids: list[str] | str) -> list[str]:
    if isinstance(ids, list):
        return ids
    text = read_text(Path(ids), "data.split.ids is a list or a text file", "correct the path")
    return [line.strip() for line in text.splitlines() if line.strip()]
