"""A trained base as a folder in diffusers' layout."""

from pathlib import Path

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import nn

from geodiff_sar.core.files import atomic_directory, write_json
from geodiff_sar.model.base_parts import BaseSettings
from geodiff_sar.model.folder_base import MODEL_INDEX, SETTINGS_FILE
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.tokenizers import save_tokenizers


def write_base(
    options: PretrainOptions, folder: Path, text: TextEncoders, codec: VaeCodec, transformer: nn.Module
) -> None:
    """Write all parts, the scheduler, the index and the settings; each part appears when it is complete."""
    settings = BaseSettings(
        resolution=options.resolution,
        shift=options.shift,
        t5_length=options.text.t5_length,
        remap=options.remap,
        embed_dim=options.adapter_embed_dim,
        guidance_scale=options.guidance_scale,
        keep_level=options.keep_level,
    )
    parts = {
        "transformer": transformer,
        "vae": codec.vae,
        "text_encoder": text.clip_l,
        "text_encoder_2": text.clip_g,
        "text_encoder_3": text.t5,
    }
    tokenizers = dict(zip(("tokenizer", "tokenizer_2", "tokenizer_3"), text.tokenizers, strict=True))
    number = torch.float16 if options.store == "float16" else torch.float32
    for name, part in parts.items():
        with atomic_directory(folder / name) as path:
            nn.Module.to(part, number)
            part.save_pretrained(path, safe_serialization=True)  # pyright: ignore
        nn.Module.to(part, torch.float32)
    save_tokenizers(folder, tokenizers)  # pyright: ignore
    FlowMatchEulerDiscreteScheduler(shift=options.shift).save_pretrained(folder / "scheduler")
    write_json(folder / "model_index.json", MODEL_INDEX)
    write_json(folder / SETTINGS_FILE, settings.model_dump(mode="json"))
