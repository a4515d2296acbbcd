"""All conditioning modules as one: from a Condition to the pooled projection of the backbone."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS, FusionSizes
from geodiff_sar.conditioning.image import ReferenceEncoder
from geodiff_sar.conditioning.injection import PooledInjection
from geodiff_sar.conditioning.points import PointEncoder, PointEncoderOptions
from geodiff_sar.conditioning.pose import PoseEmbedding
from geodiff_sar.core.condition import Condition
from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import DataError


class ConditioningOptions(Options):
    """The conditioning modules of an adapter."""

    embed_dim: int | None = Field(
        None, ge=8, description="width of the modality embeddings; None: the base's, 768 for SD3.5"
    )
    residual: bool = Field(True, description="zero-initialised gate; false: the published formula without it")
    geometry_dropout: float = Field(0.1, ge=0, lt=1, description="share of chips trained without geometry")
    image_dropout: float = Field(0.1, ge=0, lt=1, description="share of chips trained without reference")
    pose_dropout: float = Field(0.1, ge=0, lt=1, description="share of chips trained without pose")
    points: PointEncoderOptions = PointEncoderOptions()  # pyright: ignore


class FusionOptions(Options):
    """Which of the fusion methods joins the modalities."""

    method: str = Field("hybrid_film_attn", description="see `geodiff-sar list fusion`")
    options: dict[str, Any] = Field({}, description="options of the method")


@dataclass(frozen=True)
class ConditioningSizes:
    """Widths that the base model and the data set.

    Attributes:
        pooled_dim: pooled text width of the base.
        latent_channels: channels of the base's latent.
        feature_dim: width D of the point features.
        embed_dim: width of the modality embeddings.
    """

    pooled_dim: int
    latent_channels: int
    feature_dim: int
    embed_dim: int


class ConditioningStack(nn.Module):
    """Point encoder, reference encoder, pose embedding, fusion and injection, with a null embedding per modality.

    Args:
        sizes: see ConditioningSizes.
        conditioning: options of the encoders.
        fusion: fusion method and its options.
    """

    def __init__(self, sizes: ConditioningSizes, conditioning: ConditioningOptions, fusion: FusionOptions):
        super().__init__()
        method = FUSIONS.get(fusion.method)
        options = parse_options(method.Options, fusion.options, f"fusion.options of '{fusion.method}'")
        self.sizes, self.options = sizes, conditioning
        self.fusion_options = FusionOptions(method=fusion.method, options=options.model_dump(mode="json"))
        self.points = PointEncoder(sizes.feature_dim, sizes.embed_dim, conditioning.points)
        self.image = ReferenceEncoder(sizes.latent_channels, sizes.embed_dim)
        self.pose = PoseEmbedding(sizes.embed_dim)
        self.null_geometry = nn.Parameter(torch.randn(sizes.embed_dim) * 0.02)
        self.null_image = nn.Parameter(torch.randn(sizes.embed_dim) * 0.02)
        widths = FusionSizes(sizes.pooled_dim, sizes.embed_dim, sizes.embed_dim)
        self.fusion = method(widths, options)  # type: ignore[call-arg]
        self.injection = PooledInjection(sizes.pooled_dim, conditioning.residual)

    def forward(self, condition: Condition, fusion_scale: float = 1.0) -> Float[Tensor, "batch pooled"]:
        """Pooled projection y for the backbone.

        Args:
            condition: a batch.
            fusion_scale: s in ``t + s (y - t)``.
        """
        if condition.features.shape[-1] != self.sizes.feature_dim:
            raise DataError(
                "point features",
                f"width {condition.features.shape[-1]}",
                f"width {self.sizes.feature_dim}, which the adapter was trained with",
                "extract features of this width",
            )
        there = condition.point_mask & condition.has_geometry[:, None]
        cloud, _ = self.points(condition.features, condition.coordinates, there, condition.has_coordinates)
        geometry = torch.where(condition.has_geometry[:, None], cloud, self.null_geometry)
        geometry = geometry + self.pose(
            condition.azimuth_deg, condition.has_azimuth, condition.depression_deg, condition.has_depression
        )
        seen = torch.where(condition.has_image[:, None, None, None], condition.reference, 0.0)
        image = torch.where(condition.has_image[:, None], self.image(seen), self.null_image)
        return self.injection(condition.pooled, self.fusion(condition.pooled, geometry, image), fusion_scale)

    def drop(self, condition: Condition, generator: torch.Generator | None = None) -> Condition:
        """Modality dropout for training: each modality of each chip is made absent with its own probability."""

        def keep(present: Tensor, rate: float) -> Tensor:
            drawn = torch.rand(len(present), generator=generator)
            return present & (drawn >= rate).to(present.device)

        options = self.options
        posed = keep(torch.ones_like(condition.has_azimuth), options.pose_dropout)
        return replace(
            condition,
            has_geometry=keep(condition.has_geometry, options.geometry_dropout),
            has_image=keep(condition.has_image, options.image_dropout),
            has_azimuth=condition.has_azimuth & posed,
            has_depression=condition.has_depression & posed,
        )

    def set_statistics(self, mean: Float[Tensor, " feature"], std: Float[Tensor, " feature"]) -> None:
        """Set the training set's feature statistics."""
        self.points.set_statistics(mean, std)

    def gate_summary(self) -> dict[str, float]:
        """Mean and largest magnitude of the gate; 1 when there is no gate."""
        gate = self.injection.gate
        if gate is None:
            return {"gate/mean": 1.0, "gate/max": 1.0}
        size = gate.detach().abs()
        return {"gate/mean": float(size.mean()), "gate/max": float(size.max())}

    def header(self) -> dict[str, Any]:
        """Everything needed to build this stack again, as JSON values."""
        return {
            "sizes": asdict(self.sizes),
            "conditioning": self.options.model_dump(mode="json"),
            "fusion": self.fusion_options.model_dump(mode="json"),
        }

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> "ConditioningStack":
        """The stack that ``header`` describes, with untrained weights."""
        source = "conditioning header"
        return cls(
            ConditioningSizes(**header["sizes"]),
            parse_options(ConditioningOptions, header["conditioning"], source),
            parse_options(FusionOptions, header["fusion"], source),
        )


def default_embed_dim(pooled_dim: int) -> int:
    """Width of the modality embeddings where the base names none: 768 at 2048, in proportion else, a multiple of 32."""
    return max(32, round(pooled_dim * 768 / 2048 / 32) * 32)
