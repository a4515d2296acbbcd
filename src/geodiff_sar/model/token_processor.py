"""The attention processor that lets the backbone's attentions see geometry tokens."""

from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from torch import Tensor

from geodiff_sar.conditioning.tokens import TokenContext

KEYWORD = "geometry"
"""Name under which a TokenContext travels in ``joint_attention_kwargs``."""


class TokenProcessor:
    """Joint attention as the base has it and, where a TokenContext is given, what that adds for the image tokens.

    It holds no weights and no state: everything comes with the call, so that several adapters can use one base in turn,
    blocks can be computed again by gradient checkpointing, and the base's own state, LoRA and ``requires_grad_`` never meet
    the adapter's modules. Without a context the processor that was there before does the work.

    Args:
        name: of the attention, ``<block>.attn`` or ``<block>.attn2``.
        base: the processor in whose place it stands.
    """

    def __init__(self, name: str, base: Any):
        self.name, self.base = name, base

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        geometry: TokenContext | None = None,
    ) -> Any:
        if geometry is None:
            return self.base(attn, hidden_states, encoder_hidden_states, attention_mask)

        raw = _heads(attn, attn.to_q(hidden_states))
        query = _normed(attn.norm_q, raw)
        key = _normed(attn.norm_k, _heads(attn, attn.to_k(hidden_states)))
        value = _heads(attn, attn.to_v(hidden_states))
        if encoder_hidden_states is not None:
            added = [
                _heads(attn, f(encoder_hidden_states)) for f in (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
            ]
            query = torch.cat([query, _normed(attn.norm_added_q, added[0])], dim=2)
            key = torch.cat([key, _normed(attn.norm_added_k, added[1])], dim=2)
            value = torch.cat([value, added[2]], dim=2)
        mixed = torch.nn.functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).flatten(2).to(query.dtype)
        image, text = mixed.split([raw.shape[2], mixed.shape[1] - raw.shape[2]], dim=1)
        image = attn.to_out[1](attn.to_out[0](image + geometry.attend(self.name, raw)))
        if encoder_hidden_states is None:
            return image
        return image, text if attn.context_pre_only else attn.to_add_out(text)


def _heads(attn: Any, projected: Tensor) -> Tensor:
    return projected.unflatten(-1, (attn.heads, -1)).transpose(1, 2)


def _normed(norm: Any, projected: Tensor) -> Tensor:
    return projected if norm is None else norm(projected)


def attention_names(transformer: SD3Transformer2DModel) -> tuple[str, ...]:
    """Names of the attentions that a TokenProcessor can serve, in order."""
    return tuple(name for name, _ in _attentions(transformer))


def install_processors(transformer: SD3Transformer2DModel) -> None:
    """Put a TokenProcessor before each attention's processor, unless one is there."""
    for name, attention in _attentions(transformer):
        if not isinstance(attention.processor, TokenProcessor):
            attention.set_processor(TokenProcessor(name, attention.processor))


def remove_processors(transformer: SD3Transformer2DModel) -> None:
    """Put back what install_processors replaced."""
    for _, attention in _attentions(transformer):
        if isinstance(attention.processor, TokenProcessor):
            attention.set_processor(attention.processor.base)


def _attentions(transformer: SD3Transformer2DModel) -> list[tuple[str, Any]]:
    return [
        (f"{number}.{part}", getattr(block, part))
        for number, block in enumerate(transformer.transformer_blocks)
        for part in ("attn", "attn2")
        if getattr(block, part, None) is not None
    ]
