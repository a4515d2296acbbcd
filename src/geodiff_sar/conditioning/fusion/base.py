"""What a fusion method is, and the pieces that several share."""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.core.config import Options


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
        """A hidden width of text_dim / share, as published at 2048; at least 8."""
        return max(8, self.text_dim // share)


class Fusion(nn.Module, ABC):
    """Joins pooled text t, geometry p and image i into one vector of the width of t."""

    Options: ClassVar[type[Options]]

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


def weighted_sum(
    weights: Float[Tensor, "batch part"], parts: Float[Tensor, "batch part channel"]
) -> Float[Tensor, "batch channel"]:
    """``sum_k w_k x_k``."""
    return torch.einsum("bk,bkc->bc", weights, parts)


def push_towards(
    vector: Float[Tensor, "batch channel"], goal: Float[Tensor, "batch channel"], target_cosine: float, most: float
) -> Float[Tensor, "batch channel"]:
    """Turn a vector towards a goal where their cosine is below the target; its length stays.

    ``tau = min(relu(target - cos) / max(1 - cos, 1e-4), most)`` and
    ``|v| unit((1 - tau) unit(v) + tau unit(goal))``.
    """
    length = vector.norm(dim=-1, keepdim=True)
    a, b = nn.functional.normalize(vector, dim=-1), nn.functional.normalize(goal, dim=-1)
    cosine = (a * b).sum(dim=-1, keepdim=True)
    tau = (torch.relu(target_cosine - cosine) / (1 - cosine).clamp_min(1e-4)).clamp_max(most)
    return nn.functional.normalize((1 - tau) * a + tau * b, dim=-1) * length
