"""Train an adapter on a base model, from one configuration to one output folder."""

import platform
import subprocess
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator

from geodiff_sar import __version__
from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.stack import (
    ConditioningOptions,
    ConditioningSizes,
    ConditioningStack,
    FusionOptions,
    default_embed_dim,
)
from geodiff_sar.core.config import Options, PlainName, dump_toml, parse_options, write_toml
from geodiff_sar.core.console import say
from geodiff_sar.core.errors import DataError, Interrupted, OptionError
from geodiff_sar.core.files import atomic_write_text, read_json, require_writable, sha256_file, write_json
from geodiff_sar.data.dataset import ChipDataset, DataOptions
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.data.splits import split_samples
from geodiff_sar.model.adapter import AdapterRecord, save_adapter
from geodiff_sar.model.base import BaseModel, base_hash, load_base
from geodiff_sar.model.lora import LoraOptions, add_lora, float_trained
from geodiff_sar.training.adapter_task import AdapterTask, DatasetSource
from geodiff_sar.training.ema import EmaOptions, WeightAverage
from geodiff_sar.training.loop import Hooks, LoopResult, run_loop
from geodiff_sar.training.loop_options import LoopOptions, steps_per_epoch, total_steps
from geodiff_sar.training.objective import ObjectiveOptions
from geodiff_sar.training.optimizers import OptimizerOptions, build_optimizer
from geodiff_sar.training.schedules import ScheduleOptions, build_schedule
from geodiff_sar.workflows.model_card import model_card
from geodiff_sar.workflows.preview import Preview, PreviewOptions
from geodiff_sar.workflows.processes import on_main_process, start_accelerator
from geodiff_sar.workflows.run_folder import check_run_folder, data_fingerprint, run_folder, training_log


