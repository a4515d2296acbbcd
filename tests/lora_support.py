"""LoRA files in the layouts of other programs, and merging them as those programs do, without the package's own names.

The tiny model lies in the original layout of SD3.5 (joint_blocks) and becomes diffusers' by diffusers' own converter.
"""

import copy
import json
import re
from pathlib import Path
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from diffusers.loaders.single_file_utils import convert_sd3_transformer_checkpoint_to_diffusers
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

WIDTH, BLOCKS, DUAL = 16, 3, (0, 1)
RANK, ALPHA = 4, 6.0


def original_shapes(
    width: int, blocks: int, dual: tuple[int, ...], context: int, pooled: int
) -> dict[str, tuple[int, ...]]:
    """Weights (without biases and norms) of the original MMDiT-X with blocks of ``width``."""
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(blocks):
        last = number == blocks - 1
        for side in ("x_block", "context_block"):
            name, ended = f"joint_blocks.{number}.{side}", last and side == "context_block"
            two = side == "x_block" and number in dual
            shapes[f"{name}.attn.qkv"] = (3 * width, width)
            shapes[f"{name}.adaLN_modulation.1"] = ((2 if ended else 9 if two else 6) * width, width)
            if not ended:
                shapes[f"{name}.attn.proj"] = (width, width)
                shapes[f"{name}.mlp.fc1"] = (4 * width, width)
                shapes[f"{name}.mlp.fc2"] = (width, 4 * width)
            if two:
                shapes[f"{name}.attn2.qkv"] = (3 * width, width)
                shapes[f"{name}.attn2.proj"] = (width, width)
    outside = {
        "context_embedder": (width, context),
        "t_embedder.mlp.0": (width, 256),
        "t_embedder.mlp.2": (width, width),
        "y_embedder.mlp.0": (width, pooled),
        "y_embedder.mlp.2": (width, width),
        "final_layer.linear": (2 * 2 * 16, width),
        "final_layer.adaLN_modulation.1": (2 * width, width),
        "x_embedder.proj": (width, 16, 2, 2),
    }
    return shapes | outside


SHAPES = original_shapes(WIDTH, BLOCKS, DUAL, 32, 16)
ADAPTED = [name for name in SHAPES if name.startswith("joint_blocks.")]


def original_weights(seed: int = 0) -> dict[str, Tensor]:
    """The tiny model in the original layout."""
    g = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in SHAPES.items():
        weights[f"{name}.weight"] = 0.3 * torch.randn(shape, generator=g)
        weights[f"{name}.bias"] = 0.3 * torch.randn(shape[0], generator=g)
    for number in range(BLOCKS):
        for attention in ("x_block.attn", "context_block.attn", *(["x_block.attn2"] if number in DUAL else [])):
            for norm in ("ln_q", "ln_k"):
                weights[f"joint_blocks.{number}.{attention}.{norm}.weight"] = 1 + 0.1 * torch.randn(8, generator=g)
    weights["pos_embed"] = torch.randn(1, 64, WIDTH, generator=g)
    return weights


def in_diffusers(weights: dict[str, Tensor]) -> SD3Transformer2DModel:
    """The model that the original weights become by diffusers' converter, every tensor in its place."""
    model = SD3Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=16, out_channels=16, num_layers=BLOCKS, num_attention_heads=2,
        attention_head_dim=8, joint_attention_dim=32, caption_projection_dim=WIDTH, pooled_projection_dim=16,
        pos_embed_max_size=8, qk_norm="rms_norm", dual_attention_layers=DUAL,
    ).eval()  # fmt: skip
    model.load_state_dict(convert_sd3_transformer_checkpoint_to_diffusers(copy.copy(weights)), strict=True)
    return model


def velocity(model: SD3Transformer2DModel) -> Tensor:
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(2, 16, 4, 4, generator=g),
            timestep=torch.tensor([10.0, 900.0]),
            encoder_hidden_states=torch.randn(2, 5, 32, generator=g),
            pooled_projections=torch.randn(2, 16, generator=g),
        ).sample


def merged(path: Path, names: str) -> SD3Transformer2DModel:
    """The tiny model with a LoRA in the original model's names, ``W + alpha / rank * up @ down``, as sd-scripts and ComfyUI
    merge it; ``names`` is kohya or comfyui. Every tensor of the file must be used."""
    weights, state = original_weights(), load_file(path)
    unused = set(state)
    for key in [key for key in weights if key.endswith(".weight")]:
        module = key.removesuffix(".weight")
        spelled = f"lora_unet_{module.replace('.', '_')}" if names == "kohya" else f"diffusion_model.{module}"
        if f"{spelled}.lora_up.weight" not in state:
            continue
        up, down, alpha = (state[f"{spelled}.{end}"] for end in ("lora_up.weight", "lora_down.weight", "alpha"))
        change = (up.double().flatten(1) @ down.double().flatten(1)) * (float(alpha) / down.shape[0])
        weights[key] = (weights[key].double() + change.reshape(weights[key].shape)).float()
        unused -= {f"{spelled}.{end}" for end in ("lora_up.weight", "lora_down.weight", "alpha")}
    assert not unused, sorted(unused)[:3]
    return in_diffusers(weights)


