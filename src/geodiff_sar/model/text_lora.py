"""The part of a LoRA that changes text encoders, as PEFT layers on them."""

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base import BaseModel
from geodiff_sar.model.base_parts import T5
from geodiff_sar.model.lora import set_lora_strength
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.placed import of_part, require_fit
from geodiff_sar.model.memory import T5Use
from geodiff_sar.model.part_size import TITLES
from geodiff_sar.model.peft_layers import add_layers
from geodiff_sar.model.text import TextEncoders

ENCODERS = {"text_encoder": "clip_l", "text_encoder_2": "clip_g", T5: "t5"}
"""Text encoders as parts of a base, and what TextEncoders calls them."""


def text_parts(lora: Lora, t5: T5Use) -> list[str]:
    """The text encoders that a LoRA changes, as parts of a base; ``t5`` is how T5 is kept.

    Raises:
        OptionError: it changes T5, and T5 is not whole in memory.
    """
    parts = [part for part in ENCODERS if of_part(lora, part)]
    if T5 in parts and t5 != "whole":
        raise OptionError(
            "--t5 (--no-t5)",
            t5,
            f"{lora.source} changes T5, which then has to be whole in memory",
            "use --t5 whole, or a LoRA that leaves T5 alone",
        )
    return parts


def change_text(base: BaseModel, lora: Lora, key: str, strength: float) -> list[str]:
    """Have the base's text encoders changed by a LoRA whenever they are loaded; returns the titles of those it changes.

    Args:
        base: the base.
        lora: a LoRA, of which the transformer's modules are not looked at.
        key: content hash of its file.
        strength: factor of the change of each weight.

    Raises:
        DataError: modules that the encoders lack or have in another shape.
        OptionError: it changes T5, and T5 is not whole in memory.
    """
    parts = text_parts(lora, base.memory.t5)
    for part in parts:
        require_fit(base.empty_part(part), lora, part, TITLES[part])

    def change(encoders: TextEncoders) -> None:
        for part in parts:
            encoder = getattr(encoders, ENCODERS[part])
            add_layers(encoder, lora, part, TITLES[part])
            set_lora_strength(encoder, strength)
            encoder.eval().requires_grad_(False)

    if parts:
        base.text.change(change, f"{key} {strength}")
    return [TITLES[part] for part in parts]
