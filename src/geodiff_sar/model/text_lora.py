"""The part of a LoRA that changes text encoders, as PEFT layers on them."""

from typing import Any

from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.model.base import BaseModel
from geodiff_sar.model.base_parts import T5
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.peft_header import peft_tables
from geodiff_sar.model.lora_formats.placed import of_part, peft_state, require_fit
from geodiff_sar.model.part_size import TITLES
from geodiff_sar.model.text import TextEncoders

ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", T5: "t5"}
"""Text encoders as parts of a base, and what TextEncoders calls them."""


def change_text(base: BaseModel, lora: Lora, key: str, strength: float) -> list[str]:
    """Have the base's text encoders changed by a LoRA whenever they are loaded; returns the titles of those it changes.

    Args:
        base: the base.
        lora: a LoRA, of which the transformer's modules are not looked at.
        key: content hash of its file.
        strength: factor of the change.

    Raises:
        DataError: modules that the encoders lack or have in another shape.
        OptionError: it changes T5, and T5 is not whole in memory.
    """
    parts = [part for part in ENCODERS if of_part(lora, part)]
    if T5 in parts and base.memory.t5 != "whole":
        raise OptionError(
            "--t5 (--no-t5)",
            base.memory.t5,
            f"{lora.source} changes T5, which then has to be whole in memory",
            "use --t5 whole, or a LoRA that leaves T5 alone",
        )
    for part in parts:
        require_fit(base.empty_part(part), lora, part, TITLES[part])

    def change(encoders: TextEncoders) -> None:
        for part in parts:
            _add(getattr(encoders, ENCODERS[part]), lora, part, strength)

    if parts:
        base.text.change(change, f"{key} {strength}")
    return [TITLES[part] for part in parts]


def _add(encoder: Any, lora: Lora, part: str, strength: float) -> None:
    inject_adapter_in_model(LoraConfig(**peft_tables(lora.modules)[part]), encoder, "default")
    loaded = set_peft_model_state_dict(encoder, peft_state(of_part(lora, part)), "default")
    if loaded.unexpected_keys:
        raise DataError(
            lora.source,
            f"{len(loaded.unexpected_keys)} tensors found no place in {TITLES[part]}: {loaded.unexpected_keys[0]}",
            "every tensor has its place",
            "convert the file by `geodiff-sar convert-lora`, or leave it out",
        )
    for layer in encoder.modules():
        if isinstance(layer, LoraLayer):
            layer.set_scale("default", strength)
    encoder.eval().requires_grad_(False)
