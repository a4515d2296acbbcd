"""The folder of a training run: it belongs to one configuration and one data set."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar.core.config import flat_settings, parse_options, read_toml, write_toml
from geodiff_sar.core.errors import FileError, GeodiffError, OptionError
from geodiff_sar.core.files import read_json, require_writable, sha256_file, sha256_json, write_json
from geodiff_sar.data.pixels import quarter_turns
from geodiff_sar.data.sample import Sample
from geodiff_sar.training.loop import latest_checkpoint
from geodiff_sar.workflows.train_config import TrainConfig, with_resolved_fusion

FREE_KEYS = (
    "resume",
    "output_dir",
    "train.device",
    "train.accumulation",
    "train.zero_stage",
    "train.log_every",
    "train.keep_last",
    "train.checkpoint_every_steps",
    "train.checkpoint_every_epochs",
    "train.preview_every_steps",
    "train.preview_every_epochs",
    "train.validate_every_steps",
    "train.validate_every_epochs",
    "preview",
    "data.root",
    "data.dataset_config",
    "data.pointcloud_dir",
    "data.cache.folder",
    "data.cache.write_reference",
    "save_precision",
)
"""Settings that may change between interruption and resume: they do not change the weights. (The data may move; its
content is checked apart, and so are the micro-batches of a step, which are accumulation times processes.)"""

SAME_VALUES = {"memory.t5": ("whole", "streamed"), "memory.transformer": ("whole", "offloaded", "sharded")}
"""Settings of which some values give the same weights."""

LEFT_BEHIND = ("cache", "logs", "samples", "checkpoints")
"""Folders that a run which failed before its first checkpoint leaves; they do not make a folder another run's."""


def check_run_folder(folder: Path, config: TrainConfig, fingerprint: dict[str, Any]) -> Path | None:
    """Make sure that ``folder`` is new or belongs to this run; returns the checkpoint to resume from, or None.

    Nothing is written; see run_folder.

    Raises:
        OptionError: the folder belongs to a run with other settings or other data, or resume = "never" and it is not new.
        FileError: the checkpoint named by ``resume`` does not exist, or nothing can be written there.
    """
    resume = config.resume
    marked, mark = folder / "config.toml", folder / "run.json"
    if marked.is_file():
        settings = with_resolved_fusion(parse_options(TrainConfig, read_toml(marked), str(marked)))
        _require_same(folder, settings, config)
        before = read_json(mark) if mark.is_file() else fingerprint
        if not isinstance(before, dict):
            raise FileError(mark, "is not a table", "the hashes of the run's data", "choose another output_name")
        if "micro_batches" not in before:  # written when it was not recorded: as many processes as now
            per_process = fingerprint["micro_batches"] // config.train.accumulation
            before["micro_batches"] = settings.train.accumulation * per_process
        if before["micro_batches"] != fingerprint["micro_batches"]:
            raise OptionError(
                "train.accumulation",
                f"a step of {fingerprint['micro_batches']} batches, accumulation times processes; the run in {folder} has"
                f" {before['micro_batches']}",
                "a run is resumed with the global batch it was started with",
                f"set it to {before['micro_batches']} divided by the number of processes, or choose another output_name",
            )
        if before.get("base_hash") != fingerprint["base_hash"]:
            raise OptionError(
                "base",
                f"other weights than those that the run in {folder} was started on",
                "a run is resumed on the base it was started on",
                "restore the base, or choose another output_name",
            )
        if before.get("start_from") != fingerprint.get("start_from"):
            raise OptionError(
                "start_from",
                f"another adapter than the one that the run in {folder} began with",
                "a run is resumed with the adapter it began with",
                "restore that adapter, or choose another output_name",
            )
        if before != fingerprint:
            raise OptionError(
                "data.root",
                f"other chips, captions or features than those of the run in {folder}",
                "a run is resumed on the data it was started on",
                "restore the data, or choose another output_name",
            )
    elif folder.is_dir() and (
        latest_checkpoint(folder / "checkpoints") or not all(path.name in LEFT_BEHIND for path in folder.iterdir())
    ):
        raise OptionError(
            "output_name",
            f"{folder} exists and is not a run of this tool",
            "a new or resumable folder",
            "choose another",
        )
    found = latest_checkpoint(folder / "checkpoints")
    if resume == "never" and marked.is_file():
        raise OptionError(
            "resume",
            f'"never", but {folder} holds a run',
            "a new folder",
            "choose another output_name, or delete the folder",
        )
    if resume not in ("auto", "never"):
        found = Path(resume)
        if found.resolve().parent != (folder / "checkpoints").resolve():
            raise OptionError(
                "resume",
                str(found),
                f"a checkpoint of this run, in {folder / 'checkpoints'}",
                'name one of these, or set resume = "auto"',
            )
        if not (found / "position.json").is_file():
            raise FileError(
                found, "is not a checkpoint folder", "holds position.json", 'correct it, or set resume = "auto"'
            )
    require_writable(folder)
    return found


