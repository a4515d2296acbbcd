"""Factors of a LoRA as PEFT layers on a model, each with DoRA or without, as it is."""

import warnings
from dataclasses import replace

from diffusers import SD3Transformer2DModel
from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import Tensor, nn

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora import require_weights_for_dora, set_lora_strength, settle_lora
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.peft_header import peft_tables
from geodiff_sar.model.lora_formats.placed import of_part, peft_state, require_fit

ADAPTER, WITH_DORA = "default", "dora"
"""Names of PEFT's adapters; a second one for modules with DoRA, since PEFT has it in all modules of an adapter or in none."""


def add_layers(model: nn.Module, lora: Lora, part: str, called: str) -> None:
    """Add what a LoRA changes in a model as PEFT layers, in float32.

    Lengths of ComfyUI's DoRA become PEFT's by the base's weights, see ``dora``.

    Args:
        model: one part of a base, with its weights.
        lora: the LoRA; modules of other parts are left out.
        part: the part's name in the LoRA.
        called: the part's name in messages.

    Raises:
        DataError: modules that the model lacks or has in another shape, or DoRA of rows without length.
        OptionError: DoRA on weights that it cannot compute with.
    """
    require_fit(model, lora, part, called)
    if any(factors.dora is not None for factors in of_part(lora, part).values()):
        require_weights_for_dora(model)
    modules = {name: _as_peft(model, name, factors, lora.source) for name, factors in of_part(lora, part).items()}
    plain = {name: factors for name, factors in modules.items() if factors.dora is None}
    groups = {
        ADAPTER: plain or modules,
        WITH_DORA: {name: f for name, f in modules.items() if plain and name not in plain},
    }
    groups = {adapter: group for adapter, group in groups.items() if group}
    for adapter, group in groups.items():
        table = peft_tables({f"{part}.{name}": factors for name, factors in group.items()})[part]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")
            warnings.filterwarnings("ignore", "TorchaoLoraLinear was instantiated without")  # needed for merging alone
            inject_adapter_in_model(LoraConfig(**table), model, adapter)
        loaded = set_peft_model_state_dict(model, peft_state(group), adapter)
        if loaded.unexpected_keys:
            raise DataError(
                lora.source,
                f"{len(loaded.unexpected_keys)} tensors found no place in {called}: {loaded.unexpected_keys[0]}",
                "every tensor has its place",
                "convert the file by `geodiff-sar convert-lora`, or leave it out",
            )
    for layer in model.modules():
        if isinstance(layer, LoraLayer):
            layer.set_adapter([adapter for adapter in groups if adapter in layer.lora_A])  # pyright: ignore


def add_changes(transformer: SD3Transformer2DModel, lora: Lora, strength: float = 1.0) -> None:
    """Add what a LoRA changes in the transformer as PEFT layers, in float32 and eval mode.

    Args:
        transformer: of the base, with its weights.
        lora: the LoRA; what it changes in text encoders is left out.
        strength: factor of the change of each weight; 0 is the base.

    Raises:
        DataError: modules that the transformer lacks or has in another shape, or DoRA of rows without length.
        OptionError: DoRA on weights that it cannot compute with.
    """
    if not of_part(lora, "transformer"):
        return
    add_layers(transformer, lora, "transformer", "transformer")
    settle_lora(transformer)
    transformer.eval().requires_grad_(False)
    set_lora_strength(transformer, strength)


def _as_peft(model: nn.Module, name: str, factors: Factors, source: str) -> Factors:
    """The factors with DoRA by PEFT's rule, which the weights of the base are needed for."""
    if factors.dora is None:
        return factors
    weight: Tensor = dequantize_module_weight(model.get_submodule(name)).detach().flatten(1).float()
    up, down = (matrix.to(weight) for matrix in factors.matrices())
    return replace(factors, dora=factors.dora.over_changed(weight, up @ down, source, name))
