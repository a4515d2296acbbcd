"""LoRA files of other programs: one file per format, each of which reads into one form in memory and writes out of it."""

from geodiff_sar.core.registry import Registry
from geodiff_sar.model.lora_formats.base import LoraFormat

LORA_FORMATS: Registry[type[LoraFormat]] = Registry("LoRA format", "--to", "geodiff_sar.model.lora_formats")

__all__ = ["LORA_FORMATS", "LoraFormat"]
