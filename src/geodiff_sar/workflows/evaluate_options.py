"""What ``geodiff-sar evaluate`` is asked for."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.evaluation.common_remap import CommonRemap


class EvaluateRequest(Options):
    """Folders and settings of one evaluation."""

    remedy: ClassVar[str] = "see `geodiff-sar evaluate --help`"

    real: Path = Field(description="real chips")
    generated: Path = Field(description="chips to judge")
    out: Path = Field(description="folder for report.html, metrics.json, metrics.csv")
    train: Path | None = Field(default=None, description="real chips that the generator was trained on")
    split: str | None = Field(default=None, description="split file, or azimuth-sectors:0-30,90-120")
    layout: str = Field(default="auto", description="layout of --real and --train")
    generated_layout: str = Field(default="auto", description="layout of --generated")
    classes: tuple[str, ...] = Field(default=(), description="targets of all folders that are taken; none: all")
    crop: int | None = Field(
        default=None, ge=16, description="side of a square cut from the middle of every chip, pixels"
    )
    common_remap: CommonRemap | None = Field(default=None, description="bring all sets to this remap")
    space: str = Field(default="sar", description="feature space: sar, timm:<model>, inception, clip")
    space_weights: Path | None = Field(default=None, description="weights of the space, a file or folder")
    metrics: tuple[str, ...] = Field(default=(), description="names of metrics; none: all")
    azimuth: bool = Field(default=True, description="judge the azimuth; needs the azimuth of every chip")
    cache: Path | None = Field(
        default=None, description="folder for networks, features and measurements; default: OUT/cache"
    )
    encoder_steps: int = Field(default=400, ge=1, description="training steps of the SAR encoder")
    estimator_steps: int = Field(default=800, ge=1, description="training steps of the azimuth estimator")
    seed: int = Field(default=0, ge=0, description="of every random draw")
