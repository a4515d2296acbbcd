"""What the conditioning stack hands to the backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Conditioned:
    """The conditions of a batch in the three forms in which the backbone takes them.

    Attributes:
        pooled: pooled projection.
        tokens: geometry tokens for decoupled attention, or None.
        maps: what is added to the patch embedding, or None.
        scale: strength of the attention to the tokens; pooled and maps hold theirs already.
        forecast: what the maps foretell of the clean scaled latent, or None; for training, lost when batches are joined.
    """

    pooled: Float[Tensor, "batch pooled"]
    tokens: Float[Tensor, "batch query embed"] | None = None
    maps: Float[Tensor, "batch patch width"] | None = None
    scale: float = 1.0
    forecast: Float[Tensor, "batch channel tall wide"] | None = None

    @staticmethod
    def join(parts: Sequence["Conditioned"]) -> "Conditioned":
        """One batch of several, all made by one stack at one strength."""

        def joined(tensors: list[Tensor | None]) -> Tensor | None:
            found = [tensor for tensor in tensors if tensor is not None]
            return torch.cat(found) if found else None

        return Conditioned(
            torch.cat([part.pooled for part in parts]),
            joined([part.tokens for part in parts]),
            joined([part.maps for part in parts]),
            parts[0].scale,
        )
