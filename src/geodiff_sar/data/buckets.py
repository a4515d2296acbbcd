"""Aspect-ratio buckets: picture sizes of one area, and fitting a chip to one of them."""

from typing import Annotated

import numpy as np
from jaxtyping import Float
from PIL import Image
from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError


class BucketOptions(Options):
    """Sizes that training pictures are fitted to."""

    resolution: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] | None = Field(
        default=None, description="width, height in pixels; None: the base's own"
    )
    enable_bucket: bool = Field(
        default=True, description="several aspect ratios of the same area; false: one size only"
    )
    min_bucket_reso: int = Field(default=64, ge=8, description="shortest side, pixels")
    max_bucket_reso: int = Field(default=512, ge=8, description="longest side, pixels")
    bucket_reso_steps: int = Field(
        default=16, ge=1, description="sides are multiples of this; itself one of the base's grain"
    )

    @model_validator(mode="after")
    def _ordered(self) -> "BucketOptions":
        if self.min_bucket_reso > self.max_bucket_reso:
            raise ValueError(f"min_bucket_reso is above max_bucket_reso = {self.max_bucket_reso}")
        return self


def make_buckets(resolution: tuple[int, int], shortest: int, longest: int, step: int) -> list[tuple[int, int]]:
    """All (width, height) of multiples of ``step`` whose area does not exceed that of ``resolution``, as published.

    For each width from ``shortest`` on, the largest height that keeps the area, and the transposed size.
    """
    area = resolution[0] * resolution[1]
    side = int(np.sqrt(area) // step) * step
    longest -= longest % step
    found = {(side, side)} if side > 0 else set()
    width = shortest - shortest % step if shortest % step == 0 else shortest + step - shortest % step
    while width <= longest:
        height = min(longest, int(area // width // step) * step)
        if height >= shortest:
            found |= {(width, height), (height, width)}
        width += step
    return sorted(found)


def check_grain(step: int, resolution: tuple[int, int], grain: int) -> None:
    """Sizes must be multiples of the base's grain (VAE reduction times transformer patch)."""
    if step % grain:
        raise OptionError(
            "data.buckets.bucket_reso_steps", str(step), f"a multiple of {grain} for this base", f"set {grain}"
        )
    if resolution[0] % grain or resolution[1] % grain:
        raise OptionError(
            "data.buckets.resolution",
            f"{resolution[0]}, {resolution[1]}",
            f"sides are multiples of {grain} for this base",
            f"round the sides to multiples of {grain}",
        )


def choose_bucket(size: tuple[int, int], buckets: list[tuple[int, int]]) -> tuple[int, int]:
    """The bucket whose aspect ratio (width / height) is nearest to that of ``size`` (width, height), as published."""
    ratio = size[0] / size[1]
    return min(buckets, key=lambda bucket: (abs(bucket[0] / bucket[1] - ratio), bucket))


def fit_to_bucket(
    amplitude: Float[np.ndarray, "h w"], width: int, height: int
) -> tuple[Float[np.ndarray, "height width"], tuple[int, int], tuple[int, int, int, int]]:
    """Scale a chip to cover (width, height) and cut out the centre.

    Returns:
        The fitted amplitude, the original (width, height), and the crop in pixels of the scaled picture (left, top,
        right, bottom).
    """
    tall, wide = amplitude.shape
    if (wide, tall) == (width, height):
        return amplitude, (wide, tall), (0, 0, width, height)
    scale = max(width / wide, height / tall)
    new_wide, new_tall = max(width, round(wide * scale)), max(height, round(tall * scale))
    method = Image.Resampling.BOX if scale < 1 else Image.Resampling.LANCZOS
    picture = Image.fromarray(np.ascontiguousarray(amplitude, dtype=np.float32)).resize((new_wide, new_tall), method)
    left, top = (new_wide - width) // 2, (new_tall - height) // 2
    scaled = np.asarray(picture, dtype=np.float32)
    cut = np.clip(scaled[top : top + height, left : left + width], 0.0, None)
    return cut, (wide, tall), (left, top, left + width, top + height)
