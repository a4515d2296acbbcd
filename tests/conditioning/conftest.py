"""Batches of conditions and small stacks for the tests of the conditioning modules."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from geodiff_sar.conditioning.injection import GATE_GAIN
from geodiff_sar.conditioning.options import BackboneSizes, ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Condition

MAPS = ("shadow", "height")
SIZES = ConditioningSizes(
    pooled_dim=64,
    latent_channels=4,
    feature_dim=6,
    embed_dim=32,
    backbone=BackboneSizes(width=24, head_width=8, attentions=("0.attn", "0.attn2", "1.attn"), stride=4),
    map_names=MAPS,
    patch=2,
)


@pytest.fixture
def make_condition() -> Callable[..., Condition]:
    """A batch in which everything is present; named fields can be replaced."""

    def build(batch: int = 3, points: int = 7, seed: int = 0, **fields: torch.Tensor) -> Condition:
        draw = torch.Generator().manual_seed(seed)
        present = torch.ones(batch, dtype=torch.bool)
        values: dict[str, Any] = {
            "context": torch.randn(batch, 5, 12, generator=draw),
            "pooled": torch.randn(batch, SIZES.pooled_dim, generator=draw),
            "features": torch.randn(batch, points, SIZES.feature_dim, generator=draw),
            "coordinates": 5 * torch.randn(batch, points, 3, generator=draw),
            "point_mask": torch.ones(batch, points, dtype=torch.bool),
            "has_geometry": present,
            "has_coordinates": present,
            "reference": torch.randn(batch, SIZES.latent_channels, 6, 4, generator=draw),
            "has_image": present,
            "azimuth_deg": 360 * torch.rand(batch, generator=draw),
            "has_azimuth": present,
            "depression_deg": 10 + 50 * torch.rand(batch, generator=draw),
            "has_depression": present,
            "maps": torch.rand(batch, len(MAPS), 8, 12, generator=draw),
            "has_maps": present,
        }
        return Condition(**{**values, **fields})

    return build


@pytest.fixture
def make_stack() -> Callable[..., ConditioningStack]:
    """A small stack in eval mode; a gate value above 0 makes it behave as after training."""

    def build(
        method: str = "hybrid_film_attn", gate: float = 0.5, inject: tuple[str, ...] = ("pooled",), **conditioning: Any
    ) -> ConditioningStack:
        torch.manual_seed(1)
        options = ConditioningOptions(**conditioning)
        stack = ConditioningStack(SIZES, options, FusionOptions(method=method), list(inject))  # type: ignore[arg-type]
        if stack.injection is not None and stack.injection.theta is not None:
            torch.nn.init.constant_(stack.injection.theta, gate / GATE_GAIN)
        for name, parameter in stack.named_parameters():  # what starts at zero elsewhere
            if gate and (name.endswith("to_v.weight") or name.startswith(("maps.projection", "maps.null"))):
                torch.nn.init.normal_(parameter, std=gate)
        return stack.eval()

    return build
