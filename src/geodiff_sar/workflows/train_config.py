"""Everything `geodiff-sar train` reads."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.options import (
    ConditioningOptions,
    FusionOptions,
    MapOptions,
    Place,
    TokenOptions,
    needs_of,
)
from geodiff_sar.core.condition import Needs
from geodiff_sar.core.config import Options, PlainName, parse_options
from geodiff_sar.data.options import DataOptions
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.lora import LoraOptions
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.training.ema import EmaOptions
from geodiff_sar.training.loop_options import LoopOptions
from geodiff_sar.training.objective import ObjectiveOptions
from geodiff_sar.training.optimizers import OptimizerOptions
from geodiff_sar.training.schedules import ScheduleOptions
from geodiff_sar.workflows.preview import PreviewOptions


class TrainConfig(Options):
    """Everything ``geodiff-sar train`` reads; ``geodiff-sar list options`` prints it."""

    remedy: ClassVar[str] = "correct these keys; `geodiff-sar list options` prints all of them"

    base: str = Field(
        default="mini",
        description="mini, a folder in diffusers' layout, a .safetensors file, or owner/name on the hub",
    )
    clip_l: str | None = Field(
        default=None, description="file of CLIP-L, for a base in a single file without it; empty: none"
    )
    clip_g: str | None = Field(default=None, description="file of CLIP-G, likewise")
    t5xxl: str | None = Field(default=None, description="file of T5-XXL, likewise")
    vae: str | None = Field(default=None, description="file of the VAE, likewise")
    tokenizers: str | None = Field(
        default=None, description="folder of the tokenizers for a single file; None: those in the hub's local cache"
    )
    output_dir: str = Field(default="output", description="the run writes into <output_dir>/<output_name>")
    output_name: PlainName = Field(default="geodiff", description="name of the run and first part of its file names")
    resume: str = Field(
        default="auto", description='"auto": from the newest checkpoint; "never"; or a checkpoint folder'
    )
    start_from: str | None = Field(
        default=None,
        description="an adapter, folder or file, that is trained further: its LoRA and conditioning are the first weights",
    )
    inject: list[Place] = Field(
        default=["map"],
        description="where geometry, reference and pose enter the backbone: any of pooled, tokens and map; empty: text alone",
    )
    train_base: Literal["lora", "full", "none"] = Field(
        default="lora", description="what of the transformer is trained"
    )
    save_precision: Literal["fp32", "fp16", "bf16"] = Field(
        default="fp32", description="number format of the saved LoRA"
    )
    remap: AmplitudeRemap | None = Field(default=None, description="amplitude to model values; None: the base's own")
    memory: MemoryOptions = MemoryOptions()
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
        if self.train_base == "full" and self.memory.transformer != "whole":
            raise ValueError(f'memory.transformer = "{self.memory.transformer}" with train_base = "full"')
        if self.memory.transformer == "offloaded" and not self.train.gradient_checkpointing:
            raise ValueError('memory.transformer = "offloaded" without train.gradient_checkpointing = true')
        if self.lora.dora and not STORAGES.get(self.memory.transformer).bears_dora:
            raise ValueError(
                f'memory.transformer = "{self.memory.transformer}" with lora.dora: a DoRA computes with the weights'
            )
        if self.memory.transformer == "sharded" and (self.train.compile or self.preview.prompts_file is not None):
            raise ValueError('memory.transformer = "sharded" with train.compile or preview.prompts_file')
        if len(set(self.inject)) != len(self.inject):
            raise ValueError(f"inject = {self.inject} names a place twice")
        if self.start_from is not None and self.train_base == "full":
            raise ValueError('start_from with train_base = "full": an adapter is trained further as one')
        if not self.inject and self.train_base == "none":
            raise ValueError('inject = [] with train_base = "none": nothing is trained')
        options = self.conditioning
        for place, given in {
            "pooled": self.fusion != FusionOptions() or not options.residual,
            "tokens": options.tokens != TokenOptions(),
            "map": options.maps != MapOptions(),
        }.items():
            if given and place not in self.inject:
                table = {"pooled": "fusion or conditioning.residual", "tokens": "conditioning.tokens"}
                raise ValueError(
                    f"settings of {table.get(place, 'conditioning.maps')} without '{place}' in inject = {self.inject};"
                    " put it there"
                )
        if not self.inject and options != ConditioningOptions():
            raise ValueError("settings of conditioning with inject = []")
        if "map" in self.inject and "geometry" not in options.modalities:
            raise ValueError("'map' in inject without 'geometry' in conditioning.modalities")
        if not self.needs.image and self.data.image_condition == "self":
            raise ValueError("data.image_condition = 'self', but this adapter takes no reference")
        return self

    @property
    def base_files(self) -> BaseFiles:
        """The base model's files."""
        options = ("clip_l", "clip_g", "t5xxl", "vae", "tokenizers")
        return BaseFiles(self.base, **{o: Path(value) for o in options if (value := getattr(self, o))})

    @property
    def needs(self) -> Needs:
        """Which conditions the adapter takes."""
        return needs_of(self.inject, self.conditioning.modalities)


def with_resolved_fusion(config: TrainConfig) -> TrainConfig:
    """The configuration with every option of its fusion method written out, environment variables included."""
    if "pooled" not in config.inject:
        return config
    fusion = config.fusion
    given = parse_options(FUSIONS.get(fusion.method).Options, fusion.options, f"fusion.options of '{fusion.method}'")
    resolved = fusion.model_copy(update={"options": given.model_dump(mode="json")})
    return config.model_copy(update={"fusion": resolved})
