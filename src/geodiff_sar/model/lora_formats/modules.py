"""Names of the same layer in diffusers' SD3 transformer, in the original MMDiT, in ComfyUI and in kohya's sd-scripts.

The pairs are those of diffusers' ``convert_sd3_transformer_checkpoint_to_diffusers``. The original has q, k and v in one
matrix, and shift before scale where diffusers' ``AdaLayerNormContinuous`` has scale before shift.
"""

import re

FUSED: dict[str, tuple[str, str, str]] = {
    "x_block.attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "x_block.attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
    "context_block.attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
}
SINGLE: dict[str, str] = {
    "x_block.attn.proj": "attn.to_out.0",
    "x_block.attn2.proj": "attn2.to_out.0",
    "x_block.mlp.fc1": "ff.net.0.proj",
    "x_block.mlp.fc2": "ff.net.2",
    "x_block.adaLN_modulation.1": "norm1.linear",
    "context_block.attn.proj": "attn.to_add_out",
    "context_block.mlp.fc1": "ff_context.net.0.proj",
    "context_block.mlp.fc2": "ff_context.net.2",
    "context_block.adaLN_modulation.1": "norm1_context.linear",
}
OUTSIDE: dict[str, str] = {
    "context_embedder": "context_embedder",
    "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
    "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
    "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
    "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
    "x_embedder.proj": "pos_embed.proj",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
    "final_layer.linear": "proj_out",
}

TEXT_PARTS: dict[str, tuple[str, str]] = {
    "text_encoder": ("text_encoders.clip_l.transformer", "lora_te1"),
    "text_encoder_2": ("text_encoders.clip_g.transformer", "lora_te2"),
    "text_encoder_3": ("text_encoders.t5xxl.transformer", "lora_te3"),
}
"""Text encoder in diffusers: its prefix in ComfyUI and in sd-scripts."""

_NUMBER = "(?:0|[1-9][0-9]{0,3})"
_CLIP = rf"text_model\.encoder\.layers\.{_NUMBER}\.(self_attn\.(q|k|v|out)_proj|mlp\.fc[12])|text_projection"
_T5 = rf"encoder\.block\.{_NUMBER}\.layer\.(0\.SelfAttention\.[qkvo]|1\.DenseReluDense\.(wi|wi_0|wi_1|wo))"
_TEXT = {"text_encoder": re.compile(_CLIP), "text_encoder_2": re.compile(_CLIP), "text_encoder_3": re.compile(_T5)}
_FLAT_CLIP = re.compile(rf"text_model_encoder_layers_({_NUMBER})_(self_attn|mlp)_(\w+)")
_FLAT_T5 = re.compile(rf"encoder_block_({_NUMBER})_layer_([01])_(SelfAttention|DenseReluDense)_(\w+)")

_TO_ORIGINAL: dict[str, tuple[str, int | None]] = {
    **{ours: (original, chunk) for original, three in FUSED.items() for chunk, ours in enumerate(three)},
    **{ours: (original, None) for original, ours in SINGLE.items()},
}
_FLAT_BLOCK = {suffix.replace(".", "_"): suffix for suffix in (*FUSED, *SINGLE)}
_FLAT_OUTSIDE = {name.replace(".", "_"): name for name in OUTSIDE}
_OUTSIDE_BACK = {ours: original for original, ours in OUTSIDE.items()}


def known(name: str) -> bool:
    """Whether ``<part>.<module>`` is a linear layer (or the patch embedding) of SD3 in diffusers' naming."""
    part, _, module = name.partition(".")
    if part == "transformer":
        return to_original(module) is not None
    return part in _TEXT and _TEXT[part].fullmatch(module) is not None


def to_original(module: str) -> tuple[str, int | None] | None:
    """Name in the original MMDiT of a module of diffusers' transformer, and which third of it (q, k, v) if it is fused."""
    if module in _OUTSIDE_BACK:
        return _OUTSIDE_BACK[module], None
    found = re.fullmatch(rf"transformer_blocks\.({_NUMBER})\.(.+)", module)
    if found is None or found[2] not in _TO_ORIGINAL:
        return None
    original, chunk = _TO_ORIGINAL[found[2]]
    return f"joint_blocks.{found[1]}.{original}", chunk


def to_diffusers(original: str) -> tuple[str, ...] | None:
    """Modules of diffusers' transformer that one of the original MMDiT becomes: one, or three for fused q, k, v."""
    if original in OUTSIDE:
        return (OUTSIDE[original],)
    found = re.fullmatch(rf"joint_blocks\.({_NUMBER})\.(.+)", original)
    if found is None:
        return None
    block, suffix = f"transformer_blocks.{found[1]}", found[2]
    if suffix in FUSED:
        return tuple(f"{block}.{name}" for name in FUSED[suffix])
    return (f"{block}.{SINGLE[suffix]}",) if suffix in SINGLE else None


def comfy_to_canonical(name: str) -> tuple[str, ...] | None:
    """Modules ``<part>.<module>`` that ComfyUI's name stands for; None where it is unknown."""
    if name.startswith("diffusion_model."):
        modules = to_diffusers(name.removeprefix("diffusion_model."))
        return None if modules is None else tuple(f"transformer.{module}" for module in modules)
    for part, (prefix, _) in TEXT_PARTS.items():
        canonical = f"{part}.{name.removeprefix(prefix + '.')}"
        if name.startswith(f"{prefix}.") and known(canonical):
            return (canonical,)
    return None


def canonical_to_comfy(name: str) -> tuple[str, int | None]:
    """ComfyUI's name of a known module, and which third of it (q, k, v) if it is fused."""
    part, _, module = name.partition(".")
    if part in TEXT_PARTS:
        return f"{TEXT_PARTS[part][0]}.{module}", None
    found = to_original(module)
    assert found is not None, name
    return f"diffusion_model.{found[0]}", found[1]


def comfy_to_kohya(name: str) -> str:
    """sd-scripts' name of a module: ComfyUI's with other prefixes and underscores for dots."""
    prefixes = {"diffusion_model": "lora_unet", **dict(TEXT_PARTS.values())}
    for comfy, kohya in prefixes.items():
        if name.startswith(f"{comfy}."):
            return f"{kohya}_{name.removeprefix(comfy + '.').replace('.', '_')}"
    raise AssertionError(name)


def kohya_to_comfy(name: str) -> str | None:
    """ComfyUI's name of sd-scripts' module; None where it is unknown."""
    if name.startswith("lora_unet_"):
        flat = name.removeprefix("lora_unet_")
        if flat in _FLAT_OUTSIDE:
            return f"diffusion_model.{_FLAT_OUTSIDE[flat]}"
        found = re.fullmatch(rf"joint_blocks_({_NUMBER})_(.+)", flat)
        if found is None or found[2] not in _FLAT_BLOCK:
            return None
        return f"diffusion_model.joint_blocks.{found[1]}.{_FLAT_BLOCK[found[2]]}"
    for comfy, kohya in TEXT_PARTS.values():
        if name.startswith(f"{kohya}_"):
            dotted = _dotted_text(name.removeprefix(f"{kohya}_"))
            return None if dotted is None else f"{comfy}.{dotted}"
    return None


def _dotted_text(flat: str) -> str | None:
    if flat == "text_projection":
        return flat
    if found := _FLAT_CLIP.fullmatch(flat):
        return f"text_model.encoder.layers.{found[1]}.{found[2]}.{found[3]}"
    if found := _FLAT_T5.fullmatch(flat):
        return f"encoder.block.{found[1]}.layer.{found[2]}.{found[3]}.{found[4]}"
    return None
