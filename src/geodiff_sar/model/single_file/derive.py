"""Configurations of the parts: the published ones, with every size read from the tensors themselves."""

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.single_file.layout import TITLES, PartFile
from geodiff_sar.model.tensor_file import TensorEntry

CONFIGS = Path(__file__).resolve().parent / "configs"
"""Published configurations of Stable Diffusion 3.5 Medium, one file per part."""

HEAD_WIDTH = 64
"""Channels per head, where no tensor tells: both CLIPs, and Stable Diffusion 3 Medium."""

Entries = Mapping[str, TensorEntry]


@cache
def _published_text(name: str) -> str:
    return (CONFIGS / f"{name}.json").read_text(encoding="utf-8")


def published(name: str) -> dict[str, Any]:
    """The published configuration of a part, or of the ``scheduler``."""
    return json.loads(_published_text(name))


def derived(file: PartFile) -> dict[str, Any]:
    """Configuration of the part in a file.

    Raises:
        FileError: tensors that tell the sizes are missing or have impossible shapes.
    """
    sizes = {
        "transformer": _transformer,
        "vae": _vae,
        "text_encoder": _clip_l,
        "text_encoder_2": _clip,
        "text_encoder_3": _t5,
    }
    try:
        return {**published(file.part), **sizes[file.part](file.entries)}
    except KeyError as error:
        raise _unusable(file, f"tensor '{file.prefix}{error.args[0]}' is missing") from error
    except (ValueError, IndexError, ZeroDivisionError) as error:
        raise _unusable(file, f"shapes of its tensors do not fit together ({error})") from error


def _transformer(entries: Entries) -> dict[str, Any]:
    width, channels, patch, _ = entries["x_embedder.proj.weight"].shape
    positions = math.isqrt(entries["pos_embed"].shape[1])
    dual = sorted({int(name.split(".")[1]) for name in entries if ".x_block.attn2." in name})
    norm = entries.get("joint_blocks.0.x_block.attn.ln_q.weight")
    head = HEAD_WIDTH if norm is None else norm.shape[0]
    return {
        "attention_head_dim": head,
        "caption_projection_dim": width,
        "dual_attention_layers": dual,
        "in_channels": channels,
        "joint_attention_dim": entries["context_embedder.weight"].shape[1],
        "num_attention_heads": _quotient(width, head, "width"),
        "num_layers": _count(entries, "joint_blocks."),
        "out_channels": _quotient(entries["final_layer.linear.weight"].shape[0], patch * patch, "final_layer.linear"),
        "patch_size": patch,
        "pooled_projection_dim": entries["y_embedder.mlp.0.weight"].shape[1],
        "pos_embed_max_size": positions,
        "qk_norm": None if norm is None else "rms_norm",
        "sample_size": min(published("transformer")["sample_size"], positions * patch),
    }


def _vae(entries: Entries) -> dict[str, Any]:
    down, block = ("down_blocks", "resnets") if vae_in_diffusers_names(entries) else ("down", "block")
    levels = _count(entries, f"encoder.{down}.")
    channels = [entries[f"encoder.{down}.{level}.{block}.0.conv1.weight"].shape[0] for level in range(levels)]
    return {
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "in_channels": entries["encoder.conv_in.weight"].shape[1],
        "latent_channels": entries["decoder.conv_in.weight"].shape[1],
        "layers_per_block": _count(entries, f"encoder.{down}.0.{block}."),
        "out_channels": entries["decoder.conv_out.weight"].shape[0],
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "use_post_quant_conv": "post_quant_conv.weight" in entries,
        "use_quant_conv": "quant_conv.weight" in entries,
    }


def vae_in_diffusers_names(names: Iterable[str]) -> bool:
    """Whether an autoencoder has diffusers' names and not the published ones."""
    return any(name.startswith("encoder.down_blocks.") for name in names)


def _clip(entries: Entries) -> dict[str, Any]:
    vocabulary, width = entries["text_model.embeddings.token_embedding.weight"].shape
    return {
        "hidden_size": width,
        "intermediate_size": entries["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "max_position_embeddings": entries["text_model.embeddings.position_embedding.weight"].shape[0],
        "num_attention_heads": _quotient(width, HEAD_WIDTH, "width"),
        "num_hidden_layers": _count(entries, "text_model.encoder.layers."),
        "projection_dim": entries["text_projection.weight"].shape[0],
        "vocab_size": vocabulary,
    }


def _clip_l(entries: Entries) -> dict[str, Any]:
    """As CLIP-G, but its pooled vector is not projected."""
    token = entries["text_model.embeddings.token_embedding.weight"]
    identity = TensorEntry(token.format, (token.shape[1], token.shape[1]))
    return _clip({**entries, "text_projection.weight": identity})


def _t5(entries: Entries) -> dict[str, Any]:
    embedding = entries.get("shared.weight") or entries["encoder.embed_tokens.weight"]
    layer = "encoder.block.0.layer"
    buckets, heads = entries[f"{layer}.0.SelfAttention.relative_attention_bias.weight"].shape
    return {
        "d_ff": entries[f"{layer}.1.DenseReluDense.wi_0.weight"].shape[0],
        "d_kv": _quotient(entries[f"{layer}.0.SelfAttention.q.weight"].shape[0], heads, "SelfAttention.q"),
        "d_model": embedding.shape[1],
        "num_heads": heads,
        "num_layers": _count(entries, "encoder.block."),
        "num_decoder_layers": _count(entries, "encoder.block."),
        "relative_attention_num_buckets": buckets,
        "vocab_size": embedding.shape[0],
    }


def _count(entries: Entries, prefix: str) -> int:
    """One more than the highest number that follows ``prefix`` in a name."""
    numbers = [int(name[len(prefix) :].split(".")[0]) for name in entries if name.startswith(prefix)]
    if not numbers:
        raise KeyError(f"{prefix}0")
    if max(numbers) >= len(numbers):  # each has several tensors: a number beyond that is no numbering
        raise ValueError(f"{prefix}{max(numbers)} among {len(numbers)} tensors")
    return max(numbers) + 1


def _quotient(whole: int, part: int, what: str) -> int:
    if whole % part or whole < part:
        raise ValueError(f"{what} {whole} is not a multiple of {part}")
    return whole // part


def _unusable(file: PartFile, found: str) -> FileError:
    return FileError(
        file.path,
        found,
        f"{TITLES[file.part]} of Stable Diffusion 3.5 in the published layout",
        "copy the file again, or name another one; `geodiff-sar check-weights` says what is in it",
    )