class TrainConfig(Options):
    """Everything ``geodiff-sar train`` reads; ``geodiff-sar list options`` prints it."""

    remedy: ClassVar[str] = "correct these keys; `geodiff-sar list options` prints all of them"

    base: str = Field(default="mini", description="mini, or a folder in diffusers' layout")
    output_dir: str = Field(default="output", description="the run writes into <output_dir>/<output_name>")
    output_name: PlainName = Field(default="geodiff", description="name of the run and first part of its file names")
    resume: str = Field(
        default="auto", description='"auto": from the newest checkpoint; "never"; or a checkpoint folder'
    )
    inject: list[Literal["pooled"]] = Field(
        default=["pooled"], min_length=1, description="where geometry enters the backbone"
    )
    train_base: Literal["lora", "full", "none"] = Field(
        default="lora", description="what of the transformer is trained"
    )
    save_precision: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="number format of the saved LoRA"
    )
    remap: AmplitudeRemap | None = Field(default=None, description="amplitude to model values; None: the base's own")
    data: DataOptions = DataOptions()
    conditioning: ConditioningOptions = ConditioningOptions()
    fusion: FusionOptions = FusionOptions()
    lora: LoraOptions = LoraOptions()
    train: LoopOptions = LoopOptions()
    objective: ObjectiveOptions = ObjectiveOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    ema: EmaOptions = EmaOptions()
    preview: PreviewOptions = PreviewOptions()

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "TrainConfig":
        drawn = self.train.preview_every_steps or self.train.preview_every_epochs
        if bool(drawn) != (self.preview.prompts_file is not None):
            raise ValueError("preview.prompts_file and train.preview_every_steps or _epochs belong together")
        measured = self.train.validate_every_steps or self.train.validate_every_epochs
        if measured and self.data.split.validation == "none":
            raise ValueError("train.validate_every_steps or _epochs without chips held out by data.split")
        if self.train_base != "lora" and self.lora != LoraOptions():
            raise ValueError(f"settings of lora with train_base = '{self.train_base}'")
        return self


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
    if config.data.root is None:
        raise OptionError("data.root", "not set", "a training run has data", "set data.root in the file or by --set")
    options = config.train
    accelerator = start_accelerator(options)
    samples = read_samples(Path(config.data.root), config.data.layout, _optional_path(config.data.pointcloud_dir))
    training, validation = split_samples(samples, config.data.split)
    fingerprint = {"base_hash": base_hash(config.base), **data_fingerprint(training, validation)}
    folder = Path(config.output_dir) / config.output_name
    resume_from = on_main_process(accelerator, lambda: check_run_folder(folder, config, fingerprint))
    base = load_base(config.base, _base_dtype(options.precision), accelerator.device)
    remap = config.remap or base.settings.remap
    resolution = config.data.buckets.resolution or base.settings.resolution
    cache = Path(config.data.cache.folder) if config.data.cache.folder else folder / "cache"
    require_writable(cache)
    dataset = ChipDataset(training, config.data, remap, resolution, base.vae, base.text, cache)
    dataset.check()
    held_out = None
    if validation:
        held_out = ChipDataset(validation, config.data, remap, resolution, base.vae, base.text, cache, training)
        held_out.check()
    _check_sizes(base, dataset, held_out)
    conditioning = build_conditioning(config, base, dataset).to(accelerator.device)
    _choose_trained(config, base)
    shift = config.objective.shift or base.settings.shift
    task = AdapterTask(
        base.transformer,
        conditioning,
        config.objective,
        shift,
        accelerator.device,
        _base_dtype(options.precision),
        config.optimizer.conditioning_lr,
        config.lora.max_norm,
    )
    source = DatasetSource(dataset, options.batch_size, options.seed)
    optimizer = build_optimizer(task.parameter_groups(), config.optimizer)
    steps = total_steps(options, len(source.plan(0)), accelerator.num_processes)
    schedule = build_schedule(optimizer, config.schedule, steps)
    average = WeightAverage(task.modules(), config.ema.decay) if config.ema.enabled else None
    clouds = _optional_path(config.data.pointcloud_dir)
    preview = Preview(config.preview, base, conditioning, shift, remap, folder, config.output_name, resolution, clouds)

    def record(done: int) -> AdapterRecord:
        return AdapterRecord(
            base=config.base,
            base_hash=base.hash,
            shift=shift,
            remap=remap,
            resolution=dataset.common_size(),
            t5_length=base.settings.t5_length,
            lora=config.lora if config.train_base == "lora" else None,
            full=config.train_base == "full",
            conditioning=conditioning.header(),
            inject=list(config.inject),
            image_condition=config.data.image_condition,
            steps=done,
            pixels=dataset.pixels(),
        )  # pyright: ignore

    dtype = PRECISIONS[config.save_precision]

    def averaged(call: Any) -> Any:
        if average is None:
            return call()
        with average.applied():
            return call()

    with run_folder(folder, config, fingerprint) if accelerator.is_main_process else nullcontext():
        dataset.encode()
        if held_out is not None:
            held_out.encode()
        say(
            f"training '{config.output_name}': {len(training)} chips, {steps} steps "
            f"({steps_per_epoch(options, len(source.plan(0)), accelerator.num_processes)} per epoch), "
            f"fusion {config.fusion.method}, on {accelerator.device}"
        )
        with training_log(folder / "logs", enabled=accelerator.is_main_process) as log:
            hooks = Hooks(
                log=log.scalars,
                validate=(lambda: averaged(lambda: task.validation_loss(held_out, options.batch_size)))
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
                task,
                source,
                optimizer,
                schedule,
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
        _write_run_papers(folder, config, record(result.steps), fingerprint, result)
        say(f"the adapter is in {folder}")
    return folder, result


def with_resolved_fusion(config: TrainConfig) -> TrainConfig:
    """The configuration with every option of its fusion method written out, environment variables included."""
    fusion = config.fusion
    given = parse_options(FUSIONS.get(fusion.method).Options, fusion.options, f"fusion.options of '{fusion.method}'")
    resolved = fusion.model_copy(update={"options": given.model_dump(mode="json")})
    return config.model_copy(update={"fusion": resolved})


def _check_sizes(base: BaseModel, *datasets: ChipDataset | None) -> None:
    longest = max(max(size) for dataset in datasets if dataset is not None for size in dataset.sizes())
    if longest > base.largest_side:
        raise OptionError(
            "data.buckets",
            f"pictures of {longest} pixels",
            f"at most {base.largest_side} for this base",
            "lower data.buckets.resolution or data.buckets.max_bucket_reso",
        )


def build_conditioning(config: TrainConfig, base: BaseModel, dataset: ChipDataset) -> ConditioningStack:
    """Untrained conditioning stack for a base and a data set, with the data set's feature statistics."""
    pooled = base.transformer.config["pooled_projection_dim"]
    embed = config.conditioning.embed_dim or base.settings.embed_dim or default_embed_dim(pooled)
    sizes = ConditioningSizes(pooled, base.vae.latent_channels, config.data.pointcloud_dim, embed)
    with torch.random.fork_rng():
        torch.manual_seed(config.train.seed)
        stack = ConditioningStack(sizes, config.conditioning, config.fusion)
    _check_coordinates(config, dataset)
    if len(dataset.missing_geometry) < len(dataset.samples):
        stack.set_statistics(*dataset.feature_statistics())
    return stack


def _check_coordinates(config: TrainConfig, dataset: ChipDataset) -> None:
    lacking = dataset.without_coordinates()
    if lacking and config.conditioning.points.positions == "coordinates":
        raise DataError(
            "conditioning.points.positions",
            f'"coordinates", but the features of {len(lacking)} chips have none: {", ".join(lacking[:10])}',
            "positions are taken from the coordinates in the feature file (.npy files hold none)",
            'give files with coordinates, or set conditioning.points.positions = "none" or "index" (as published)',
        )


def _choose_trained(config: TrainConfig, base: BaseModel) -> None:
    base.transformer.requires_grad_(config.train_base == "full")
    float_trained(base.transformer)
    if config.train_base == "lora":
        add_lora(base.transformer, config.lora, config.train.seed)
    if config.train.gradient_checkpointing:
        base.transformer.enable_gradient_checkpointing()


def _base_dtype(precision: str) -> torch.dtype:
    return {"no": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def _optional_path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _write_run_papers(
    folder: Path, config: TrainConfig, record: AdapterRecord, fingerprint: dict[str, Any], result: LoopResult
) -> None:
    write_toml(folder / "config.toml", config)
    atomic_write_text(folder / "README.md", model_card(config.output_name, record, dump_toml(config)))
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
