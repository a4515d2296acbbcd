"""A learned gate over the three modalities."""

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes, mlp, weighted_sum
from geodiff_sar.core.config import Options


class GatedOptions(Options):
    """Options of ``gated``."""

    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout in the networks")


@FUSIONS.register("gated")
class GatedFusion(Fusion):
    """A sum of the three modalities with learned gates, plus some text.

    P and I from networks of three layers; ``F = g_1 t + g_2 P + g_3 I + r t`` with ``g = softmax(MLP([t, P, I]))``
    and a learned r that starts at 0.1.

    Departure: hidden widths scale with the text width; at 2048 they are the published ones.
    11,223,812 parameters at 2048 and 768, as published (11.2 M).
    """

    Options = GatedOptions

    def __init__(self, sizes: FusionSizes, options: GatedOptions):
        super().__init__(sizes, options)
        width, drop = sizes.text_dim, options.dropout
        self.geometry_network = mlp([sizes.geometry_dim, sizes.hidden(4), sizes.hidden(2), width], drop, drop_after=1)
        self.image_network = mlp([sizes.image_dim, sizes.hidden(8), sizes.hidden(4), width], drop, drop_after=1)
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
        return weighted_sum(weights, torch.stack(parts, dim=1)) + self.text_weight * text
