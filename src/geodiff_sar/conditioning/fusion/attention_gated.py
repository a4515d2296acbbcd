"""Attention and gate together."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes, attention_layer, mlp, weighted_sum
from geodiff_sar.core.config import Options


class AttentionGatedOptions(Options):
    """Options of ``attention_gated``."""

    heads: int = Field(default=8, ge=1, description="attention heads")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the networks")


@FUSIONS.register("attention_gated")
class AttentionGatedFusion(Fusion):
    """Attention over the three modalities, summed with learned gates, plus some text.

    P and I from networks of three layers; tokens ``[t, P, I] + e`` through self-attention and a feed-forward layer,
    each with residual and LayerNorm; ``F = sum g_k token_k + r t`` with ``g = softmax(MLP([t, P, I]))`` and a learned r
    that starts at 0.1.

    Departures: the cross-attention and its LayerNorm, whose result the published class throws away, are left out;
    hidden widths scale with the text width.
    61,588,228 parameters at 2048 and 768: the published 78.4 M less the 16,789,504 of those dead layers.
    """

    Options = AttentionGatedOptions

    def __init__(self, sizes: FusionSizes, options: AttentionGatedOptions):
        super().__init__(sizes, options)
        width, drop = sizes.text_dim, options.dropout
        self.geometry_network = mlp([sizes.geometry_dim, sizes.hidden(4), sizes.hidden(2), width], drop, drop_after=2)
        self.image_network = mlp([sizes.image_dim, sizes.hidden(8), sizes.hidden(4), width], drop, drop_after=2)
        self.modality = nn.Parameter(torch.randn(3, width) * 0.02)
        self.attention = attention_layer(width, options.heads, drop)
        self.norm_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * width, width), nn.Dropout(drop)
        )
        self.norm_feed = nn.LayerNorm(width)
        self.gate = mlp([3 * width, sizes.hidden(2), sizes.hidden(4), 3], drop, drop_after=2)
        self.text_weight = nn.Parameter(torch.tensor(0.1))

    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        parts = [text, self.geometry_network(geometry), self.image_network(image)]
        weights = self.gate(torch.cat(parts, dim=-1)).softmax(dim=-1)
        tokens = torch.stack(parts, dim=1) + self.modality
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.norm_attention(tokens + mixed)
        tokens = self.norm_feed(tokens + self.feed(tokens))
        return weighted_sum(weights, tokens) + self.text_weight * text
