"""Rows and seeds as trainings: every configuration is checked before the first of them begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from geodiff_sar import __version__
from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.model.base import base_hash
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.workflows.study.options import StudyConfig, StudyRow
from geodiff_sar.workflows.train_config import TrainConfig, with_resolved_fusion

OWNED = (
    "output_dir", "output_name", "resume", "train.seed", "data.root", "data.layout", "data.pointcloud_dir",
    "data.classes", "data.split", "data.cache", "preview", "train.device", "start_from",
)  # fmt: skip
"""Settings that the study itself decides."""

FORMER_DEFAULTS: dict[str, Any] = {"inject": ["pooled"]}
"""What stood at its default when the first numbers were kept: keys go by that, so that they stay as they are."""

SPLIT_FILE, DATA_FOLDER, FIRST_DATA_FOLDER, CACHE_FOLDER = "split.json", "data", "first_data", "cache"


@dataclass(frozen=True)
class Job:
    """One adapter of the study.

    Attributes:
        row: its line of the tables.
        seed: of training and of the noise that chips are made from.
        train: the whole configuration of its training; folder and data included.
        first: that of the training on simulated chips from whose outcome it goes on; None: it starts from nothing.
    """

    row: StudyRow
    seed: int
    train: TrainConfig
    first: TrainConfig | None = None

    @property
    def title(self) -> str:
        """For progress lines."""
        return f"{self.row.title}, seed {self.seed}"

    @property
    def conditioned(self) -> bool:
        """Whether anything but the caption conditions its chips."""
        return bool(self.train.inject)

    @property
    def with_geometry(self) -> bool:
        """Whether its chips need a prior."""
        return self.train.needs.geometry

    @property
    def with_reference(self) -> bool:
        """Whether its chips are shown a reference chip."""
        return self.train.needs.image and self.train.data.image_condition == "reference"

    def folder(self, out: Path, data_sha256: str) -> Path:
        """Where all of its files go; another configuration, data set, base or version has another folder.

        What stands at its default is left out, so that an option added later leaves the folders of today where they are.
        """
        kept = [_kept(config) for config in (self.train, self.first) if config is not None]
        key = sha256_json([*kept, data_sha256, _base_hash(self.train.base_files), __version__])
        return out / "runs" / f"{self.row.name}-seed{self.seed}-{key[:8]}"

    def first_folder(self, out: Path, data_sha256: str) -> Path | None:
        """Where its first training goes, that of other rows and seeds with the same settings too; None: it has none."""
        if self.first is None:
            return None
        return (
            out
            / "first"
            / sha256_json([_kept(self.first), data_sha256, _base_hash(self.first.base_files), __version__])[:8]
        )


def all_jobs(config: StudyConfig, out: Path) -> list[Job]:
    """Every row with every seed, in the order of the rows.

    Raises:
        OptionError: settings of a row that cannot be used, or that the study decides itself.
    """
    _refuse_owned(config.adapter, "[adapter]")
    if config.first is not None:
        _refuse_owned(config.first.adapter, "[first.adapter]")
    jobs = []
    for row in config.rows:
        source = f"adapter settings of the row '{row.name}'"
        _refuse_owned(row.adapter, source)
        for seed in config.seeds_of(row):
            shared = merged(config.adapter, row.adapter)
            train = _config(merged(shared, _own_settings(config, out, seed)), source)
            first = None
            if config.first is not None and row.first:
                settings = merged(merged(shared, config.first.adapter), _first_settings(config.first.seed, out))
                first = _config(settings, f"{source} with [first.adapter]")
            jobs.append(Job(row, seed, train, first))
    return jobs


def choose(jobs: Sequence[Job], names: Sequence[str]) -> list[Job]:
    """The jobs of the rows called ``names``; all of them where none is named.

    Raises:
        OptionError: an unknown row.
    """
    known = list(dict.fromkeys(job.row.name for job in jobs))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise OptionError("--row", ", ".join(unknown), f"rows of the study: {', '.join(known)}", "choose among these")
    return [job for job in jobs if not names or job.row.name in names]


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables, the second one winning; tables inside are merged alike."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def _config(settings: dict[str, Any], source: str) -> TrainConfig:
    return with_resolved_fusion(parse_options(TrainConfig, settings, source))


def _kept(config: TrainConfig) -> dict[str, Any]:
    """What of a training's configuration makes it another training."""
    kept = config.model_dump(
        mode="json", exclude={"output_dir": True, "output_name": True, "resume": True}, exclude_defaults=True
    )
    for key, former in FORMER_DEFAULTS.items():
        kept.pop(key, None)
        if (value := config.model_dump(mode="json", include={key})[key]) != former:
            kept[key] = value
    for key in ("root", "pointcloud_dir", "cache", "split"):
        kept["data"].pop(key, None)
    return kept


def _first_settings(seed: int, out: Path) -> dict[str, Any]:
    folder = {"root": str(out / FIRST_DATA_FOLDER), "cache": {"folder": str(out / CACHE_FOLDER / "latents")}}
    return {"output_name": "adapter", "data": folder, "train": {"seed": seed}}


def _own_settings(config: StudyConfig, out: Path, seed: int) -> dict[str, Any]:
    data = config.data
    folder = {
        "root": str(data.root if data.root is not None else out / DATA_FOLDER),
        "layout": data.layout,
        "pointcloud_dir": None if data.pointcloud_dir is None else str(data.pointcloud_dir),
        "classes": list(data.classes),
        "split": {"validation": "file", "file": str(out / SPLIT_FILE)},
        "cache": {"folder": str(out / CACHE_FOLDER / "latents")},
    }
    return {"output_name": "adapter", "data": folder, "train": {"seed": seed}}


def _refuse_owned(settings: Mapping[str, Any], source: str) -> None:
    given = [key for key in OWNED if _has(settings, key.split("."))]
    if given:
        raise OptionError(
            source, f"sets {', '.join(given)}", "the study decides these itself", "use [data], [split] and seeds"
        )


def _has(settings: Any, path: Sequence[str]) -> bool:
    return (
        isinstance(settings, Mapping) and path[0] in settings and (len(path) == 1 or _has(settings[path[0]], path[1:]))
    )


@lru_cache(maxsize=8)
def _base_hash(base: BaseFiles) -> str:
    return base_hash(base)
