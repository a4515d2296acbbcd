"""Gate, FiLM modulation, attention and image push: the recommended method."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.conditioning.environment import env_float
from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import (
    Fusion,
    FusionSizes,
    attention_layer,
    turn_share,
    turn_towards,
    weighted_sum,
)
from geodiff_sar.core.config import Options


class HybridFilmAttnOptions(Options):
    """Options of ``hybrid_film_attn``."""

    heads: int = Field(default=8, ge=1, description="attention heads")
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in gate, attention and feed-forward")
    gamma_scale: float = Field(
        default_factory=lambda: env_float("HYBRID_GAMMA_SCALE", 0.5, low=0.0),
        ge=0,
        description="range of the FiLM factor about 1; default HYBRID_GAMMA_SCALE or 0.5",
    )
    push_target: float = Field(
        default_factory=lambda: env_float("HYBRID_IMG_PUSH_TARGET", 0.90, -1.0, 1.0),
        ge=-1,
        le=1,
        description="cosine to the image above which nothing is pushed; default HYBRID_IMG_PUSH_TARGET or 0.90",
    )
    push_max: float = Field(
        default_factory=lambda: env_float("HYBRID_IMG_PUSH_MAX", 0.5, 0.0, 1.0),
        ge=0,
        le=1,
        description="largest share of the image direction; default HYBRID_IMG_PUSH_MAX or 0.5",
    )


@FUSIONS.register("hybrid_film_attn")
class HybridFilmAttnFusion(Fusion):
    """Gates, modulation by the image (FiLM), attention and a turn towards the image; the recommended method.

    ``m = LN(t), LN(W_p p), LN(W_i i)``; ``f = sum w_k m_k`` with ``w = softmax(MLP([m_1, m_2, m_3]))``;
    ``gamma, beta = MLP([f, m_3])``; ``x = (1 + s tanh gamma) f + beta``; x attends to ``[x, m_1, m_2, m_3]``, then a
    feed-forward layer, each with residual and LayerNorm; with ``c = cos(x, m_3)``,
    ``tau = min(relu(target - c) / max(1 - c, 1e-4), most)`` and ``F = |x| unit((1 - tau) unit(x) + tau unit(m_3))``.

    Departures: the published attention sees x alone, where queries and keys cannot matter and get no gradient (a linear
    map under another name); here x attends to the three modalities as well, with the same weights. The strengths are
    stored with the adapter; the published code trains with other values than it samples with. Hidden widths scale with
    the text width.
    59,293,187 parameters at 2048 and 768, as published (59.3 M).
    """

    Options = HybridFilmAttnOptions

    def __init__(self, sizes: FusionSizes, options: HybridFilmAttnOptions):
        super().__init__(sizes, options)
        width, drop = sizes.text_dim, options.dropout
        self.gamma_scale, self.push_target, self.push_max = options.gamma_scale, options.push_target, options.push_max
        self.geometry_projection = nn.Linear(sizes.geometry_dim, width)
        self.image_projection = nn.Linear(sizes.image_dim, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width) for _ in range(3)])
        gate_hidden, film_hidden = sizes.hidden(8), sizes.hidden(4)
        self.gate = nn.Sequential(
            nn.Linear(3 * width, gate_hidden), nn.GELU(), nn.Dropout(drop), nn.Linear(gate_hidden, 3)
        )
        self.film = nn.Sequential(nn.Linear(2 * width, film_hidden), nn.GELU(), nn.Linear(film_hidden, 2 * width))
        self.attention = attention_layer(width, options.heads, drop)
        self.norm_attention = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Dropout(drop), nn.Linear(4 * width, width))
        self.norm_feed = nn.LayerNorm(width)

    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        raw = (text, self.geometry_projection(geometry), self.image_projection(image))
        parts = [norm(part) for norm, part in zip(self.norms, raw, strict=True)]
        weights = self.gate(torch.cat(parts, dim=-1)).softmax(dim=-1)
        fused = weighted_sum(weights, torch.stack(parts, dim=1))
        gamma, beta = self.film(torch.cat([fused, parts[2]], dim=-1)).chunk(2, dim=-1)
        x = (1 + self.gamma_scale * gamma.tanh()) * fused + beta
        seen = torch.stack([x, *parts], dim=1)
        mixed, _ = self.attention(x[:, None], seen, seen, need_weights=False)
        x = self.norm_attention(x + mixed[:, 0])
        x = self.norm_feed(x + self.feed(x))
        cosine = nn.functional.cosine_similarity(x, parts[2], dim=-1)[:, None]
        return turn_towards(x, parts[2], turn_share(cosine, self.push_target, self.push_max))
