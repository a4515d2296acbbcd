"""All conditioning modules as one: from a Condition to what the backbone takes."""

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.conditioning.fusion import FUSIONS, FusionSizes
from geodiff_sar.conditioning.image import ReferenceEncoder
from geodiff_sar.conditioning.injection import PooledInjection
from geodiff_sar.conditioning.map_forecast import MapForecast
from geodiff_sar.conditioning.maps import MapEncoder
from geodiff_sar.conditioning.options import (
    BackboneSizes,
    ConditioningOptions,
    ConditioningSizes,
    FusionOptions,
    MapOptions,
    Place,
    StackHeader,
    check_places,
    needs_of,
)
from geodiff_sar.conditioning.points import PointEncoder
from geodiff_sar.conditioning.pose import PoseEmbedding
from geodiff_sar.conditioning.tokens import TokenInjection
from geodiff_sar.core.condition import Condition
from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.types import GeometryPrior


class ConditioningStack(nn.Module):
    """Encoders of the modalities with a null embedding each, and one module per place where they enter the backbone.

    Built are only those that the places and modalities need; what is not built is None.

    Args:
        sizes: see ConditioningSizes.
        conditioning: options of the encoders and injections.
        fusion: fusion method and its options; None: the default one. Without effect unless "pooled" is injected.
        inject: places, at least one.

    Raises:
        OptionError: options that do not fit together or the sizes.
    """

    def __init__(
        self,
        sizes: ConditioningSizes,
        conditioning: ConditioningOptions,
        fusion: FusionOptions | None = None,
        inject: list[Place] | None = None,
    ):
        super().__init__()
        self.inject: list[Place] = ["pooled"] if inject is None else inject
        self.sizes, self.options = sizes, conditioning
        self.needs = needs = needs_of(self.inject, conditioning.modalities)
        check_places(self.inject, conditioning, sizes)
        embed = sizes.embed_dim
        self.fusion_options: FusionOptions | None = None
        self.points = PointEncoder(sizes.feature_dim, embed, conditioning.points) if needs.clouds else None
        self.image = ReferenceEncoder(sizes.latent_channels, embed) if needs.image else None
        self.pose = PoseEmbedding(embed) if needs.pose else None
        self.null_geometry = self.null_image = self.fusion = self.injection = self.tokens = self.maps = None
        if "pooled" in self.inject or "tokens" in self.inject:
            self.null_geometry = nn.Parameter(torch.randn(embed) * 0.02)
            self.null_image = nn.Parameter(torch.randn(embed) * 0.02)
        if "pooled" in self.inject:
            fusion = fusion or FusionOptions()
            method = FUSIONS.get(fusion.method)
            options = parse_options(method.Options, fusion.options, f"fusion.options of '{fusion.method}'")
            self.fusion_options = FusionOptions(method=fusion.method, options=options.model_dump(mode="json"))
            self.fusion = method(FusionSizes(sizes.pooled_dim, embed, embed), options)
            self.injection = PooledInjection(sizes.pooled_dim, conditioning.residual)
        if "tokens" in self.inject:
            assert sizes.backbone is not None
            self.tokens = TokenInjection(embed, 2 + needs.pose, sizes.backbone, conditioning.tokens)
        if "map" in self.inject:
            assert sizes.backbone is not None
            self.maps = _map_encoder(sizes, sizes.backbone, conditioning.maps)

    def forward(self, condition: Condition, scale: float = 1.0) -> Conditioned:
        """What the backbone takes.

        Args:
            condition: a batch. Values where a mask is False are never used.
            scale: strength s of all injections: ``t + s (y - t)`` of the pooled vector, s times what tokens and maps add.

        Raises:
            DataError: a width that the stack was not built for, or a cloud marked present without a point; also see
                PointEncoder.
        """
        self._check(condition)
        pooled, tokens, maps, forecast = condition.pooled, None, None, None
        if self.null_geometry is not None and self.null_image is not None:
            there = condition.point_mask & condition.has_geometry[:, None]
            geometry = self.null_geometry.expand(len(pooled), -1)
            points = geometry[:, None, :].new_zeros(len(pooled), there.shape[1], geometry.shape[1])
            if self.points is not None:
                cloud, points = self.points(condition.features, condition.coordinates, there, condition.has_coordinates)
                geometry = torch.where(condition.has_geometry[:, None], cloud, self.null_geometry)
            image = self._image(condition, self.null_image)
            pose = self._pose(condition)
            if self.fusion is not None and self.injection is not None:
                placed = geometry if pose is None else geometry + pose
                pooled = self.injection(pooled, self.fusion(pooled, placed, image), scale)
            if self.tokens is not None:
                mask = there if self.points is not None else torch.zeros_like(there)
                singles = [geometry, image, *([] if pose is None else [pose])]
                tokens = self.tokens(points, mask, torch.stack(singles, dim=1))
        if self.maps is not None:
            added, forecast = self.maps(condition.maps, condition.has_maps)
            maps = scale * added
        return Conditioned(pooled, tokens, maps, scale, forecast)

    def _image(self, condition: Condition, null: Tensor) -> Tensor:
        if self.image is None:
            return null.expand(condition.batch_size, -1)
        seen = torch.where(condition.has_image[:, None, None, None], condition.reference, 0.0)
        return torch.where(condition.has_image[:, None], self.image(seen), null)

    def _pose(self, condition: Condition) -> Tensor | None:
        if self.pose is None:
            return None
        return self.pose(
            condition.azimuth_deg, condition.has_azimuth, condition.depression_deg, condition.has_depression
        )

    def _check(self, condition: Condition) -> None:
        widths = {"pooled text": (condition.pooled.shape[-1], self.sizes.pooled_dim)}
        if self.points is not None:
            widths["point features"] = (condition.features.shape[-1], self.sizes.feature_dim)
        if self.image is not None:
            widths["reference latent channels"] = (condition.reference.shape[1], self.sizes.latent_channels)
        if self.maps is not None:
            widths["prior maps"] = (condition.maps.shape[1], len(self.sizes.map_names))
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

        def kept(rate: float) -> Tensor:
            drawn = torch.rand(condition.batch_size, generator=generator)
            return ((drawn >= rate) & together).to(condition.has_geometry.device)

        posed = kept(options.pose_dropout)
        shaped = kept(options.geometry_dropout)
        return replace(
            condition,
            has_geometry=condition.has_geometry & shaped,
            has_maps=condition.has_maps & shaped,
            has_image=condition.has_image & kept(options.image_dropout),
            has_azimuth=condition.has_azimuth & posed,
            has_depression=condition.has_depression & posed,
        )

    def set_statistics(self, mean: Float[Tensor, " feature"], std: Float[Tensor, " feature"]) -> None:
        """Set the training set's feature statistics, where clouds are taken."""
        if self.points is not None:
            self.points.set_statistics(mean, std)

    def check_prior(self, prior: GeometryPrior, map_names: tuple[str, ...] | None) -> None:
        """Make sure that this stack can take a prior, before anything is computed.

        Args:
            prior: what is given.
            map_names: what its maps hold, or None where it has none (which the caller may allow).

        Raises:
            DataError: see PointEncoder.check_prior; other maps than those of the training.
        """
        if self.points is not None:
            self.points.check_prior(prior)
        if self.maps is not None and map_names is not None and map_names != self.sizes.map_names:
            raise DataError(
                str(prior.provenance.get("file", "prior")),
                f"holds the maps {', '.join(map_names)}",
                f"the maps that the adapter was trained with: {', '.join(self.sizes.map_names)}",
                "make the prior again with the version of geodiff-sar that made those of the training",
            )

    def summary(self) -> dict[str, float]:
        """How far each injection has opened, for the log: mean and largest magnitude of the gate (1 without one), root mean
        square of what starts at zero in tokens and maps."""
        result = {}
        if self.injection is not None:
            gate = self.injection.gate
            size = torch.ones(1) if gate is None else gate.detach().abs()
            result |= {"gate/mean": float(size.mean()), "gate/max": float(size.max())}
        if self.tokens is not None:
            values = [getattr(attention, "to_v").weight for attention in self.tokens.attentions.values()]  # noqa: B009
            result["tokens/value"] = float(torch.stack([w.detach().square().mean() for w in values]).mean().sqrt())
        if self.maps is not None:
            result["maps/projection"] = float(self.maps.projection.weight.detach().square().mean().sqrt())
        return result

    def header(self) -> dict[str, Any]:
        """Everything needed to build this stack again, as JSON values."""
        header = StackHeader(
            sizes=self.sizes, inject=self.inject, conditioning=self.options, fusion=self.fusion_options
        )
        return header.model_dump(mode="json")

    @classmethod
    def from_header(cls, header: dict[str, Any], source: str = "conditioning header") -> "ConditioningStack":
        """The stack that ``header`` describes, with untrained weights; a malformed header is an OptionError that names
        ``source``."""
        parsed = parse_options(StackHeader, header, source)
        try:
            return cls(parsed.sizes, parsed.conditioning, parsed.fusion, parsed.inject)
        except OptionError as error:
            raise OptionError(
                source, f"{error.subject}: {error.found}", error.rule, "copy the record of the training run again"
            ) from error


def _map_encoder(sizes: ConditioningSizes, backbone: BackboneSizes, options: MapOptions) -> MapEncoder | MapForecast:
    maps = len(sizes.map_names)
    if options.encoder == "patch":
        return MapEncoder(maps, options.channels, backbone.stride, backbone.width)
    assert sizes.patch is not None
    return MapForecast(
        maps, options.channels, options.blocks, sizes.latent_channels, sizes.patch, backbone.stride, backbone.width
    )
