"""Checkpoints in the published single-file layout of Stable Diffusion 3.5, written from diffusers' and transformers' own
classes by the inverse of the published names, without the package's and diffusers' converters."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.folder_base import EMBEDDED

POOLED, CONTEXT = 128, 128
PREFIXES = {
    "transformer": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "clip_l": "text_encoders.clip_l.transformer.",
    "clip_g": "text_encoders.clip_g.transformer.",
    "t5xxl": "text_encoders.t5xxl.transformer.",
}


@dataclass
class Models:
    """The parts of a base, random."""

    transformer: SD3Transformer2DModel
    vae: AutoencoderKL
    clip_l: CLIPTextModelWithProjection
    clip_g: CLIPTextModelWithProjection
    t5xxl: T5EncoderModel

    def published(self) -> dict[str, dict[str, Tensor]]:
        """Tensors of every part in published names without prefix."""
        clip_l = {k: v for k, v in self.clip_l.state_dict().items() if k != "text_projection.weight"}
        t5 = {k: v for k, v in self.t5xxl.state_dict().items() if k != "encoder.embed_tokens.weight"}
        return {
            "transformer": published_transformer(self.transformer),
            "vae": published_vae(self.vae),
            "clip_l": clip_l,
            "clip_g": dict(self.clip_g.state_dict()),
            "t5xxl": t5,
        }


def tiny_transformer(**settings: Any) -> SD3Transformer2DModel:
    return SD3Transformer2DModel(**{
        "sample_size": 16, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 3,
        "num_attention_heads": 2, "attention_head_dim": 16, "joint_attention_dim": CONTEXT, "caption_projection_dim": 32,
        "pooled_projection_dim": POOLED, "pos_embed_max_size": 12, "qk_norm": "rms_norm",
        "dual_attention_layers": (0, 1), **settings,
    })  # fmt: skip


def tiny_vae(**settings: Any) -> AutoencoderKL:
    return AutoencoderKL(**{
        "in_channels": 3, "out_channels": 3, "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4, "block_out_channels": (32, 32, 64, 64), "layers_per_block": 2,
        "latent_channels": 16, "norm_num_groups": 32, "scaling_factor": 1.5305, "shift_factor": 0.0609,
        "use_quant_conv": False, "use_post_quant_conv": False, **settings,
    })  # fmt: skip


def tiny_clip(
    act: str, layers: int, vocabulary: int = 600, identity: bool = False, width: int = 64
) -> CLIPTextModelWithProjection:
    model = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=vocabulary, hidden_size=width, intermediate_size=128, projection_dim=64, num_hidden_layers=layers,
            num_attention_heads=width // 64, max_position_embeddings=77, hidden_act=act, bos_token_id=0, eos_token_id=2,
            pad_token_id=1,
        )
    )  # fmt: skip
    if identity:
        model.text_projection.weight.data = torch.eye(64)
    return model


def tiny_models(seed: int = 0, transformer: SD3Transformer2DModel | None = None) -> Models:
    """A whole base of small widths in Stable Diffusion 3.5 Medium's architecture, every tensor random."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        t5 = T5EncoderModel(
            T5Config(
                vocab_size=200, d_model=CONTEXT, d_kv=16, d_ff=96, num_layers=2, num_heads=4,
                feed_forward_proj="gated-gelu", dropout_rate=0.1, tie_word_embeddings=False,
            )
        )  # fmt: skip
        t5.encoder.embed_tokens.weight = t5.shared.weight
        models = Models(
            transformer or tiny_transformer(), tiny_vae(), tiny_clip("quick_gelu", 2, identity=True),
            tiny_clip("gelu", 3), t5,
        )  # fmt: skip
        for model in vars(models).values():
            shake(model)
    models.clip_l.text_projection.weight.data = torch.eye(64)
    return models


def shake(model: nn.Module) -> None:
    """Make biases and norms random as well, which start as zeros and ones."""
    for parameter in model.parameters():
        parameter.data = (parameter.data + 0.05 * torch.randn_like(parameter)).contiguous()
    model.eval().requires_grad_(False)


