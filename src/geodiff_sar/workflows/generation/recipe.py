"""The recipe inside a generated PNG: everything needed to make the chip again."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from geodiff_sar import __version__
from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.pixels import ChipPixels
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.folder_base import EMBEDDED
from geodiff_sar.model.hub import is_hub_id
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.workflows.generation.jobs import Job
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.generation.session import Session


class RecipeFile(Options):
    """A file that went into a chip."""

    path: str
    sha256: str


class ChipRecipe(Options):
    """What a generated PNG carries; see ``make_recipe``."""

    remedy: ClassVar[str] = "the recipe has been changed; generate the picture again by its caption and options"

    kind: Literal["chip"]
    request: dict[str, Any]
    prompt: dict[str, Any]
    caption: str
    seed: int = Field(ge=0)
    azimuth: float | None = Field(ge=0, lt=360)
    pose: dict[str, float | None] | None
    width: int = Field(ge=8)
    height: int = Field(ge=8)
    steps: int = Field(ge=1)
    guidance: GuidanceOptions
    shift: float = Field(gt=0)
    fusion_scale: float | None
    inject: list[str] | None = None
    files: dict[str, RecipeFile]
    base_hash: str
    adapter_sha256: str | None
    remap: AmplitudeRemap
    pixels: ChipPixels | None = None
    pixels_sha256: str
    batch_size: int = Field(ge=1)
    batch_index: int = Field(ge=0)
    threads: int = Field(ge=1)
    versions: dict[str, str]

    @model_validator(mode="after")
    def _inside(self) -> "ChipRecipe":
        if self.batch_index >= self.batch_size:
            raise ValueError(f"batch_index {self.batch_index} lies outside a batch of {self.batch_size}")
        return self


def make_recipe(
    request: GenerateRequest, session: Session, job: Job, amplitude: np.ndarray, batch_size: int, place: int
) -> dict[str, Any]:
    import diffusers
    import transformers

    kept = request.model_dump(mode="json", exclude={"prompts_file", "source", "prompt", "azimuths", "output_dir"})
    if request.pretrained_model not in EMBEDDED and not is_hub_id(request.pretrained_model):
        kept["pretrained_model"] = str(Path(request.pretrained_model).resolve())
    kept |= {option: str(path) for option, path in request.base.absolute().separate.items()}
    if session.adapter is not None:
        kept["lora_weights"] = str(session.adapter.files.record.resolve())
    pose = job.request.pose
    pixels = session.adapter.record.pixels if session.adapter else None
    fusion_scale = session.fusion_scale if session.conditioned else None
    return {
        "kind": "chip",
        "request": {**kept, "fusion_scale": fusion_scale, "pointcloud_dir": None},
        "prompt": {
            **job.prompt.model_dump(mode="json", exclude_none=True),
            **{key: entry["path"] for key, entry in _prompt_files(job.files).items()},
        },
        "caption": job.request.prompt,
        "seed": job.request.seed,
        "azimuth": pose.azimuth_deg if pose is not None and job.prompt.azimuth is not None else None,
        "pose": None if pose is None else {"azimuth_deg": pose.azimuth_deg, "depression_deg": pose.depression_deg},
        "width": job.width,
        "height": job.height,
        "steps": job.steps,
        "guidance": job.guidance.model_dump(mode="json"),
        "shift": float(session.shift),
        "fusion_scale": fusion_scale,
        "inject": list(session.adapter.record.inject) if session.adapter else None,
        "files": job.files,
        "base_hash": session.base.hash,
        "adapter_sha256": session.adapter.files.sha256 if session.adapter else None,
        "remap": session.remap.record(),
        "pixels": None if pixels is None else pixels.model_dump(mode="json"),
        "pixels_sha256": sha256_bytes(to_grey8(amplitude).tobytes()),
        "batch_size": batch_size,
        "batch_index": place,
        "threads": torch.get_num_threads(),
        "versions": {
            "geodiff_sar": __version__,
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
    }


def _prompt_files(files: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    names = {"pointcloud": "pointcloud_path", "reference": "reference"}
    return {names[key]: entry for key, entry in files.items()}


def check_same(source: Path, recipe: dict[str, Any], again: dict[str, Any]) -> None:
    """The parts of a recipe that follow from the others must follow from them."""
    for key in ("caption", "seed", "pose", "width", "height", "steps", "guidance", "shift", "fusion_scale", "remap"):
        if recipe[key] != again[key]:
            raise DataError(
                source,
                f"'{key}' of its recipe is {recipe[key]}, but its prompt and options give {again[key]}",
                "the parts of a recipe agree",
                ChipRecipe.remedy,
            )
