"""Attention over the three modalities."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes, attention_layer, weighted_sum
from geodiff_sar.core.config import Options


class AttentionOptions(Options):
    """Options of ``attention``."""

    heads: int = Field(default=8, ge=1, description="attention heads")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout inside attention and feed-forward")
    text_share: float = Field(default=0.3, ge=0, le=1, description="share of the projected text in the result")


@FUSIONS.register("attention")
class AttentionFusion(Fusion):
    """Attention over the three modalities as tokens, weighted, plus a share of the projected text.

    ``x_k = GELU(LN(W_k m_k))`` for m = t, p, i; tokens ``x_k + e_k`` through self-attention and a feed-forward layer,
    each with residual and LayerNorm; ``F = (1 - s) sum w_k token_k + s W_r t`` with ``w = softmax(MLP([x_t, x_p, x_i]))``
    and s = 0.3.

    Departures: s is an option; the hidden width of the weights scales with the text width (128 at 2048). The rest is as
    published.
    62,706,179 parameters at 2048 and 768, as published (62.7 M).
    """

    Options = AttentionOptions

    def __init__(self, sizes: FusionSizes, options: AttentionOptions):
        super().__init__(sizes, options)
        width, drop = sizes.text_dim, options.dropout
        self.text_share = options.text_share
        self.projections = nn.ModuleList(
            [
                nn.Sequential(nn.Linear(size, width), nn.LayerNorm(width), nn.GELU())
                for size in (sizes.text_dim, sizes.geometry_dim, sizes.image_dim)
            ]
        )
        self.modality = nn.Parameter(torch.randn(3, width) * 0.02)
        self.attention = attention_layer(width, options.heads, drop)
        self.norm_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * width, width), nn.Dropout(drop)
        )
        self.norm_feed = nn.LayerNorm(width)
        hidden = sizes.hidden(16)
        self.weights = nn.Sequential(nn.Linear(3 * width, hidden), nn.ReLU(), nn.Linear(hidden, 3))
        self.text_residual = nn.Linear(width, width)

    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        parts = [layer(part) for layer, part in zip(self.projections, (text, geometry, image), strict=True)]
        weights = self.weights(torch.cat(parts, dim=-1)).softmax(dim=-1)
        tokens = torch.stack(parts, dim=1) + self.modality
        mixed, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        tokens = self.norm_attention(tokens + mixed)
        tokens = self.norm_feed(tokens + self.feed(tokens))
        return (1 - self.text_share) * weighted_sum(weights, tokens) + self.text_share * self.text_residual(text)
