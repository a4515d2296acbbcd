"""Prior maps to a forecast of the chip's latent, and from there to something that is added to the patch embedding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from geodiff_sar.conditioning.maps import strided


class _Residual(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(1, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class MapForecast(nn.Module):
    """Convolutions from pixels to the latent's own grid, trained to be the latent as far as maps foretell it.

    The backbone then sees the forecast, and the features behind it, in the place and the order of its own noisy latents: what
    is to be drawn, in the terms that it draws in. The last projection starts at zero, so an untrained adapter equals the
    base. Absent maps are a learned vector, zero at first too.

    Args:
        maps: number of maps.
        channels: after the first convolution; each further one doubles them, to eight times as many at most.
        blocks: residual blocks on the latent's grid.
        latent_channels: of the base's latent.
        patch: latent pixels per image token, along one side.
        stride: picture pixels per image token, along one side.
        width: of the transformer's image tokens.
    """

    def __init__(
        self, maps: int, channels: int, blocks: int, latent_channels: int, patch: int, stride: int, width: int
    ):
        super().__init__()
        layers, inner = strided(maps, channels, stride // patch)
        self.features = nn.Sequential(*layers, *(_Residual(inner) for _ in range(blocks)))
        self.head = nn.Conv2d(inner, latent_channels, 3, padding=1)
        self.projection = nn.Conv2d(inner + latent_channels, width, patch, stride=patch)
        self.null = nn.Parameter(torch.zeros(width))
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)  # pyright: ignore

    def forward(
        self, maps: Float[Tensor, "batch map rows columns"], present: Bool[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch patch width"], Float[Tensor, "batch channel tall wide"]]:
        """Addend for each image token, in rows of the picture, and the forecast of the scaled latent; values where
        ``present`` is False are never used."""
        features = self.features(torch.where(present[:, None, None, None], maps, 0.0))
        forecast = self.head(features)
        tokens = self.projection(torch.cat([forecast, features], dim=1)).flatten(2).transpose(1, 2)
        return torch.where(present[:, None, None], tokens, self.null), forecast
