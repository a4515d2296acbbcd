"""Train an adapter on a base model, from one configuration to one output folder."""

import platform
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from geodiff_sar import __version__
from geodiff_sar.core.config import dump_toml, write_toml
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import Interrupted, OptionError
from geodiff_sar.core.files import atomic_write_text, read_json, require_writable, sha256_file, write_json
from geodiff_sar.data.dataset import ChipDataset
from geodiff_sar.data.mirror import with_mirror_images
from geodiff_sar.data.moving import with_moved_copies
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.splits import split_samples
from geodiff_sar.model.adapter import AdapterRecord, save_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.base import BaseModel, load_base
from geodiff_sar.model.hub import is_hub_id
from geodiff_sar.model.single_file.recognise import transformer_repository
from geodiff_sar.training.ema import WeightAverage
from geodiff_sar.training.loop import Hooks, LoopResult, run_loop
from geodiff_sar.training.loop_options import steps_per_epoch
from geodiff_sar.training.stepping import check_stepping
from geodiff_sar.workflows.adapter_parts import (
    adapter_record,
    build_conditioning,
    check_held_out,
    check_sizes,
)
from geodiff_sar.workflows.described_data import described_data
from geodiff_sar.workflows.model_card import model_card
from geodiff_sar.workflows.preview import Preview
from geodiff_sar.workflows.processes import on_main_process, start_accelerator
from geodiff_sar.workflows.room import require_room
from geodiff_sar.workflows.run_folder import check_run_folder, data_fingerprint, run_folder, training_log
from geodiff_sar.workflows.train_config import TrainConfig, with_resolved_fusion
from geodiff_sar.workflows.trainee import BASE_DTYPES, build_trainee

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def train(config: TrainConfig) -> Path:
    """Train an adapter; returns the run's folder. An interrupted run goes on where it stopped.

    Raises:
        GeodiffError: mistakes in configuration or data, before the first step; NaN or Inf in training.
        Interrupted: stopped by a signal, after writing a checkpoint.
    """
    return run_training(config)[0]


def run_training(config: TrainConfig) -> tuple[Path, LoopResult]:
    """As train; also returns what the loop measured."""
    config = with_resolved_fusion(config)
    config, samples = (
        described_data(config) if config.data.dataset_config is not None else (config, _folder_data(config))
    )
    options = config.train
    accelerator = start_accelerator(options)
    check_stepping(options, config.optimizer.name, accelerator)
    clouds = _optional_path(config.data.pointcloud_dir)
    training, validation = split_samples(samples, config.data.split)
    shown = with_mirror_images(training) if config.data.mirror else training
    shown = with_moved_copies(shown, config.data.moved_copies, config.data.moved_pixels, options.seed)
    start = None if config.start_from is None else resolve_adapter(config.start_from, "start_from")
    require_room(config, accelerator.device, accelerator.num_processes)
    base = load_base(config.base_files, BASE_DTYPES[options.precision], accelerator.device, config.memory)
    fingerprint = {
        "base_hash": base.hash,
        "micro_batches": options.accumulation * accelerator.num_processes,
        **data_fingerprint(training, validation),
    }
    if start is not None:
        fingerprint["start_from"] = start.sha256
    folder = Path(config.output_dir) / config.output_name
    resume_from = on_main_process(accelerator, lambda: check_run_folder(folder, config, fingerprint))
    remap = config.remap or base.settings.remap
    resolution = config.data.buckets.resolution or base.settings.resolution
    cache = Path(config.data.cache.folder) if config.data.cache.folder else folder / "cache"
    require_writable(cache)
    weighted = config.objective.target_weight != 1
    dataset = ChipDataset(
        shown, config.data, remap, resolution, base.vae, base.text, cache, None, config.needs, weighted
    )
    dataset.check()
    held_out = None
    if validation:
        held_out = ChipDataset(
            validation, config.data, remap, resolution, base.vae, base.text, cache, training, config.needs, weighted
        )
        held_out.check()
        check_held_out(dataset, held_out)
    check_sizes(base, dataset, held_out)
    conditioning = build_conditioning(config, base, dataset)
    if conditioning is not None:
        conditioning.to(accelerator.device)
    elif config.optimizer.conditioning_lr is not None:
        warn("optimizer.conditioning_lr has no effect: with inject = [] only the LoRA is trained")
    shift = config.objective.shift or base.settings.shift
    preview = Preview(config.preview, base, conditioning, shift, remap, folder, config.output_name, resolution, clouds)
    build_trainee(config, base, base.empty_transformer(), conditioning, start, dataset, accelerator)  # a rehearsal
    with run_folder(folder, config, fingerprint) if accelerator.is_main_process else nullcontext():
        with accelerator.main_process_first():  # it fills the caches, the others find them full
            _encode(config, base, dataset, held_out, preview.captions if accelerator.is_main_process else [])
        trainee = build_trainee(config, base, base.transformer, conditioning, start, dataset, accelerator)
        average = WeightAverage(trainee.task.modules(), config.ema.decay) if config.ema.enabled else None

        def record(done: int) -> AdapterRecord:
            return adapter_record(
                config, base, dataset, conditioning, shift, remap, done, fingerprint.get("start_from")
            )

        dtype = PRECISIONS[config.save_precision]

        def averaged(call: Any) -> Any:
            if average is None:
                return call()
            with average.applied():
                return call()

        say(
            f"training '{config.output_name}': {len(training)} chips{_further(config)}, {trainee.steps} steps "
            f"({steps_per_epoch(options, len(trainee.source.plan(0)), accelerator.num_processes)} per epoch), "
            f"{_injection(config)}, on {accelerator.device}"
        )
        with training_log(folder / "logs", enabled=accelerator.is_main_process) as log:
            hooks = Hooks(
                log=log.scalars,
                validate=(lambda: averaged(lambda: trainee.task.validation_loss(held_out, options.batch_size)))
                if held_out is not None
                else None,
                preview=(lambda step: averaged(lambda: log.pictures(step, preview.write(step))))
                if preview.wanted and accelerator.is_main_process
                else None,
                checkpoint=lambda path, step: averaged(
                    lambda: save_adapter(path, config.output_name, base.transformer, conditioning, record(step), dtype)
                ),
            )
            result = run_loop(
                trainee.task,
                trainee.source,
                trainee.optimizer,
                trainee.schedule,
                options,
                folder / "checkpoints",
                accelerator,
                hooks,
                average,
                resume_from,
            )
    if not result.finished:
        raise Interrupted(f"training stopped after step {result.steps}")
    if accelerator.is_main_process:
        averaged(
            lambda: save_adapter(
                folder, config.output_name, base.transformer, conditioning, record(result.steps), dtype
            )
        )
        published = config.base if is_hub_id(config.base) else transformer_repository(base.transformer.config)
        _write_run_papers(folder, config, record(result.steps), published, fingerprint, result)
        say(f"the adapter is in {folder}")
    return folder, result


