"""Stable Diffusion 3.5 Medium as published, without its files: what it is made of, and nothing of its weights."""

from collections.abc import Mapping
from typing import Any

import torch

from geodiff_sar.model.base_parts import CLASSES, BaseSettings
from geodiff_sar.model.single_file.derive import published


class PublishedShape:
    """Configurations that ship with the package."""

    def config(self, part: str) -> Mapping[str, Any]:
        """Configuration of one part."""
        return published(part)

    def empty(self, part: str) -> Any:
        """One part without weights, on the meta device."""
        return empty_part(part, self.config(part))

    def settings(self, native_size: int) -> BaseSettings:
        """What it was trained with."""
        return published_settings(native_size)


def published_settings(native_size: int) -> BaseSettings:
    """Values of Stable Diffusion 3.5; pictures of the native size or, where that is larger, of 512 pixels."""
    side = min(native_size, 512)
    return BaseSettings(resolution=(side, side), shift=published("scheduler")["shift"])  # pyright: ignore


def empty_part(part: str, config: Mapping[str, Any]) -> Any:
    """A part of this configuration on the meta device; RuntimeError, ValueError or TypeError if there is none."""
    cls = CLASSES[part]
    with torch.device("meta"):
        if cls.__module__.startswith("diffusers"):
            return cls.from_config(config)
        return cls(cls.config_class(**config))
