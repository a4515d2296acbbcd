"""Prior maps on the chip's pixel grid to something that is added to the patch embedding."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

SILU_GAIN = 1.676
"""1 / sqrt(E[silu(z)^2]) for standard normal z: what keeps the size of a signal through a layer and its SiLU."""


class MapEncoder(nn.Module):
    """Strided convolutions from pixels to image tokens, then a projection that starts at zero.

    One convolution per factor of two in the stride (4 x 4 pixels, stride 2: a token's field lies symmetrically about its
    patch), one for what remains. ControlNet's idea (Zhang, Rao and Agrawala 2023) with maps that lie on the chip's own grid;
    since the projection is zero at first, an untrained adapter equals the base. Absent maps are a learned vector, zero at
    first too.

    Args:
        maps: number of maps.
        channels: after the first convolution; each further one doubles them, to eight times as many at most.
        stride: picture pixels per image token.
        width: of the transformer's image tokens.
    """

    def __init__(self, maps: int, channels: int, stride: int, width: int):
        super().__init__()
        layers, before = strided(maps, channels, stride)
        self.convolutions = nn.Sequential(*layers)
        self.projection = nn.Linear(before, width)
        self.null = nn.Parameter(torch.zeros(width))
        nn.init.zeros_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(
        self, maps: Float[Tensor, "batch map rows columns"], present: Bool[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch patch width"], None]:
        """Addend for each image token, in rows of the picture, and no forecast; values where ``present`` is False are never
        used."""
        seen = torch.where(present[:, None, None, None], maps, 0.0)
        tokens = self.projection(self.convolutions(seen).flatten(2).transpose(1, 2))
        return torch.where(present[:, None, None], tokens, self.null), None


def strided(maps: int, channels: int, stride: int) -> tuple[list[nn.Module], int]:
    """Convolutions that make a picture ``stride`` times smaller, and the channels of the last one: one convolution per factor
    of two (4 x 4 pixels, stride 2), one for what remains, each before a SiLU; see MapEncoder for ``channels``."""
    layers: list[nn.Module] = []
    before, after, remaining = maps, channels, stride
    while remaining % 2 == 0:
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.SiLU()]
        before, after, remaining = after, min(2 * after, 8 * channels), remaining // 2
    if remaining > 1 or not layers:
        layers += [nn.Conv2d(before, after, remaining, stride=remaining), nn.SiLU()]
        before = after
    for layer in layers:
        if isinstance(layer, nn.Conv2d):  # as large after each layer as before: torch's own numbers would fade
            nn.init.normal_(layer.weight, std=SILU_GAIN / layer.weight[0].numel() ** 0.5)
            nn.init.zeros_(layer.bias)  # pyright: ignore
    return layers, before
