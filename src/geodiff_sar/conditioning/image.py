"""The latent of a reference chip to one vector."""

from jaxtyping import Float
from torch import Tensor, nn


class ReferenceEncoder(nn.Module):
    """Two convolutions with ReLU, global mean, projection, for latents of any size.

    Departures: the published encoder pools to 8 x 8 before its mean and feeds a spatial projection whose result it throws
    away; both are left out. The stride of the second convolution is ours: it halves the work.
    182,208 parameters at 16 channels and 768: the published 6,474,432 less the 6,292,224 of the dead projection.

    Args:
        latent_channels: channels of the latent.
        embed_dim: width of the result.
    """

    def __init__(self, latent_channels: int, embed_dim: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(latent_channels, 64, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.projection = nn.Linear(128, embed_dim)

    def forward(self, latent: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch embed"]:
        """Embedding of each reference; the latent is scaled as the backbone sees it."""
        return self.projection(self.convolutions(latent).mean(dim=(2, 3)))
