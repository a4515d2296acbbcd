"""Point clouds of any length to one vector, whatever the order of the points."""

import math
from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.types import GeometryPrior

INDEX_POSITIONS = 1000
"""Learned positions by index where nothing else is said, as published."""


class PointEncoderOptions(Options):
    """How a point cloud becomes a vector."""

    positions: Literal["coordinates", "index", "none"] = Field(
        default="coordinates",
        description="position of a point: its coordinates, its index in the file (as published), or none",
    )
    heads: int = Field(default=8, ge=1, description="attention heads")
    layers: int = Field(default=1, ge=1, le=12, description="self-attention layers")
    fourier_bands: int = Field(default=6, ge=1, le=16, description="octaves of the coordinate encoding")
    coordinate_scale_m: float = Field(
        default=10.0, gt=0, description="length that one unit of the encoding stands for, m"
    )
    max_points: int | None = Field(
        default=None, ge=1, description="largest cloud accepted; None: any, or 1000 with positions by index"
    )

    @property
    def limit(self) -> int | None:
        """Largest cloud accepted, None for any size."""
        return INDEX_POSITIONS if self.max_points is None and self.positions == "index" else self.max_points


class PointEncoder(nn.Module):
    """Standardised features and encoded coordinates, masked self-attention, masked mean.

    Permutation-invariant with positions "coordinates" and "none". With "index" it learns a vector per index, as the
    published code does on a set that has no order.

    Departures from the published encoder (one attention layer, 3,181,824 parameters at 64 and 768 with 1000 positions):
    features are standardised, coordinates are used, padding is masked, a cloud above the limit is refused (there it
    loses its positions without a word), each layer has a feed-forward part of width 2 E, and there may be several.

    Args:
        feature_dim: width D of the features.
        embed_dim: width of the result.
        options: see PointEncoderOptions.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, feature_dim: int, embed_dim: int, options: PointEncoderOptions):
        super().__init__()
        if embed_dim % options.heads:
            raise OptionError(
                "conditioning.points.heads",
                str(options.heads),
                f"a divisor of the embedding width {embed_dim}",
                "set conditioning.points.heads to such a divisor",
            )
        self.options = options
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_std", torch.ones(feature_dim))
        self.projection = nn.Linear(feature_dim, embed_dim)
        if options.positions == "coordinates":
            self.coordinates = nn.Linear(3 + 6 * options.fourier_bands, embed_dim, bias=False)
        elif options.positions == "index":
            self.index = nn.Parameter(torch.randn(options.limit or INDEX_POSITIONS, embed_dim) * 0.02)
        self.blocks = nn.ModuleList([_Block(embed_dim, options.heads) for _ in range(options.layers)])

    def set_statistics(self, mean: Float[Tensor, " feature"], std: Float[Tensor, " feature"]) -> None:
        """Set the training set's mean and standard deviation, with which features are standardised.

        Raises:
            DataError: another width than the features', a value that is not finite, or a deviation not above 0.
        """
        sound = mean.isfinite().all() and std.isfinite().all() and (std > 0).all()
        if mean.shape != self.feature_mean.shape or std.shape != self.feature_std.shape or not sound:
            raise DataError(
                "feature statistics",
                f"{len(mean)} means and {len(std)} deviations, {'finite and above 0' if sound else 'not all usable'}",
                f"{len(self.feature_mean)} finite means and as many finite deviations above 0",
                "give a channel that never varies the deviation 1",
            )
        self.feature_mean.copy_(mean)
        self.feature_std.copy_(std)

    def forward(
        self,
        features: Float[Tensor, "batch point feature"],
        coordinates: Float[Tensor, "batch point 3"],
        point_mask: Bool[Tensor, "batch point"],
        has_coordinates: Bool[Tensor, " batch"],
    ) -> tuple[Float[Tensor, "batch embed"], Float[Tensor, "batch point embed"]]:
        """Vector of each cloud and its point tokens.

        Where ``point_mask`` is False nothing is read and the token is zero; a row without any point gives zeros, which
        the caller replaces by its null embedding.

        Raises:
            DataError: positions come from coordinates and a cloud has none.
            OptionError: a cloud is larger than the limit.
        """
        self._check(point_mask, has_coordinates)
        some = point_mask.clone()
        some[:, 0] |= ~point_mask.any(dim=1)  # attention needs one key, even where the cloud is absent
        keep = point_mask[..., None]
        standard = torch.where(keep, (features - self.feature_mean) / self.feature_std, 0.0)
        tokens = self.projection(standard)
        if self.options.positions == "coordinates":
            tokens = tokens + self.coordinates(self._encode(torch.where(keep, coordinates, 0.0)))
        elif self.options.positions == "index":
            tokens = tokens + self.index[: features.shape[1]]
        for block in self.blocks:
            tokens = block(tokens, some)
        tokens = torch.where(keep, tokens, 0.0)
        return tokens.sum(dim=1) / point_mask.sum(dim=1, keepdim=True).clamp_min(1), tokens

    def check_prior(self, prior: GeometryPrior) -> None:
        """Make sure that this encoder can take a cloud; the message names its file.

        Raises:
            DataError: no coordinates where positions come from them, or more points than the limit.
        """
        name, limit = str(prior.provenance.get("file", "point features")), self.options.limit
        if self.options.positions == "coordinates" and prior.coordinates is None:
            raise DataError(
                name,
                "holds no coordinates (.npy files and bare tensors never do)",
                "this adapter takes the positions of the points from their coordinates",
                "give a file with coordinates",
            )
        if limit is not None and prior.num_points > limit:
            raise DataError(
                name,
                f"{prior.num_points} points",
                f"at most {limit} (conditioning.points.max_points of the training)",
                "thin the cloud",
            )

    def _check(self, point_mask: Tensor, has_coordinates: Tensor) -> None:
        limit = self.options.limit
        if limit is not None and point_mask.shape[1] > limit:
            raise OptionError(
                "conditioning.points.max_points",
                f"a cloud of {point_mask.shape[1]} points",
                f"at most {limit}",
                "raise max_points, or thin the cloud",
            )
        lacking = point_mask.any(dim=1) & ~has_coordinates
        if self.options.positions == "coordinates" and bool(lacking.any()):
            raise DataError(
                "point features",
                "a file without coordinates (.npy, or .pt with a bare tensor)",
                "positions are taken from coordinates",
                'give files with coordinates, or set conditioning.points.positions = "none" or "index"',
            )

    def _encode(self, coordinates: Tensor) -> Tensor:
        scaled = coordinates / self.options.coordinate_scale_m
        octaves = 2.0 ** torch.arange(self.options.fourier_bands, device=scaled.device, dtype=scaled.dtype)
        waves = (scaled[..., None] * (math.pi * octaves)).flatten(-2)
        return torch.cat([scaled, waves.sin(), waves.cos()], dim=-1)


class _Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.norm_feed = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        mixed, _ = self.attention(tokens, tokens, tokens, key_padding_mask=~mask, need_weights=False)
        tokens = self.norm(tokens + mixed)
        return self.norm_feed(tokens + self.feed(tokens))
