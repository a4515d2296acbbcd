"""LoRA on the transformer, by peft: which modules, how it is saved, loaded strictly, and kept small."""

import math
import re
import warnings
from typing import Any, Literal

import torch
from diffusers import SD3Transformer2DModel
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.tensors import mismatch
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.offloaded import OffloadedLinear

DEFAULT_TARGETS = (
    "attn.to_q",
    "attn.to_k",
    "attn.to_v",
    "attn.to_out.0",
    "attn.add_q_proj",
    "attn.add_k_proj",
    "attn.add_v_proj",
    "attn.to_add_out",
    "attn2.to_q",
    "attn2.to_k",
    "attn2.to_v",
    "attn2.to_out.0",
    "ff.net.0.proj",
    "ff.net.2",
    "ff_context.net.0.proj",
    "ff_context.net.2",
    "norm1.linear",
    "norm1_context.linear",
)
"""Every linear layer of a block: the modules that the published trainer adapts, with q, k, v apart."""


class LoraOptions(Options):
    """Low-rank adaptation of the transformer."""

    rank: int = Field(default=16, ge=1, description="rank of each module")
    alpha: float = Field(default=16.0, gt=0, description="the update is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout before the down projection")
    target_modules: list[str] = Field(default=list(DEFAULT_TARGETS), min_length=1, description="names within a block")
    blocks: list[int] | Literal["all"] = Field(default="all", description="numbers of the blocks that are adapted")
    max_norm: float | None = Field(default=None, gt=0, description="limit of the norm of each module's update")
    rslora: bool = Field(default=False, description="scale by alpha / sqrt(rank)")
    dora: bool = Field(default=False, description="weight-decomposed LoRA")


def add_lora(transformer: SD3Transformer2DModel, options: LoraOptions, seed: int) -> None:
    """Add untrained LoRA layers (they change nothing yet); only they require gradients afterwards.

    Raises:
        OptionError: a target or block matches nothing; or DoRA on weights that it cannot compute with.
    """
    _check_targets(transformer, options)
    if options.dora:
        require_weights_for_dora(transformer)
    blocks = r"\d+" if options.blocks == "all" else "|".join(str(block) for block in options.blocks)
    names = "|".join(re.escape(name) for name in options.target_modules)
    alpha: Any = options.alpha
    config = LoraConfig(
        r=options.rank,
        lora_alpha=alpha,
        lora_dropout=options.dropout,
        target_modules=rf"transformer_blocks\.({blocks})\.({names})",
        use_rslora=options.rslora,
        use_dora=options.dora,
    )
    transformer.requires_grad_(False)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "TorchaoLoraLinear was instantiated without")  # needed for merging alone
        torch.manual_seed(seed)
        transformer.add_adapter(config)
    settle_lora(transformer)
    float_trained(transformer)


def settle_lora(transformer: SD3Transformer2DModel) -> None:
    """Bring new LoRA layers to where the transformer computes: PEFT puts them beside the weights, which may be offloaded."""
    for module in transformer.modules():
        if isinstance(module, LoraLayer) and isinstance(module.get_base_layer(), OffloadedLinear):
            module.lora_A.to(transformer.device)
            module.lora_B.to(transformer.device)


def require_weights_for_dora(model: nn.Module) -> None:
    """Make sure that DoRA can compute with a model's weights, as it does where LoRA leaves them alone.

    Raises:
        OptionError: some are offloaded, or in 8-bit floating point, in which torch has no arithmetic.
    """
    for module in model.modules():
        if not isinstance(module, nn.Linear):
            continue
        offloaded, dtype = isinstance(module, OffloadedLinear), module.weight.dtype
        if offloaded or dtype in (torch.float8_e4m3fn, torch.float8_e5m2):
            require_storage_for_dora("offloaded" if offloaded else "fp8")


def require_storage_for_dora(stored: str) -> None:
    """Make sure that weights kept so can bear a DoRA, before they are loaded.

    Args:
        stored: name of the storage, ``MemoryOptions.transformer``.

    Raises:
        OptionError: they cannot.
    """
    if not STORAGES.get(stored).bears_dora:
        raise OptionError(
            "memory.transformer (--transformer-storage)",
            f"'{stored}' with a DoRA",
            "a DoRA computes with the weights where they are, in the format that they have",
            "use another storage, or a LoRA without DoRA",
        )


def float_trained(module: torch.nn.Module) -> None:
    """Trainable parameters in float32, whatever the rest is in: small updates vanish in half precision."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def lora_state_dict(transformer: SD3Transformer2DModel) -> dict[str, Tensor]:
    """Weights of the LoRA layers in diffusers' names: ``transformer.<module>.lora_A.weight``."""
    state = get_peft_model_state_dict(transformer)
    return {f"transformer.{key}": tensor.detach().contiguous() for key, tensor in state.items()}


