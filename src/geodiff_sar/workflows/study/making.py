"""Training the adapter of a job, and generating every view with it; what is finished is not done again."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodiff_sar import __version__
from geodiff_sar.core.console import say
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_directory, read_json, sha256_bytes, sha256_json, write_json
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.study.jobs import Job
from geodiff_sar.workflows.study.locks import claimed
from geodiff_sar.workflows.study.material import Material, View
from geodiff_sar.workflows.study.options import StudyGenerate
from geodiff_sar.workflows.train import run_training
from geodiff_sar.workflows.train_config import TrainConfig

CHUNK = 64
"""Views of one folder of chips: what an interruption loses at most."""

TRAINED, TABLE = "trained.json", "views.json"


@dataclass(frozen=True)
class Made:
    """A generated chip.

    Attributes:
        path: the picture.
        view: number of its view.
        copy: number among the chips of that view.
    """

    path: Path
    view: int
    copy: int


def train_adapter(job: Job, folder: Path, first: Path | None) -> Path:
    """The folder of the job's adapter, trained now, gone on with, or there already; ``first`` is the folder of its first
    training, if it has one, which is made before.

    ``trained.json`` gets the number of steps and the seconds per step (of the session that finished it). Checkpoints go
    once the adapter is written.
    """
    start = None
    if first is not None and job.first is not None and not (folder / TRAINED).is_file():
        with claimed(first.parent.parent, f"first-{first.name}", wait=True):
            say(f"{job.title}: first training, on simulated chips ({first})")
            start = str(_trained(job.first, first))
    return _trained(job.train.model_copy(update={"start_from": start}), folder)


def _trained(config: TrainConfig, folder: Path) -> Path:
    adapter = folder / "adapter"
    if not (folder / TRAINED).is_file():
        _, result = run_training(config.model_copy(update={"output_dir": str(folder)}))
        per_step = result.seconds / len(result.losses) if result.losses else None
        write_json(folder / TRAINED, {"steps": result.steps, "seconds_per_step": per_step})
    if (adapter / "checkpoints").is_dir():
        shutil.rmtree(adapter / "checkpoints")
    return adapter


def chips_folder(job: Job, material: Material, options: StudyGenerate, folder: Path) -> Path:
    """Where the chips go that this adapter generates under these options; the adapter is trained.

    Raises:
        FileError: it is not.
    """
    if not (folder / TRAINED).is_file():
        raise FileError(
            folder, f"holds no trained adapter ({job.title})", "an adapter is trained first", "run without --only"
        )
    weights = read_json(folder / "adapter" / "manifest.json")["files"]
    kept = options.kept
    views = [view.sample.id for view in material.views]
    key = sha256_json([weights, kept, views, material.sha256, __version__])
    return folder / f"chips-{key[:8]}"


def generate_views(job: Job, material: Material, options: StudyGenerate, folder: Path) -> Path:
    """The folder of the job's chips, filled now, gone on with, or full already."""
    chips = chips_folder(job, material, options, folder)
    for left in chips.glob(".tmp-*"):
        shutil.rmtree(left)
    numbered = list(enumerate(material.views))
    for start in range(0, len(numbered), CHUNK):
        part = chips / f"{start // CHUNK:03d}"
        if not part.is_dir():
            say(f"{job.title}: chips of views {start + 1} to {min(start + CHUNK, len(numbered))} of {len(numbered)}")
            with atomic_directory(part) as temporary:
                _generate(job, material, options, folder / "adapter", numbered[start : start + CHUNK], temporary)
    return chips


def all_made(chips: Path, views: int) -> bool:
    """Whether every view is generated."""
    return len(list(chips.glob(f"*/{TABLE}"))) == -(-views // CHUNK)


def made_chips(chips: Path, views: int, per_view: int) -> tuple[list[Made], float]:
    """Every chip in the order of views and copies, and the seconds that one took on average, loading included.

    Raises:
        DataError: some are not generated yet.
    """
    found: list[Made] = []
    seconds = 0.0
    for table in sorted(chips.glob(f"*/{TABLE}")):
        value = read_json(table)
        seconds += value["seconds"]
        found += [Made(table.parent / row["file"], row["view"], row["copy"]) for row in value["chips"]]
    if len(found) != views * per_view:
        raise DataError(
            chips, f"{len(found)} of {views * per_view} chips", "all chips are generated first", "run without --only"
        )
    return found, seconds / len(found)


def _generate(
    job: Job, material: Material, options: StudyGenerate, adapter: Path, views: list[tuple[int, View]], folder: Path
) -> None:
    prompts = folder / "prompts.json"
    write_json(prompts, [_prompt(job, material, options, view) for _, view in views])
    given: dict[str, Any] = {}
    if job.conditioned:
        given = {"geometry_scale": options.geometry_scale, "fusion_scale": 1.0}
    started = time.monotonic()
    paths = generate_chips(
        GenerateRequest(
            pretrained_model=job.train.base,
            **job.train.base_files.separate,
            t5=job.train.memory.t5,
            transformer_storage=job.train.memory.transformer,
            lora_weights=str(adapter),
            prompts_file=prompts,
            sample_steps=options.steps,
            solver=options.solver,
            guidance_scale=options.guidance_scale,
            guidance_start=options.guidance_start,
            guidance_stop=options.guidance_stop,
            keep_level=options.keep_level,
            images_per_prompt=options.per_view,
            batch_size=options.batch_size,
            allow_missing_geometry=not job.with_geometry,
            output_dir=folder,
            output_name="chip",
            **given,
        )
    )  # pyright: ignore
    places = [(number, copy) for number, _ in views for copy in range(options.per_view)]
    rows = [
        {"file": path.name, "view": number, "copy": copy} for path, (number, copy) in zip(paths, places, strict=True)
    ]
    write_json(folder / TABLE, {"seconds": time.monotonic() - started, "chips": rows})


def _prompt(job: Job, material: Material, options: StudyGenerate, view: View) -> dict[str, Any]:
    """The noise follows from the seed and the view alone, so that rows of one seed are paired by their noise too."""
    sample = view.sample
    noise = int(sha256_bytes(f"{job.seed}/{sample.id}".encode())[:12], 16) * options.per_view
    prompt: dict[str, Any] = {"prompt": str(sample.caption), "seed": noise}
    if job.train.needs.pose and sample.pose is not None and sample.pose.depression_deg is not None:
        prompt["depression"] = sample.pose.depression_deg
    if job.with_geometry:
        prompt["pointcloud_path"] = str(sample.prior_path)
    if job.with_reference:
        prompt["reference"] = str(material.reference_of(view))
    return prompt
