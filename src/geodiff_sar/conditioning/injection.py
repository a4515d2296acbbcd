"""How the fused vector enters the base model: through a gate that starts at zero."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.conditioning.environment import env_float

GATE_GAIN = 10.0
"""Optimizers of Adam's kind move a parameter by about the learning rate per step, too little for a gate that has to go from 0
towards 1 in some hundreds of steps; the parameter therefore holds a tenth of the gate."""


class PooledInjection(nn.Module):
    """``y = t + g (F - t)`` with one learned gate value per channel, ``g = 10 theta``, zero at first.

    While g is zero, y equals the pooled text exactly, so an untrained adapter equals the base model. With
    ``residual=False`` y is F, the published formula.

    Args:
        pooled_dim: width of the pooled text.
        residual: see above.
    """

    def __init__(self, pooled_dim: int, residual: bool = True):
        super().__init__()
        self.theta = nn.Parameter(torch.zeros(pooled_dim)) if residual else None

    @property
    def gate(self) -> Float[Tensor, " pooled"] | None:
        """The gate g, or None without one."""
        return None if self.theta is None else GATE_GAIN * self.theta

    def forward(
        self, text: Float[Tensor, "batch pooled"], fused: Float[Tensor, "batch pooled"], scale: float = 1.0
    ) -> Float[Tensor, "batch pooled"]:
        """Pooled projection for the backbone, ``t + s (y - t)``: the text alone at s = 0, y at s = 1."""
        gate = self.gate
        if gate is None:
            return fused if scale == 1.0 else text + scale * (fused - text)
        return text + scale * (gate * (fused - text))


def default_fusion_scale() -> float:
    """Strength s of the fusion at inference: FUSION_INJECTION_SCALE, or 1. Any finite number, as published."""
    return env_float("FUSION_INJECTION_SCALE", 1.0)