def published_transformer(model: nn.Module) -> dict[str, Tensor]:
    """The original MMDiT-X names: q, k and v in one matrix; shift before scale in the last modulations."""
    state = dict(model.state_dict())
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("transformer_blocks."))
    out = {"pos_embed": state.pop("pos_embed.pos_embed")}
    for ours, theirs in {
        "x_embedder.proj": "pos_embed.proj",
        "context_embedder": "context_embedder",
        "t_embedder.mlp.0": "time_text_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_text_embed.timestep_embedder.linear_2",
        "y_embedder.mlp.0": "time_text_embed.text_embedder.linear_1",
        "y_embedder.mlp.2": "time_text_embed.text_embedder.linear_2",
        "final_layer.linear": "proj_out",
    }.items():
        _both(out, ours, [state.pop(f"{theirs}.{end}") for end in ("weight", "bias")])
    _both(
        out, "final_layer.adaLN_modulation.1", [_swapped(state.pop(f"norm_out.linear.{e}")) for e in ("weight", "bias")]
    )
    for number in range(blocks):
        block, joint = f"transformer_blocks.{number}", f"joint_blocks.{number}"
        for theirs, ours in {
            "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj",
            "attn2.to_out.0": "x_block.attn2.proj", "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2",
            "ff_context.net.0.proj": "context_block.mlp.fc1", "ff_context.net.2": "context_block.mlp.fc2",
            "norm1.linear": "x_block.adaLN_modulation.1",
        }.items():  # fmt: skip
            if f"{block}.{theirs}.weight" in state:
                _both(out, f"{joint}.{ours}", [state.pop(f"{block}.{theirs}.{end}") for end in ("weight", "bias")])
        for names, ours in (
            (("attn.to_q", "attn.to_k", "attn.to_v"), "x_block.attn.qkv"),
            (("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), "context_block.attn.qkv"),
            (("attn2.to_q", "attn2.to_k", "attn2.to_v"), "x_block.attn2.qkv"),
        ):
            if f"{block}.{names[0]}.weight" in state:
                fused = [torch.cat([state.pop(f"{block}.{n}.{end}") for n in names]) for end in ("weight", "bias")]
                _both(out, f"{joint}.{ours}", fused)
        for theirs, ours in {
            "attn.norm_q": "x_block.attn.ln_q", "attn.norm_k": "x_block.attn.ln_k",
            "attn.norm_added_q": "context_block.attn.ln_q", "attn.norm_added_k": "context_block.attn.ln_k",
            "attn2.norm_q": "x_block.attn2.ln_q", "attn2.norm_k": "x_block.attn2.ln_k",
        }.items():  # fmt: skip
            if f"{block}.{theirs}.weight" in state:
                out[f"{joint}.{ours}.weight"] = state.pop(f"{block}.{theirs}.weight")
        change = _swapped if number == blocks - 1 else (lambda tensor: tensor)
        context = [change(state.pop(f"{block}.norm1_context.linear.{end}")) for end in ("weight", "bias")]
        _both(out, f"{joint}.context_block.adaLN_modulation.1", context)
    assert not state, sorted(state)
    return out


def published_vae(model: nn.Module) -> dict[str, Tensor]:
    """The original autoencoder's names: levels of the decoder counted from the other end, attention as 1 x 1 convolution."""
    state = dict(model.state_dict())
    levels = len(model.config["block_out_channels"])
    out = {}
    for name, tensor in state.items():
        side, rest = name.split(".", 1)
        words = rest.split(".")
        if words[0] in ("down_blocks", "up_blocks"):
            level = int(words[1]) if words[0] == "down_blocks" else levels - 1 - int(words[1])
            direction = words[0].removesuffix("_blocks")
            if words[2] == "resnets":
                rest = ".".join([direction, str(level), "block", words[3], *words[4:]]).replace(
                    "conv_shortcut", "nin_shortcut"
                )
            else:
                rest = ".".join([direction, str(level), f"{direction}sample", *words[4:]])
        elif words[0] == "mid_block" and words[1] == "resnets":
            rest = ".".join(["mid", f"block_{int(words[2]) + 1}", *words[3:]])
        elif words[0] == "mid_block":
            place = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}[words[3]]
            rest = ".".join(["mid", "attn_1", place, words[-1]])
            tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
        elif words[0] == "conv_norm_out":
            rest = ".".join(["norm_out", words[1]])
        out[f"{side}.{rest}"] = tensor
    return out


def write_checkpoint(
    folder: Path,
    models: Models,
    inside: tuple[str, ...] = ("transformer", "vae"),
    dtype: torch.dtype = torch.float32,
    tokenizers: Path | None = EMBEDDED["mini"],
) -> BaseFiles:
    """Write ``model.safetensors`` with the parts named by ``inside``, and one file without prefixes for each other part."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = models.published()
    main = {PREFIXES[part] + name: tensor for part in inside for name, tensor in parts[part].items()}
    save_file({name: _stored(tensor, dtype) for name, tensor in main.items()}, folder / "model.safetensors")
    separate = {}
    for part in ("clip_l", "clip_g", "t5xxl", "vae"):
        if part not in inside:
            separate[part] = folder / f"{part}.safetensors"
            save_file({name: _stored(tensor, dtype) for name, tensor in parts[part].items()}, separate[part])
    return BaseFiles(str(folder / "model.safetensors"), **separate, tokenizers=tokenizers)


def _stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype).contiguous().clone()


def _both(out: dict[str, Tensor], name: str, tensors: list[Tensor]) -> None:
    out[f"{name}.weight"], out[f"{name}.bias"] = tensors


def _swapped(tensor: Tensor) -> Tensor:
    """Scale and shift change places."""
    scale, shift = tensor.chunk(2)
    return torch.cat([shift, scale])
