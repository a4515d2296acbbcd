"""Saying what a file is that cannot be used as it was meant to be."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from geodiff_sar.model.tensor_file import TensorEntry

OTHERS = (
    (r"lora_(down|up|A|B)\b|hada_w|lokr_", "a LoRA; give it by --lora_weights"),
    (r"(^|\.)double_blocks\.\d+\.img_attn", "Flux"),
    (r"^conditioner\.embedders\.1\.|label_emb\.", "Stable Diffusion XL"),
    (r"^conditioner\.embedders\.0\.model\.", "the refiner of Stable Diffusion XL"),
    (r"^cond_stage_model\.model\.", "Stable Diffusion 2"),
    (r"^cond_stage_model\.transformer\.", "Stable Diffusion 1"),
    (r"(^|\.)(input_blocks|output_blocks)\.", "the UNet of Stable Diffusion 1, 2 or XL"),
    (r"(^|\.)double_layers\.\d+", "AuraFlow"),
    (r"^clip_txt_mapper\.|channelwise\.", "Stable Cascade"),
    (r"^(control_model|controlnet)", "a ControlNet"),
    (r"^transformer_blocks\.", "a transformer in diffusers' names; give the folder of which it is a part"),
    (r"joint_blocks\.", "a transformer of Stable Diffusion 3"),
    (r"(^|\.)vision_model\.|visual_projection", "a whole CLIP model with its vision tower, not its text encoder alone"),
    (r"^decoder\.block\.\d+\.layer", "a whole T5 model with its decoder, not its encoder alone"),
    (r"^encoder\.block\.\d+\.layer", "a T5 text encoder"),
    (r"^text_model\.", "a CLIP text encoder"),
    (r"(^|\.)resblocks\.\d+\.attn\.in_proj_weight", "a CLIP text encoder in OpenCLIP's names, not Hugging Face's"),
    (r"(^|\.)decoder\.conv_in\.", "a VAE"),
    (r"^(fusion|points|geometry|image|pose|injection|null_)[._]", "conditioning weights of an adapter"),
    (r"(^|\.)(img_mod|txt_mod|cross_attn|self_attn|noise_refiner|context_refiner)\.", "another diffusion transformer"),
)


def looks_like(names: Iterable[str]) -> str:
    """What a file with these tensor names is."""
    listed = list(names)
    for pattern, model in OTHERS:
        if any(re.search(pattern, name) for name in listed):
            return model
    return f"nothing known ({len(listed)} tensors, {', '.join(sorted(listed)[:3])} ...)"


def clip_title(entries: Mapping[str, TensorEntry]) -> str | None:
    """Which published CLIP text encoder has these tensors; None: neither of the two of Stable Diffusion 3."""
    positions = entries.get("text_model.embeddings.position_embedding.weight")
    return {768: "CLIP-L", 1280: "CLIP-G"}.get(positions.shape[-1]) if positions and positions.shape else None


def transformer_title(config: Mapping[str, Any]) -> str:
    """Which published transformer a configuration is, or its size in words."""
    known = PUBLISHED.get(_size(config))
    layers, width, dual = config["num_layers"], config["caption_projection_dim"], list(config["dual_attention_layers"])
    size = f"a transformer of Stable Diffusion 3's kind, {layers} blocks of width {width}, dual attention in {dual}"
    return size if known is None else known[0]


def transformer_repository(config: Mapping[str, Any]) -> str | None:
    """The repository on the hub where a transformer of this configuration was published; None: not known."""
    known = PUBLISHED.get(_size(config))
    return None if known is None else known[1]


def _size(config: Mapping[str, Any]) -> tuple[int, int, bool, int]:
    """Blocks, width, whether queries and keys are normalised, and blocks with dual attention."""
    dual = len(config["dual_attention_layers"])
    return (config["num_layers"], config["caption_projection_dim"], config["qk_norm"] is not None, dual)


PUBLISHED = {
    (24, 1536, False, 0): ("Stable Diffusion 3 Medium", "stabilityai/stable-diffusion-3-medium-diffusers"),
    (24, 1536, True, 13): ("Stable Diffusion 3.5 Medium", "stabilityai/stable-diffusion-3.5-medium"),
    (38, 2432, True, 0): ("Stable Diffusion 3.5 Large", "stabilityai/stable-diffusion-3.5-large"),
}
"""Titles and repositories of the published transformers by their size."""
