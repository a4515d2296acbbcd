"""What a fusion method is, and the pieces that several share."""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError


@dataclass(frozen=True)
class FusionSizes:
    """Widths of the three modalities.

    Attributes:
        text_dim: pooled text, 2048 for SD3.5.
        geometry_dim: geometry embedding, 768 as published.
        image_dim: image embedding, 768 as published.
    """

    text_dim: int
    geometry_dim: int
    image_dim: int

    def hidden(self, share: int) -> int:
        """A hidden width of text_dim / share, which gives the published widths at 2048; at least 8."""
        return max(8, self.text_dim // share)


class Fusion(nn.Module, ABC):
    """Joins pooled text t, geometry p and image i into one vector F(t, p, i) of the width of t.

    Args:
        sizes: widths of the modalities.
        options: an instance of the class's ``Options``.
    """

    Options: ClassVar[type[Options]]

    def __init__(self, sizes: FusionSizes, options: Any):
        super().__init__()

    @abstractmethod
    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        """The fused vector F(t, p, i)."""


def mlp(widths: list[int], dropout: float = 0.0, drop_after: int = 0) -> nn.Sequential:
    """Linear layers with LayerNorm and GELU between them; dropout after the first ``drop_after`` hidden layers."""
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        layers.append(nn.Linear(before, after))
        if number < len(widths) - 2:
            layers += [nn.LayerNorm(after), nn.GELU()]
            if number < drop_after:
                layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers)


def attention_layer(width: int, heads: int, dropout: float) -> nn.MultiheadAttention:
    """Multi-head attention over the modalities.

    Raises:
        OptionError: the heads do not divide the width.
    """
    if width % heads:
        raise OptionError(
            "fusion.options.heads",
            str(heads),
            f"a divisor of the pooled text width {width}",
            "set fusion.options.heads to such a divisor",
        )
    return nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)


def weighted_sum(
    weights: Float[Tensor, "batch part"], parts: Float[Tensor, "batch part channel"]
) -> Float[Tensor, "batch channel"]:
    """``sum_k w_k x_k``; no matrix product, so that autocast leaves the text at full precision."""
    return (weights[..., None] * parts).sum(dim=1)


def turn_share(cosine: Float[Tensor, "batch 1"], target: float, most: float) -> Float[Tensor, "batch 1"]:
    """Share of a goal's direction to mix in: ``min(relu(target - cos) / max(1 - cos, 1e-4), most)``."""
    return (torch.relu(target - cosine) / (1 - cosine).clamp_min(1e-4)).clamp_max(most)


def turn_towards(
    vector: Float[Tensor, "batch channel"], goal: Float[Tensor, "batch channel"], share: Float[Tensor, "batch 1"]
) -> Float[Tensor, "batch channel"]:
    """Turn a vector towards a goal, keeping its length: ``|v| unit((1 - share) unit(v) + share unit(goal))``."""
    mixed = (1 - share) * nn.functional.normalize(vector, dim=-1) + share * nn.functional.normalize(goal, dim=-1)
    return nn.functional.normalize(mixed, dim=-1) * vector.norm(dim=-1, keepdim=True)
