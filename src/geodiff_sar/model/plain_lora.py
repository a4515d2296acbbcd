"""A LoRA of any known format on a base, without the record and conditioning weights of an adapter."""

from dataclasses import dataclass

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.model.adapter import AdapterRecord, LoadedAdapter
from geodiff_sar.model.adapter_files import AdapterFiles
from geodiff_sar.model.base import BaseModel
from geodiff_sar.model.lora import LoraOptions
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.lora_formats.peft_header import peft_tables


@dataclass
class PlainLora(LoadedAdapter):
    """A LoRA without record and conditioning weights; its record is made of the base's own settings."""

    lora: Lora


def read_plain_lora(files: AdapterFiles, base: BaseModel, mend_split_qkv: bool = False) -> PlainLora:
    """Read a LoRA for a base, and make sure that it fits.

    Args:
        files: of the LoRA.
        base: the base.
        mend_split_qkv: give modules with the split-qkv defect of its trainer the scale that they were meant to have.

    Raises:
        FileError: a damaged file.
        OptionError: there is nothing to mend.
        DataError: another model's LoRA, one that does not fit the base, or one that changes text encoders.
    """
    assert files.weights is not None
    lora, name = read_lora(files.weights, mend_split_qkv)
    if mend_split_qkv and not lora.thirds:
        raise OptionError(
            "--mend-split-qkv", str(files.weights), "a LoRA that shows the split-qkv defect", "leave the option out"
        )
    if lora.thirds and not mend_split_qkv:
        warn(
            f"{files.weights} shows the split-qkv defect of its trainer: q, k and v act with a third of the strength that was"
            " meant; --mend-split-qkv gives it to them, here and in `geodiff-sar convert-lora IN OUT --to diffusers`"
        )
    check_plain_lora(base.skeleton, lora)
    first = next(iter(lora.modules.values()))
    record = AdapterRecord(
        base=base.name,
        base_hash=base.hash,
        base_hash_without_t5=base.hash_without_t5,
        shift=base.settings.shift,
        remap=base.settings.remap,
        resolution=base.settings.resolution,
        t5_length=base.text.t5_length,
        lora=LoraOptions(rank=first.rank),
        conditioning=None,
        inject=[],
        image_condition=f"none ({name} LoRA)",
    )
    return PlainLora(None, record, files, lora)


def check_plain_lora(transformer: SD3Transformer2DModel, lora: Lora) -> None:
    """Make sure that a LoRA fits a transformer, which may be without weights.

    Raises:
        DataError: modules that the transformer lacks or has in another shape, or modules of text encoders.
    """
    text = [name for name in lora.modules if not name.startswith("transformer.")]
    if text:
        raise DataError(
            lora.source,
            f"changes text encoders too ({len(text)} modules, {text[0]} ...)",
            "a LoRA of the transformer alone: this version does not change text encoders",
            "use it in diffusers or ComfyUI, or train without text encoders",
        )
    modules = {name.removeprefix("transformer."): factors for name, factors in lora.modules.items()}
    wrong = [name for name, factors in modules.items() if not _fits(transformer, name, factors)]
    if wrong:
        raise DataError(
            lora.source,
            f"{len(wrong)} of {len(modules)} modules do not fit this base: {', '.join(wrong[:3])}",
            "a LoRA is used on the base model it was trained on",
            "give that base by --pretrained_model",
        )


def add_plain_lora(transformer: SD3Transformer2DModel, lora: Lora) -> None:
    """Add the LoRA as PEFT layers named "default", in float32 and eval mode; errors as check_plain_lora."""
    check_plain_lora(transformer, lora)
    state: dict[str, Tensor] = {}
    for name, factors in lora.modules.items():
        state[f"{name}.lora_A.weight"] = factors.down.float().contiguous()
        state[f"{name}.lora_B.weight"] = factors.up.float().contiguous()
        if factors.magnitude is not None:
            state[f"{name}.lora_magnitude_vector"] = factors.magnitude.float()
    settings = {f"transformer.{key}": value for key, value in peft_tables(lora.modules)["transformer"].items()}
    transformer.load_lora_adapter(state, prefix="transformer", adapter_name="default", metadata=settings)
    transformer.eval()


def _fits(transformer: SD3Transformer2DModel, name: str, factors: Factors) -> bool:
    try:
        layer = transformer.get_submodule(name)
    except AttributeError:
        return False
    weight = getattr(layer, "weight", None)
    if not isinstance(layer, torch.nn.Linear | torch.nn.Conv2d) or not isinstance(weight, Tensor):
        return False
    return tuple(weight.shape) == (factors.up.shape[0], *factors.down.shape[1:])