@contextmanager
def run_folder(folder: Path, config: TrainConfig, fingerprint: dict[str, Any]) -> Iterator[None]:
    """Mark ``folder`` as this run's.

    When the block ends by a user's mistake or a numerical failure before there is a checkpoint to resume from, the mark is
    taken away again, so that a corrected run can use the folder.
    """
    marked, mark = folder / "config.toml", folder / "run.json"
    write_toml(marked, config)
    write_json(mark, fingerprint)
    try:
        yield
    except GeodiffError:
        if latest_checkpoint(folder / "checkpoints") is None:
            marked.unlink(missing_ok=True)
            mark.unlink(missing_ok=True)
        raise


def data_fingerprint(training: list[Sample], validation: list[Sample]) -> dict[str, Any]:
    """Content of both parts of a data set as one hash each: ids, captions and how they are treated where a chip has its own
    way, pictures and how they are turned, features."""

    def digest(samples: list[Sample]) -> str:
        rows = [
            [
                s.id,
                s.caption_text,
                None if s.pose is None else [s.pose.azimuth_deg, s.pose.depression_deg],
                s.repeats,
                sha256_file(s.image_path),
                sha256_file(s.prior_path) if s.prior_path else None,
                *([turns] if (turns := quarter_turns(s.grid)) else []),
                *([s.captions.model_dump()] if s.captions is not None else []),
            ]
            for s in samples
        ]
        return sha256_json(rows)

    for sample in (*training, *validation):
        for path in (sample.image_path, sample.prior_path):
            if path is not None and not path.is_file():
                raise FileError(
                    path, "no such file", f"chip '{sample.id}' refers to it", "restore it or remove the chip"
                )
    return {
        "training": {"chips": len(training), "sha256": digest(training)},
        "validation": {"chips": len(validation), "sha256": digest(validation)},
    }


class TrainingLog:
    """TensorBoard events; does nothing without a writer."""

    def __init__(self, writer: Any):
        self.writer = writer

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Write named values of one step."""
        if self.writer is not None:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    def pictures(self, step: int, pictures: dict[str, np.ndarray]) -> None:
        """Write grey pictures (H, W) of one step."""
        if self.writer is not None:
            for name, picture in pictures.items():
                self.writer.add_image(name, picture[None], step)


@contextmanager
def training_log(folder: Path, enabled: bool) -> Iterator[TrainingLog]:
    """TensorBoard log in ``folder``; other processes than the first get one that does nothing."""
    if not enabled:
        yield TrainingLog(None)
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    try:
        yield TrainingLog(writer)
    finally:
        writer.close()


def _require_same(folder: Path, old: TrainConfig, new: TrainConfig) -> None:
    before, after = (flat_settings(json.loads(config.model_dump_json())) for config in (old, new))
    changed = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        free = any(key == name or key.startswith(name + ".") for name in FREE_KEYS)
        same = SAME_VALUES.get(key, ())
        if was != now and not free and not (was in same and now in same):
            changed.append(f"{key}: {was} -> {now}")
    if changed:
        raise OptionError(
            "output_name",
            f"{folder} holds a run with other settings ({', '.join(changed[:6])})",
            "an output folder belongs to one run",
            "choose another output_name, or restore these settings to resume",
        )