def loaded_by_diffusers(path: Path) -> SD3Transformer2DModel:
    """The tiny model with a LoRA that diffusers' own loader put on it."""
    model = in_diffusers(original_weights())
    model.load_lora_adapter(path.parent, weight_name=path.name, prefix="transformer")
    return model


def applied(path: Path, to: str) -> Tensor:
    """Velocity of the tiny model with a LoRA in format ``to``, by the program whose format it is."""
    if to == "diffusers":
        return velocity(loaded_by_diffusers(path))
    return velocity(merged(path, "comfyui" if to == "comfyui" else "kohya"))


def original_lora(
    path: Path,
    names: str,
    seed: int = 0,
    modules: list[str] | None = None,
    header: dict[str, str] | None = None,
    split: bool = False,
    dtype: torch.dtype = torch.float32,
    rank: int = RANK,
    shapes: dict[str, tuple[int, ...]] | None = None,
) -> Path:
    """A random LoRA in kohya's or ComfyUI's names; ``split``: q, k and v with three pairs, saved as sd-scripts does."""
    g = torch.Generator().manual_seed(seed)
    shapes = SHAPES if shapes is None else shapes
    state = {}
    for module in ADAPTED if modules is None else modules:
        rows, columns, *kernel = shapes[module]
        ranks = 3 * rank if split and module.endswith("qkv") else rank
        down = torch.randn(ranks, columns, *kernel, generator=g) / columns**0.5
        up = 0.5 * torch.randn(rows, ranks, *[1 for _ in kernel], generator=g)
        if ranks != rank:
            mask = torch.zeros(rows, ranks)
            for third in range(3):
                mask[third * rows // 3 : (third + 1) * rows // 3, third * rank : (third + 1) * rank] = 1
            up = up * mask
        name = f"lora_unet_{module.replace('.', '_')}" if names == "kohya" else f"diffusion_model.{module}"
        state[f"{name}.lora_down.weight"], state[f"{name}.lora_up.weight"] = down.to(dtype), up.to(dtype)
        state[f"{name}.alpha"] = torch.tensor(ALPHA).to(dtype)
    save_file(state, path, header)
    return path


def diffusers_lora(path: Path, seed: int = 0, dtype: torch.dtype = torch.float32, **settings: Any) -> Path:
    """A random LoRA that PEFT itself made on the tiny model, with its settings in the header as diffusers writes them."""
    model = in_diffusers(original_weights())
    config = LoraConfig(**{
        "r": RANK,
        "lora_alpha": ALPHA,
        "target_modules": r"transformer_blocks\.\d+\..*(to_.|to_out\.0|add_._proj|to_add_out|proj|net\.2|linear)",
        "rank_pattern": {"transformer_blocks.1.attn.to_q": 2},
        "alpha_pattern": {"transformer_blocks.0.attn.to_k": 3.0},
        **settings,
    })  # fmt: skip
    model.add_adapter(config)
    torch.manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    state = {f"transformer.{key}": value.to(dtype) for key, value in get_peft_model_state_dict(model).items()}
    table = {
        f"transformer.{key}": list(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
    }
    table["transformer.target_modules"] = sorted({key.split(".lora_")[0].removeprefix("transformer.") for key in state})
    save_file(state, path, {"format": "pt", "lora_adapter_metadata": json.dumps(table, default=str)})
    return path


REFERENCE_HEADER = {
    "ss_enable_3d_fusion": "True",
    "ss_fusion_method": "hybrid_film_attn",
    "ss_pointcloud_dim": "64",
    "ss_image_feature_dim": "16",
    "ss_network_module": "networks.lora_sd3",
    "ss_network_dim": str(RANK),
    "ss_network_alpha": str(ALPHA),
    "ss_base_model_version": "3-5-medium",
    "sshs_model_hash": "0" * 64,
    "modelspec.architecture": "stable-diffusion-3-3-5-medium/lora",
    "modelspec.title": "sd35m-test",
}


def make_source(path: Path, form: str, **settings: Any) -> Path:
    """A random LoRA in a format, made without the package."""
    if form == "diffusers":
        return diffusers_lora(path, **settings)
    if form == "reference":
        settings = {"header": REFERENCE_HEADER, **settings}
    return original_lora(path, "comfyui" if form == "comfyui" else "kohya", **settings)


def header_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def kohya_changes(path: Path) -> dict[str, Tensor]:
    """Weight changes in a file with kohya's names, read by hand."""
    state = load_file(path)
    modules = sorted({re.sub(r"\.(lora_down|lora_up|alpha).*", "", key) for key in state})
    return {
        name: state[f"{name}.lora_up.weight"].double()
        @ state[f"{name}.lora_down.weight"].double()
        * (float(state[f"{name}.alpha"]) / state[f"{name}.lora_down.weight"].shape[0])
        for name in modules
    }
