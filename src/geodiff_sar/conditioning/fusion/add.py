"""Addition."""

from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes
from geodiff_sar.core.config import Options


class AddOptions(Options):
    """``add`` has no options."""


@FUSIONS.register("add")
class AddFusion(Fusion):
    """One projection of the sum of the three modalities.

    ``F = W (t + W_p p + W_i i)``.

    Departure: the published class asserts that the three widths are equal (2048 and 768 never are) and so always fails;
    here p and i are projected to the width of the text first, which adds 3,149,824 parameters at 2048 and 768 to the
    4,196,352 of W.
    """

    Options = AddOptions

    def __init__(self, sizes: FusionSizes, options: AddOptions):
        super().__init__(sizes, options)
        self.geometry_projection = nn.Linear(sizes.geometry_dim, sizes.text_dim)
        self.image_projection = nn.Linear(sizes.image_dim, sizes.text_dim)
        self.projection = nn.Linear(sizes.text_dim, sizes.text_dim)

    def forward(
        self,
        text: Float[Tensor, "batch pooled"],
        geometry: Float[Tensor, "batch geometry"],
        image: Float[Tensor, "batch image"],
    ) -> Float[Tensor, "batch pooled"]:
        return self.projection(text + self.geometry_projection(geometry) + self.image_projection(image))
