"""Attention of the backbone's image tokens to the geometry tokens, decoupled from its own."""

import torch
from diffusers.models.normalization import AdaLayerNorm, RMSNorm
from jaxtyping import Float
from torch import Tensor, nn


class TokenAttention(nn.Module):
    """``softmax(q k^T / sqrt(w)) v`` with the backbone's query, and with keys and values of the geometry tokens.

    The form of SD3's IP-Adapter (diffusers' SD3IPAdapterJointAttnProcessor2_0: tokens normalised under the timestep, query
    and keys normalised over the head) but for two things. There the second attention also sees the image's own keys and
    values, so that even with a value projection of zero it adds an image attention, and no adapter of that form equals the
    base before training; here it sees the tokens alone. And the value projection starts at zero, so that it adds exactly
    nothing at first.

    Args:
        embed_dim: width of the tokens.
        width: of the backbone's image tokens.
        head_width: of one of its heads.
    """

    def __init__(self, embed_dim: int, width: int, head_width: int):
        super().__init__()
        self.norm = AdaLayerNorm(embed_dim, output_dim=2 * embed_dim, norm_eps=1e-6, chunk_dim=1)
        self.to_k = nn.Linear(embed_dim, width, bias=False)
        self.to_v = nn.Linear(embed_dim, width, bias=False)
        self.norm_q, self.norm_k = RMSNorm(head_width, 1e-6), RMSNorm(head_width, 1e-6)
        nn.init.zeros_(self.to_v.weight)

    def forward(
        self,
        query: Float[Tensor, "batch head token width"],
        tokens: Float[Tensor, "batch query embed"],
        time: Float[Tensor, "batch embed"],
    ) -> Float[Tensor, "batch token channel"]:
        """Addend to the attention's result before its output projection, in the number format of ``query``.

        Args:
            query: of the image tokens, not normalised.
            tokens: geometry tokens.
            time: embedding of the timestep.
        """
        seen = self.norm(tokens, temb=time)
        key, value = (
            projected.unflatten(-1, (query.shape[1], -1)).transpose(1, 2)
            for projected in (self.to_k(seen), self.to_v(seen))
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(
            self.norm_q(query.to(value.dtype)).to(value.dtype), self.norm_k(key).to(value.dtype), value
        )
        return mixed.transpose(1, 2).flatten(2).to(query.dtype)
