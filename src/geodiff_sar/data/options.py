"""Options of the data of a training run."""

from typing import Literal

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.data.buckets import BucketOptions
from geodiff_sar.data.cache import CacheOptions
from geodiff_sar.data.caption import CaptionOptions
from geodiff_sar.data.splits import SplitOptions


class DataOptions(Options):
    """The data of a training run."""

    root: str | None = Field(default=None, description="data folder (docs/formats.md lists the layouts)")
    dataset_config: str | None = Field(
        default=None, description="sd-scripts' dataset configuration (TOML or JSON) in place of root"
    )
    layout: str = Field(default="auto", description="see `geodiff-sar list layouts`")
    pointcloud_dir: str | None = Field(
        default=None, description="folder of point features; None: where the layout keeps them"
    )
    classes: list[str] = Field(default=[], description="targets to take, by the name in captions; empty: all")
    pointcloud_dim: int = Field(default=64, ge=1, description="width D of the point features")
    allow_missing_geometry: bool = Field(
        default=False, description="train chips without features or maps on the learned null embedding"
    )
    mirror: bool = Field(
        default=False,
        description="train each chip's mirror image in cross-range too, at 360 - azimuth; for targets symmetric about their "
        "long axis",
    )
    moved_copies: int = Field(
        default=0,
        ge=0,
        le=100,
        description="train so many copies of each chip too that are moved over their picture, each with its prior",
    )
    moved_pixels: int = Field(default=8, ge=1, le=64, description="farthest move of a copy in rows and columns, pixels")
    image_condition: Literal["reference", "self", "none"] = Field(
        default="reference",
        description="another chip of the target; 'self' is the published scheme and leaks the target",
    )
    buckets: BucketOptions = BucketOptions()
    captions: CaptionOptions = CaptionOptions()
    split: SplitOptions = SplitOptions()
    cache: CacheOptions = CacheOptions()

    @model_validator(mode="after")
    def _one_source(self) -> "DataOptions":
        if self.dataset_config is not None and self.root is not None:
            raise ValueError(
                f"dataset_config = {self.dataset_config!r} and root = {self.root!r}: the data come from one"
            )
        if self.dataset_config is not None and self.layout != "auto":
            raise ValueError(f"layout = {self.layout!r} is read with root only, and this has a dataset_config")
        return self
