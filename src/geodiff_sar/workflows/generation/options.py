"""What `geodiff-sar generate` takes, checked as far as that is possible without reading files."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from geodiff_sar.core.config import Options, PlainName, parse_options
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.data.pixels import RangeDirection
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.memory import MemoryOptions, T5Use


class GenerateRequest(Options):
    """Everything ``geodiff-sar generate`` takes; the names are those of the published command."""

    remedy: ClassVar[str] = "correct these options; `geodiff-sar generate --help` lists all of them"

    pretrained_model: str = "mini"
    lora_weights: str | None = None
    prompt: str | None = None
    prompts_file: Path | None = None
    azimuths: str | None = None
    depression: float | None = Field(default=None, gt=0, lt=90)
    pointcloud_path: str | None = None
    pointcloud_dir: Path | None = None
    reference: Path | None = None
    reference_range: RangeDirection | None = None
    enable_3d_fusion: bool | None = None
    allow_missing_geometry: bool = False
    strict_prior: bool = False
    fusion_method: str | None = None
    pointcloud_dim: int | None = None
    image_feature_dim: int | None = None
    fusion_scale: float | None = None
    geometry_scale: float | None = Field(default=None, ge=0)
    network_multiplier: float = 1.0
    negative_prompt: str = ""
    height: int | None = Field(default=None, ge=8)
    width: int | None = Field(default=None, ge=8)
    sample_steps: int = Field(default=30, ge=1, le=1000)
    guidance_scale: float | None = Field(default=None, ge=0)
    guidance_start: float = Field(default=0.0, ge=0, lt=1)
    guidance_stop: float = Field(default=1.0, gt=0, le=1)
    keep_level: bool | None = None
    solver: str = "euler"
    discrete_flow_shift: float | None = Field(default=None, gt=0)
    skip_layers: list[int] = Field(default=[])
    skip_layer_scale: float = Field(default=2.8, ge=0)
    skip_layer_start: float = Field(default=0.01, ge=0, le=1)
    skip_layer_stop: float = Field(default=0.2, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    images_per_prompt: int = Field(default=1, ge=1)
    batch_size: int = Field(default=8, ge=1)
    max_token_length: int | None = Field(default=None, ge=1, le=512)
    clip_l: Path | None = None
    clip_g: Path | None = None
    t5xxl: Path | None = None
    vae: Path | None = None
    tokenizers: Path | None = None
    t5: T5Use = "whole"
    transformer_storage: str = "whole"
    mend_split_qkv: bool = False
    use_t5xxl_cache_only: bool = False
    output_dir: Path = Path("output/inference")
    output_name: PlainName | None = None
    overwrite: bool = False
    rgb: bool = False
    contact_sheet: bool = False
    gif: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    source: Path | None = None

    @property
    def base(self) -> BaseFiles:
        """The base model's files."""
        return BaseFiles(self.pretrained_model, self.clip_l, self.clip_g, self.t5xxl, self.vae, self.tokenizers)

    @property
    def memory(self) -> MemoryOptions:
        """How the base is kept in memory."""
        return MemoryOptions(t5=self.t5, transformer=self.transformer_storage)

    @field_validator("skip_layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if value is None:
            return []
        if isinstance(value, str):
            if not all(part.strip().isdecimal() for part in value.split(",")):
                raise ValueError("block numbers such as 7,8,9")
            return [int(part) for part in value.split(",")]
        return value


def parse_request(values: dict[str, Any]) -> GenerateRequest:
    """Check what the command line gave."""
    return parse_options(GenerateRequest, values, "geodiff-sar generate")


def check_options(request: GenerateRequest) -> None:
    if request.prompt is None and request.prompts_file is None:
        raise OptionError("--prompt", "not given", "a prompt or a prompts file", "give --prompt or --prompts_file")
    if request.gif and request.azimuths is None:
        raise OptionError("--gif", "without --azimuths", "an animation shows a sweep", "give --azimuths 0:360:10")
    if request.pointcloud_dir is not None and not request.pointcloud_dir.is_dir():
        raise FileError(request.pointcloud_dir, "no such folder", "--pointcloud_dir is a folder", "correct the path")
    if request.enable_3d_fusion is False and request.fusion_scale is not None:
        raise OptionError(
            "--fusion_scale", f"{request.fusion_scale} with --no-3d-fusion", "fusion is off", "leave one of them out"
        )
    unused = [
        name
        for name in ("skip_layer_scale", "skip_layer_start", "skip_layer_stop")
        if not request.skip_layers and getattr(request, name) != GenerateRequest.model_fields[name].default
    ]
    if unused:
        raise OptionError(
            f"--{unused[0]}", "without --skip_layers", "skip-layer guidance needs blocks", "give --skip_layers 7,8,9"
        )
    if request.skip_layer_start >= request.skip_layer_stop:
        raise OptionError(
            "--skip_layer_start",
            f"{request.skip_layer_start} with --skip_layer_stop {request.skip_layer_stop}",
            "the start lies before the stop",
            "correct one of them",
        )
    if request.guidance_start >= request.guidance_stop:
        raise OptionError(
            "--guidance_start",
            f"{request.guidance_start} with --guidance_stop {request.guidance_stop}",
            "the start lies before the stop",
            "correct one of them",
        )
