"""Mostly the text, a little of the rest."""

from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from geodiff_sar.conditioning.environment import env_float
from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes, mlp
from geodiff_sar.core.config import Options


class GentleOptions(Options):
    """Options of ``gentle``."""

    alpha: float = Field(
        default_factory=lambda: env_float("GENTLE_ALPHA", 0.02, 0.0, 0.2),
        ge=0,
        le=0.2,
        description="share of geometry and image; default GENTLE_ALPHA or 0.02",
    )


@FUSIONS.register("gentle")
class GentleFusion(Fusion):
    """The text, with a small fixed share of geometry and image.

    ``F = (1 - a) t + 0.75 a P + 0.25 a I`` with P and I from networks of two layers, LayerNorm and GELU between.

    Departures: a is fixed when the adapter is built and stored in it (the published class reads GENTLE_ALPHA at every
    call and clips it silently to 0..0.2; here a value outside is an error). Hidden widths scale with the text width.
    2,169,088 parameters at 2048 and 768, as published (2.17 M).
    """

    Options = GentleOptions

    def __init__(self, sizes: FusionSizes, options: GentleOptions):
        super().__init__(sizes, options)
        self.alpha = options.alpha
        self.geometry_network = mlp([sizes.geometry_dim, sizes.hidden(4), sizes.text_dim])
        self.image_network = mlp([sizes.image_dim, sizes.hidden(8), sizes.text_dim])

    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        a = self.alpha
        return (1 - a) * text + 0.75 * a * self.geometry_network(geometry) + 0.25 * a * self.image_network(image)
