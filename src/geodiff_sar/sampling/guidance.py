"""Guidance: which conditions the backbone sees, and how its answers are joined."""

from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from geodiff_sar.core.config import Options


class GuidanceOptions(Options):
    """Strengths of the guidance."""

    guidance_scale: float = Field(default=7.5, ge=0, description="away from the negative prompt; 1: none")
    geometry_scale: float | None = Field(
        default=None, ge=0, description="guidance of geometry, reference and pose apart from the text; None: together"
    )
    skip_layers: list[int] = Field(default=[], description="blocks left out in skip-layer guidance; empty: none")
    skip_layer_scale: float = Field(default=2.8, ge=0, description="strength of skip-layer guidance")
    skip_layer_start: float = Field(default=0.01, ge=0, le=1, description="share of the steps where it begins")
    skip_layer_stop: float = Field(default=0.2, ge=0, le=1, description="share of the steps where it ends")

    @property
    def branches(self) -> tuple[str, ...]:
        """Conditions that have to be evaluated, of "negative", "text" and "full"."""
        if self.geometry_scale is not None:
            return ("negative", "text", "full")
        return ("full",) if self.guidance_scale == 1.0 else ("negative", "full")


Text = tuple[Float[Tensor, "batch token context"], Float[Tensor, "batch pooled"]]


def guided_velocity(
    transformer: Any,
    x: Float[Tensor, "batch channel height width"],
    sigma: float,
    progress: float,
    texts: dict[str, Text],
    options: GuidanceOptions,
) -> Float[Tensor, "batch channel height width"]:
    """Velocity under guidance, all branches in one forward pass.

    Without ``geometry_scale``: ``v_neg + s (v_full - v_neg)``. With it:
    ``v_neg + s (v_text - v_neg) + g (v_full - v_text)``, where "text" is the prompt with geometry, reference and pose
    absent. Skip-layer guidance adds ``k (v_full - v_skipped)`` while ``start < progress < stop``.

    Args:
        transformer: the backbone.
        x: noisy latents.
        sigma: their noise level.
        progress: share of the steps already done.
        texts: context tokens and pooled projection of each branch.
        options: see GuidanceOptions.
    """
    names = options.branches
    count = len(x)

    def evaluate(chosen: tuple[str, ...], skip: list[int] | None = None) -> tuple[Tensor, ...]:
        context = torch.cat([texts[name][0] for name in chosen])
        pooled = torch.cat([texts[name][1] for name in chosen])
        doubled = torch.cat([x] * len(chosen)).to(context.dtype)
        timestep = torch.full((count * len(chosen),), sigma * 1000.0, device=x.device)
        velocity = transformer(
            hidden_states=doubled,
            timestep=timestep,
            encoder_hidden_states=context,
            pooled_projections=pooled,
            skip_layers=skip,
            return_dict=False,
        )[0]
        return velocity.float().chunk(len(chosen))

    found = dict(zip(names, evaluate(names), strict=True))
    full = found["full"]
    if options.geometry_scale is not None:
        negative, text = found["negative"], found["text"]
        result = negative + options.guidance_scale * (text - negative) + options.geometry_scale * (full - text)
    elif "negative" in found:
        result = found["negative"] + options.guidance_scale * (full - found["negative"])
    else:
        result = full
    if options.skip_layers and options.skip_layer_start < progress < options.skip_layer_stop:
        (skipped,) = evaluate(("full",), options.skip_layers)
        result = result + options.skip_layer_scale * (full - skipped)
    return result
