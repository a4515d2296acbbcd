"""The latent of a reference chip to one vector."""

from jaxtyping import Float
from torch import Tensor, nn


class ReferenceEncoder(nn.Module):
    """Two convolutions, global mean, projection, for latents of any size.

    The published encoder also computed a spatial projection whose result was thrown away; it is left out. Strides are
    ours: they let the mean see larger structures.

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
        """Embedding of each reference."""
        return self.projection(self.convolutions(latent).mean(dim=(2, 3)))
