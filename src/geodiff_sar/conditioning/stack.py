"""All conditioning modules as one: from a Condition to the pooled projection of the backbone."""

from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import torch
from jaxtyping import Bool, Float
from pydantic import ConfigDict, Field
from torch import Tensor, nn

from geodiff_sar.conditioning.fusion import FUSIONS, FusionSizes
from geodiff_sar.conditioning.image import ReferenceEncoder
from geodiff_sar.conditioning.injection import PooledInjection
from geodiff_sar.conditioning.points import PointEncoder, PointEncoderOptions
from geodiff_sar.conditioning.pose import PoseEmbedding
from geodiff_sar.core.condition import Condition
from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import DataError, OptionError


class ConditioningOptions(Options):
    """The conditioning modules of an adapter."""

    embed_dim: int | None = Field(
        default=None, ge=8, description="width of the modality embeddings; None: the base's, 768 for SD3.5"
    )
    residual: bool = Field(default=True, description="zero-initialised gate; false: the published formula without it")
    joint_dropout: float = Field(
        default=0.1,
        ge=0,
        lt=1,
        description="share of chips trained with all three absent, as guidance sees them; of those without caption, half",
    )
    geometry_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of chips trained without geometry")
    image_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of chips trained without reference")
    pose_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of chips trained without pose")
    points: PointEncoderOptions = PointEncoderOptions()


class FusionOptions(Options):
    """Which of the fusion methods joins the modalities."""

    method: str = Field(default="hybrid_film_attn", description="see `geodiff-sar list fusion`")
    options: dict[str, Any] = Field(default={}, description="options of the method")


@dataclass(frozen=True)
class ConditioningSizes:
    """Widths given by the base model and the data set.

    Attributes:
        pooled_dim: pooled text width of the base.
        latent_channels: channels of the base's latent.
        feature_dim: width D of the point features.
        embed_dim: width of the modality embeddings.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pooled_dim: Annotated[int, Field(ge=1)]
    latent_channels: Annotated[int, Field(ge=1)]
    feature_dim: Annotated[int, Field(ge=1)]
    embed_dim: Annotated[int, Field(ge=1)]


class StackHeader(Options):
    """What ``ConditioningStack.header`` writes."""

    sizes: ConditioningSizes
    conditioning: ConditioningOptions
    fusion: FusionOptions


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
        self.fusion = method(widths, options)
        self.injection = PooledInjection(sizes.pooled_dim, conditioning.residual)

    def forward(self, condition: Condition, fusion_scale: float = 1.0) -> Float[Tensor, "batch pooled"]:
        """Pooled projection y for the backbone.

        Args:
            condition: a batch. Values where a mask is False are never used.
            fusion_scale: s in ``t + s (y - t)``.

        Raises:
            DataError: a width that the stack was not built for, or a cloud marked present without a point; also see
                PointEncoder.
        """
        self._check(condition)
        there = condition.point_mask & condition.has_geometry[:, None]
        cloud, _ = self.points(condition.features, condition.coordinates, there, condition.has_coordinates)
        geometry = torch.where(condition.has_geometry[:, None], cloud, self.null_geometry)
        geometry = geometry + self.pose(
            condition.azimuth_deg, condition.has_azimuth, condition.depression_deg, condition.has_depression
        )
        seen = torch.where(condition.has_image[:, None, None, None], condition.reference, 0.0)
        image = torch.where(condition.has_image[:, None], self.image(seen), self.null_image)
        return self.injection(condition.pooled, self.fusion(condition.pooled, geometry, image), fusion_scale)

    def _check(self, condition: Condition) -> None:
        widths = {
            "point features": (condition.features.shape[-1], self.sizes.feature_dim),
            "pooled text": (condition.pooled.shape[-1], self.sizes.pooled_dim),
            "reference latent channels": (condition.reference.shape[1], self.sizes.latent_channels),
        }
        for name, (found, wanted) in widths.items():
            if found != wanted:
                raise DataError(
                    name,
                    f"width {found}",
                    f"width {wanted}, which the adapter was built for",
                    "give data of this width",
                )
        if bool((condition.has_geometry & ~condition.point_mask.any(dim=1)).any()):
            raise DataError(
                "point cloud", "no point", "a cloud that is present has at least one point", "mark geometry as absent"
            )

    def drop(
        self,
        condition: Condition,
        without_text: Bool[Tensor, " batch"] | None = None,
        generator: torch.Generator | None = None,
    ) -> Condition:
        """Modality dropout for training: each modality of each chip is made absent with its own probability.

        With probability ``joint_dropout`` all of them are absent, which is what the text branch of the guidance evaluates;
        where the caption was dropped, with probability 1/2: half of these chips train the negative branch, and in the other
        half geometry, reference and pose have to do without words. Azimuth and depression are dropped together. The draws
        come from the CPU generator given, else from torch's.
        """
        options = self.options
        rate = torch.full((condition.batch_size,), options.joint_dropout)
        if without_text is not None:
            rate[without_text.cpu()] = max(options.joint_dropout, 0.5)
        together = torch.rand(condition.batch_size, generator=generator) >= rate

        def keep(present: Tensor, rate: float) -> Tensor:
            drawn = torch.rand(len(present), generator=generator)
            return present & ((drawn >= rate) & together).to(present.device)

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
    def from_header(cls, header: dict[str, Any], source: str = "conditioning header") -> "ConditioningStack":
        """The stack that ``header`` describes, with untrained weights; a malformed header is an OptionError that names
        ``source``."""
        parsed = parse_options(StackHeader, header, source)
        try:
            return cls(parsed.sizes, parsed.conditioning, parsed.fusion)
        except OptionError as error:
            raise OptionError(
                source, f"{error.subject}: {error.found}", error.rule, "copy the record of the training run again"
            ) from error


def default_embed_dim(pooled_dim: int) -> int:
    """Width of the modality embeddings where the base names none: 768 at 2048, in proportion else, a multiple of 32."""
    return max(32, round(pooled_dim * 768 / 2048 / 32) * 32)