def _encode(
    config: TrainConfig, base: BaseModel, dataset: ChipDataset, held_out: ChipDataset | None, previews: list[str]
) -> None:
    """Fill the caches and encode the captions of previews, then free the text encoders before the transformer is loaded.
    Where captions are shuffled they stay: others come up in every epoch."""
    dataset.encode()
    if held_out is not None:
        held_out.encode()
    base.text.remember(previews)
    ways = [config.data.captions, *(s.captions for s in dataset.samples if s.captions is not None)]
    if not any(way.shuffle for way in ways):
        base.text.release()


def _folder_data(config: TrainConfig) -> list[Sample]:
    if config.data.root is None:
        raise OptionError(
            "data.root",
            "not set, and data.dataset_config neither",
            "a training run has data",
            "set data.root in the file or by --set, or give --dataset_config",
        )
    return read_samples(
        Path(config.data.root), config.data.layout, _optional_path(config.data.pointcloud_dir), config.data.classes
    )


def _further(config: TrainConfig) -> str:
    mirror = " and their mirror images" if config.data.mirror else ""
    return mirror + (f", each moved {config.data.moved_copies} times" if config.data.moved_copies else "")


def _injection(config: TrainConfig) -> str:
    names = {"pooled": f"fusion {config.fusion.method}", "tokens": "tokens", "map": "map"}
    return ", ".join(names[place] for place in config.inject) or "text alone"


def _optional_path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _write_run_papers(
    folder: Path,
    config: TrainConfig,
    record: AdapterRecord,
    repository: str | None,
    fingerprint: dict[str, Any],
    result: LoopResult,
) -> None:
    write_toml(folder / "config.toml", config)
    card = model_card(config.output_name, record, dump_toml(config), config.base_files, repository)
    atomic_write_text(folder / "README.md", card)
    outputs = sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".json") and p.name != "manifest.json")
    write_json(
        folder / "manifest.json",
        {
            "geodiff_sar": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "git_commit": _git_commit(),
            "seed": config.train.seed,
            "steps": result.steps,
            "base": {"name": record.base, "hash": record.base_hash},
            "data": {part: fingerprint[part] for part in ("training", "validation")},
            "split_sha256": read_json(Path(config.data.split.file))["sha256"] if config.data.split.file else None,
            "files": {path.name: sha256_file(path) for path in outputs},
        },
    )


def _git_commit() -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # no git on this machine: the manifest says so by null
        return None
    return done.stdout.strip() or None
