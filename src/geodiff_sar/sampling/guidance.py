"""Guidance: which conditions the backbone sees, and how its answers are joined."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.core.config import Options
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.base_parts import BaseSettings


class GuidanceOptions(Options):
    """Strengths of the guidance."""

    guidance_scale: float = Field(default=7.5, ge=0, description="away from the negative prompt; 1: none")
    geometry_scale: float | None = Field(
        default=None, ge=0, description="guidance of geometry, reference and pose apart from the text; None: together"
    )
    guidance_start: float = Field(default=0.0, ge=0, lt=1, description="share of the steps where guidance begins")
    guidance_stop: float = Field(default=1.0, gt=0, le=1, description="share of the steps where guidance ends")
    keep_level: bool = Field(
        default=False, description="guidance changes what is drawn, not the mean of a latent channel"
    )
    skip_layers: list[int] = Field(default=[], description="blocks left out in skip-layer guidance; empty: none")
    skip_layer_scale: float = Field(default=2.8, ge=0, description="strength of skip-layer guidance")
    skip_layer_start: float = Field(default=0.01, ge=0, le=1, description="share of the steps where it begins")
    skip_layer_stop: float = Field(default=0.2, ge=0, le=1, description="share of the steps where it ends")

    @model_validator(mode="after")
    def _ordered(self) -> "GuidanceOptions":
        if self.guidance_start >= self.guidance_stop:
            raise ValueError(f"guidance_start {self.guidance_start} is not below guidance_stop {self.guidance_stop}")
        return self

    @classmethod
    def suited(
        cls, base: BaseSettings, scale: float | None = None, keep_level: bool | None = None, **others: Any
    ) -> "GuidanceOptions":
        """Options with what suits a base where nothing is said (None); ``others`` are taken as they are."""
        return cls(
            guidance_scale=base.guidance_scale if scale is None else scale,
            keep_level=base.keep_level if keep_level is None else keep_level,
            **others,
        )

    @property
    def branches(self) -> tuple[str, ...]:
        """Conditions that have to be evaluated, of "negative", "text" and "full"."""
        if self.geometry_scale is not None:
            return ("negative", "text", "full")
        return ("full",) if self.guidance_scale == 1.0 else ("negative", "full")

    def branches_at(self, progress: float) -> tuple[str, ...]:
        """Conditions that have to be evaluated at a share of the steps; outside the guidance interval "full" alone."""
        return self.branches if self.guidance_start <= progress < self.guidance_stop else ("full",)


@dataclass(frozen=True)
class Branch:
    """What the backbone sees in one branch.

    Attributes:
        context: text tokens.
        conditioned: everything else.
    """

    context: Float[Tensor, "batch token context"]
    conditioned: Conditioned

    @staticmethod
    def join(parts: "list[Branch]") -> "Branch":
        """One batch of several."""
        return Branch(
            torch.cat([part.context for part in parts]), Conditioned.join([part.conditioned for part in parts])
        )


def guided_velocity(
    backbone: Backbone,
    x: Float[Tensor, "batch channel height width"],
    sigma: float,
    progress: float,
    branches: dict[str, Branch],
    options: GuidanceOptions,
) -> Float[Tensor, "batch channel height width"]:
    """Velocity under guidance, all branches in one forward pass.

    Without ``geometry_scale``: ``v_neg + s (v_full - v_neg)``. With it:
    ``v_neg + s (v_text - v_neg) + g (v_full - v_text)``, where "text" is the prompt with geometry, reference and pose
    absent. Outside ``guidance_start <= progress < guidance_stop`` it is v_full, and nothing else is evaluated (Kynkaanniemi
    et al. 2024).

    With ``keep_level`` guidance moves no channel's mean over the chip away from v_full's. That mean is nearly all clutter,
    and "negative" and "text" are what an adapter has seen least in its training: clutter that is too bright there would
    make the chip's too dark, ``s - 1`` times as much (measured in docs/study.md).

    Skip-layer guidance adds ``k (v_full - v_skipped)`` while ``start < progress < stop`` of its own.

    Args:
        backbone: transformer and conditioning stack.
        x: noisy latents.
        sigma: their noise level.
        progress: share of the steps already done.
        branches: what each branch sees.
        options: see GuidanceOptions.
    """
    names = options.branches_at(progress)

    def evaluate(chosen: tuple[str, ...], skip: list[int] | None = None) -> tuple[Tensor, ...]:
        branch = Branch.join([branches[name] for name in chosen])
        timestep = torch.full((len(x) * len(chosen),), sigma * 1000.0, device=x.device)
        velocity = backbone(torch.cat([x] * len(chosen)), timestep, branch.context, branch.conditioned, skip)
        return velocity.float().chunk(len(chosen))

    found = dict(zip(names, evaluate(names), strict=True))
    full = result = found["full"]
    if "text" in found and options.geometry_scale is not None:
        negative, text = found["negative"], found["text"]
        result = negative + options.guidance_scale * (text - negative) + options.geometry_scale * (full - text)
    elif "negative" in found:
        result = found["negative"] + options.guidance_scale * (full - found["negative"])
    if options.keep_level and len(found) > 1:
        result = result - (result - full).mean(dim=(2, 3), keepdim=True)
    if options.skip_layers and options.skip_layer_start < progress < options.skip_layer_stop:
        (skipped,) = evaluate(("full",), options.skip_layers)
        result = result + options.skip_layer_scale * (full - skipped)
    return result
