"""What an adapter's conditioning consists of: options, widths, and the header from which it is built again."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator, model_validator

from geodiff_sar.conditioning.points import PointEncoderOptions
from geodiff_sar.core.condition import Needs
from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError

Place = Literal["pooled", "tokens", "map"]
"""Where conditions enter the backbone: the pooled projection, decoupled attention, the patch embedding."""

Modality = Literal["geometry", "image", "pose"]


class TokenOptions(Options):
    """Injection through decoupled attention."""

    queries: int = Field(default=16, ge=1, le=256, description="tokens that the attention layers see")
    layers: int = Field(default=1, ge=1, le=8, description="layers that gather them from the points")
    heads: int = Field(default=8, ge=1, description="heads of these layers")


class MapOptions(Options):
    """Injection through the patch embedding."""

    channels: int = Field(default=32, ge=4, le=256, description="after the first convolution; each further one doubles")
    encoder: Literal["patch", "forecast"] = Field(
        default="forecast",
        description="one vector per image token, or a forecast of the latent, trained to be one, and what lies behind it",
    )
    blocks: int = Field(default=2, ge=0, le=16, description="residual blocks of the forecast")
    forecast_weight: float = Field(
        default=1.0, ge=0, le=100, description="weight of the forecast's squared error beside the loss"
    )


class ConditioningOptions(Options):
    """The conditioning modules of an adapter."""

    modalities: list[Modality] = Field(
        default=["geometry", "image", "pose"],
        min_length=1,
        description="what the adapter sees; one left out is absent in training and generation alike",
    )
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
    geometry_dropout: float = Field(
        default=0.1, ge=0, lt=1, description="share of chips trained without geometry (cloud and maps together)"
    )
    image_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of chips trained without reference")
    pose_dropout: float = Field(default=0.1, ge=0, lt=1, description="share of chips trained without pose")
    points: PointEncoderOptions = PointEncoderOptions()
    tokens: TokenOptions = TokenOptions()
    maps: MapOptions = MapOptions()


class FusionOptions(Options):
    """Which of the fusion methods joins the modalities."""

    method: str = Field(default="hybrid_film_attn", description="see `geodiff-sar list fusion`")
    options: dict[str, Any] = Field(default={}, description="options of the method")


@dataclass(frozen=True)
class BackboneSizes:
    """What the injections beyond the pooled vector have to fit.

    Attributes:
        width: of the transformer's image tokens.
        head_width: of one attention head.
        attentions: names of its attentions, ``<block>.attn`` and ``<block>.attn2``, in order.
        stride: picture pixels per image token, VAE reduction times patch.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    width: Annotated[int, Field(ge=1)]
    head_width: Annotated[int, Field(ge=1)]
    attentions: tuple[str, ...]
    stride: Annotated[int, Field(ge=1)]


@dataclass(frozen=True)
class ConditioningSizes:
    """Widths given by the base model and the data set.

    Attributes:
        pooled_dim: pooled text width of the base.
        latent_channels: channels of the base's latent.
        feature_dim: width D of the point features.
        embed_dim: width of the modality embeddings.
        backbone: of the base; None where only the pooled vector is injected.
        map_names: what the prior maps hold, in order; empty where none are injected.
        patch: latent pixels per image token, along one side; None in adapters from before there were forecasts.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    pooled_dim: Annotated[int, Field(ge=1)]
    latent_channels: Annotated[int, Field(ge=1)]
    feature_dim: Annotated[int, Field(ge=1)]
    embed_dim: Annotated[int, Field(ge=1)]
    backbone: BackboneSizes | None = None
    map_names: tuple[str, ...] = ()
    patch: Annotated[int, Field(ge=1)] | None = None


class StackHeader(Options):
    """What ``ConditioningStack.header`` writes; the defaults are those of adapters from before there was a choice."""

    sizes: ConditioningSizes
    inject: list[Place] = Field(default=["pooled"], min_length=1)
    conditioning: ConditioningOptions
    fusion: FusionOptions | None = None

    @field_validator("conditioning", mode="before")
    @classmethod
    def _before_forecasts(cls, value: Any) -> Any:
        maps = value.get("maps") if isinstance(value, dict) else None
        if isinstance(maps, dict) and "encoder" not in maps:
            return {**value, "maps": {**maps, "encoder": "patch"}}
        return value

    @model_validator(mode="after")
    def _fused(self) -> "StackHeader":
        if ("pooled" in self.inject) != (self.fusion is not None):
            raise ValueError(
                f"fusion = {self.fusion} with inject = {self.inject}: the pooled vector alone has a fusion"
            )
        return self


def needs_of(inject: list[Place], modalities: list[Modality]) -> Needs:
    """What an adapter with these injections and modalities takes: maps carry geometry alone, vectors and tokens all three."""
    vectors = "pooled" in inject or "tokens" in inject
    return Needs(
        clouds=vectors and "geometry" in modalities,
        maps="map" in inject and "geometry" in modalities,
        image=vectors and "image" in modalities,
        pose=vectors and "pose" in modalities,
    )


def check_places(inject: list[Place], options: ConditioningOptions, sizes: ConditioningSizes) -> None:
    """Make sure that a stack can be built.

    Raises:
        OptionError: no place, maps without geometry, or a place or an encoder whose sizes are not given.
    """
    if not inject:
        raise OptionError("inject", "[]", "a conditioning stack has a place to enter", "build none")
    if "map" in inject and "geometry" not in options.modalities:
        raise OptionError(
            "inject",
            f'"map" with conditioning.modalities = {options.modalities}',
            "maps carry geometry",
            'add "geometry" to conditioning.modalities, or take "map" out of inject',
        )
    lacking = [place for place in inject if place != "pooled" and sizes.backbone is None]
    if lacking or ("map" in inject and not sizes.map_names):
        raise OptionError(
            "sizes",
            f"nothing about the {'transformer' if lacking else 'maps'}, with inject = {inject}",
            "tokens and maps are built for a transformer, maps by their names",
            "give ConditioningSizes.backbone and map_names",
        )
    if "map" in inject and options.maps.encoder == "forecast" and sizes.patch is None:
        raise OptionError(
            "sizes",
            'nothing about the latent\'s patches, with conditioning.maps.encoder = "forecast"',
            "a forecast lies on the latent's grid",
            "give ConditioningSizes.patch",
        )


def default_embed_dim(pooled_dim: int) -> int:
    """Width of the modality embeddings where the base names none: 768 at 2048, in proportion else, a multiple of 32."""
    return max(32, round(pooled_dim * 768 / 2048 / 32) * 32)
