"""Azimuth and depression as numbers."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

HARMONICS = 8


class PoseEmbedding(nn.Module):
    """``sin k phi, cos k phi`` for k = 1..8 of the azimuth phi and ``sin psi, cos psi`` of the depression psi, projected.

    Where one of the two is unknown, a learned vector that starts at zero stands for its sines and cosines.

    Args:
        embed_dim: width of the embedding.
    """

    def __init__(self, embed_dim: int):
        super().__init__()
        self.null_azimuth = nn.Parameter(torch.zeros(2 * HARMONICS))
        self.null_depression = nn.Parameter(torch.zeros(2))
        self.projection = nn.Linear(2 * HARMONICS + 2, embed_dim)

    def forward(
        self,
        azimuth_deg: Float[Tensor, " batch"],
        has_azimuth: Bool[Tensor, " batch"],
        depression_deg: Float[Tensor, " batch"],
        has_depression: Bool[Tensor, " batch"],
    ) -> Float[Tensor, "batch embed"]:
        """Embedding of each pose; angles in degrees, read only where the mask is True."""
        order = torch.arange(1, HARMONICS + 1, device=azimuth_deg.device, dtype=azimuth_deg.dtype)
        turn = torch.deg2rad(azimuth_deg)[:, None] * order
        azimuth = torch.where(has_azimuth[:, None], torch.cat([turn.sin(), turn.cos()], dim=1), self.null_azimuth)
        tilt = torch.deg2rad(depression_deg)[:, None]
        depression = torch.where(
            has_depression[:, None], torch.cat([tilt.sin(), tilt.cos()], dim=1), self.null_depression
        )
        return self.projection(torch.cat([azimuth, depression], dim=1))