def load_lora(transformer: SD3Transformer2DModel, state: dict[str, Tensor], options: LoraOptions, source: str) -> None:
    """Add LoRA layers and load ``state`` into them; every tensor must have its place and every place its tensor.

    Raises:
        DataError: lists missing, unexpected and wrongly shaped keys.
    """
    add_lora(transformer, options, seed=0)
    fill_lora(transformer, state, source)


def fill_lora(transformer: SD3Transformer2DModel, state: dict[str, Tensor], source: str) -> None:
    """Load ``state`` into LoRA layers that are there; every tensor must have its place and every place its tensor. On a
    transformer without weights (on the meta device) nothing but this is looked at.

    Raises:
        DataError: lists missing, unexpected and wrongly shaped keys.
    """
    there = lora_state_dict(transformer)
    problems = mismatch(there, state)
    if problems:
        raise DataError(
            source,
            problems,
            "a LoRA matches the base model and the options it was trained with",
            "use the base model that it was trained on",
        )
    if any(tensor.is_meta for tensor in there.values()):
        return
    set_peft_model_state_dict(transformer, {key.removeprefix("transformer."): value for key, value in state.items()})


def set_lora_strength(model: nn.Module, strength: float) -> None:
    """Multiply what the LoRA layers of a model change in its weights: ``W + strength (W' - W)``; 0 is the base, 1 as trained.

    That is ``W + strength dW`` for LoRA, and for DoRA what ComfyUI's strength does. (PEFT's ``set_scale`` would multiply dW
    inside the norm, and keep DoRA's lengths at 0; LyCORIS' multiplier keeps dW at 0 and takes the lengths away.)

    Args:
        model: with LoRA layers.
        strength: any number; a later call replaces it.
    """
    for layer in model.modules():
        if not isinstance(layer, LoraLayer):
            continue
        for adapter in layer.lora_A:
            if adapter not in layer.lora_magnitude_vector:
                layer.set_scale(adapter, strength)
                continue
            dora = layer.lora_magnitude_vector[adapter]  # gives (W' - W) x
            if "strength" not in dict(dora.named_buffers()):
                dora.register_buffer("strength", torch.ones(()), persistent=False)
                dora.register_forward_hook(_times_strength)
            dora.get_buffer("strength").fill_(strength)


def _times_strength(module: nn.Module, _: Any, change: Tensor) -> Tensor:
    return change * module.get_buffer("strength")


@torch.no_grad()
def limit_weight_norms(transformer: torch.nn.Module, limit: float) -> int:
    """Scale both factors of each module whose update has a Frobenius norm above ``limit``; returns how many.

    ``norm = |scale B A|_F``; both factors are multiplied by ``sqrt(limit / norm)``, as the published trainer does, but
    for split q, k, v too.
    """
    scaled = 0
    for module in transformer.modules():
        if not isinstance(module, LoraLayer) or "default" not in module.lora_A:
            continue
        down: Tensor = module.lora_A["default"].weight  # type: ignore[assignment]
        up: Tensor = module.lora_B["default"].weight  # type: ignore[assignment]
        # |B A|^2 = trace(A^T B^T B A) = sum((B^T B) * (A A^T)): no full-size product is formed
        square = float(((up.T.float() @ up.float()) * (down.float() @ down.T.float())).sum().clamp_min(0))
        norm = module.scaling["default"] * math.sqrt(square)
        if norm > limit:
            factor = math.sqrt(limit / norm)
            down.mul_(factor)
            up.mul_(factor)
            scaled += 1
    return scaled


def _check_targets(transformer: SD3Transformer2DModel, options: LoraOptions) -> None:
    count = len(transformer.transformer_blocks)
    if options.blocks != "all":
        outside = [block for block in options.blocks if not 0 <= block < count]
        if outside or not options.blocks:
            raise OptionError("lora.blocks", str(options.blocks), f"block numbers 0..{count - 1}", "correct them")
    blocks = range(count) if options.blocks == "all" else options.blocks
    linear = {
        name
        for number in blocks
        for name, module in transformer.transformer_blocks[number].named_modules()
        if isinstance(module, torch.nn.Linear)
    }
    unknown = [name for name in options.target_modules if name not in linear and name not in DEFAULT_TARGETS]
    if unknown or not linear & set(options.target_modules):
        raise OptionError(
            "lora.target_modules",
            str(unknown or options.target_modules),
            f"linear layers of the chosen blocks: {', '.join(sorted(linear))}",
            "correct the names",
        )
