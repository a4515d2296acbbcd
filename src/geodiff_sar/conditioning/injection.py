"""How the fused vector enters the base model: through a gate that starts at zero."""

import os

import torch
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.core.errors import OptionError


class PooledInjection(nn.Module):
    """``y = t + g (F - t)`` with one learned gate value per channel, zero at first.

    While g is zero, y is bit for bit the pooled text, so an untrained adapter equals the base model. With
    ``residual=False`` y is F, the published formula.

    Args:
        pooled_dim: width of the pooled text.
        residual: see above.
    """

    def __init__(self, pooled_dim: int, residual: bool = True):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(pooled_dim)) if residual else None

    def forward(
        self, text: Float[Tensor, "batch pooled"], fused: Float[Tensor, "batch pooled"], scale: float = 1.0
    ) -> Float[Tensor, "batch pooled"]:
        """Pooled projection for the backbone: ``t + s (y - t)``; scale s = 0 is the text alone."""
        gate = fused.new_ones(()) if self.gate is None else self.gate
        if self.gate is None and scale == 1.0:
            return fused
        return text + scale * (gate * (fused - text))


def default_fusion_scale() -> float:
    """Strength of the fusion at inference: FUSION_INJECTION_SCALE, or 1."""
    return env_float("FUSION_INJECTION_SCALE", 1.0)


def env_float(name: str, default: float) -> float:
    """A finite number from an environment variable, or the default; anything else is an OptionError."""
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if value != value or value in (float("inf"), float("-inf")):
        raise OptionError(
            f"environment variable {name}", repr(text), "a finite number", f"set {name}={default} or unset it"
        )
    return value
