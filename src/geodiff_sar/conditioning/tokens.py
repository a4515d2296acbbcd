"""Points, pose and reference as a few tokens that every attention of the backbone can look at."""

from dataclasses import dataclass

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from jaxtyping import Bool, Float
from torch import Tensor, nn

from geodiff_sar.conditioning.options import BackboneSizes, TokenOptions
from geodiff_sar.conditioning.token_attention import TokenAttention
from geodiff_sar.core.errors import OptionError

TIME_WAVES = 256


@dataclass(frozen=True)
class TokenContext:
    """What the attentions of one forward pass of the backbone get.

    Attributes:
        attentions: one TokenAttention per attention of the backbone, by name.
        tokens: geometry tokens.
        time: embedding of the timestep.
        scale: strength.
    """

    attentions: nn.ModuleDict
    tokens: Float[Tensor, "batch query embed"]
    time: Float[Tensor, "batch embed"]
    scale: float

    def attend(self, name: str, query: Float[Tensor, "batch head token width"]) -> Float[Tensor, "batch token channel"]:
        """What attention ``name`` adds to its result."""
        return self.scale * self.attentions[_key(name)](query, self.tokens, self.time)


class TokenInjection(nn.Module):
    """K learned queries gather the points by masked cross-attention; one small attention per attention of the backbone.

    Beside the points the queries see one token each for the whole cloud (or its null), for the reference (or its null) and
    for the pose, so absence is something they see too. Diffusers' resampler for SD3 takes no mask, hence ours; the gathering
    does not depend on the noise level (it is done once per chip), which enters in TokenAttention.

    Args:
        embed_dim: width of the embeddings.
        singles: how many single tokens there are beside the points.
        sizes: of the backbone.
        options: see TokenOptions.
    """

    def __init__(self, embed_dim: int, singles: int, sizes: BackboneSizes, options: TokenOptions):
        super().__init__()
        if embed_dim % options.heads:
            raise OptionError(
                "conditioning.tokens.heads",
                str(options.heads),
                f"a divisor of the embedding width {embed_dim}",
                "set conditioning.tokens.heads to such a divisor",
            )
        self.queries = nn.Parameter(torch.randn(options.queries, embed_dim) / embed_dim**0.5)
        self.kinds = nn.Parameter(torch.randn(singles, embed_dim) * 0.02)
        self.layers = nn.ModuleList([_Gather(embed_dim, options.heads) for _ in range(options.layers)])
        self.norm = nn.LayerNorm(embed_dim)
        self.waves = Timesteps(TIME_WAVES, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(TIME_WAVES, embed_dim)
        self.attentions = nn.ModuleDict(
            {_key(name): TokenAttention(embed_dim, sizes.width, sizes.head_width) for name in sizes.attentions}
        )

    def forward(
        self,
        points: Float[Tensor, "batch point embed"],
        mask: Bool[Tensor, "batch point"],
        singles: Float[Tensor, "batch single embed"],
    ) -> Float[Tensor, "batch query embed"]:
        """Tokens of each chip, whatever the order of its points; where ``mask`` is False nothing is read."""
        seen = torch.cat([singles + self.kinds, points], dim=1)
        there = torch.cat([mask.new_ones(singles.shape[:2]), mask], dim=1)
        tokens = self.queries.expand(len(points), -1, -1)
        for layer in self.layers:
            tokens = layer(tokens, seen, there)
        return self.norm(tokens)

    def at(
        self, tokens: Float[Tensor, "batch query embed"], timestep: Float[Tensor, " batch"], scale: float
    ) -> TokenContext:
        """Tokens for one forward pass at ``timestep`` (0..1000)."""
        return TokenContext(self.attentions, tokens, self.time(self.waves(timestep).to(tokens.dtype)), scale)


class _Gather(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm_queries, self.norm_seen = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm_feed = nn.LayerNorm(width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, queries: Tensor, seen: Tensor, mask: Tensor) -> Tensor:
        keys = self.norm_seen(seen)
        mixed, _ = self.attention(self.norm_queries(queries), keys, keys, key_padding_mask=~mask, need_weights=False)
        queries = queries + mixed
        return queries + self.feed(self.norm_feed(queries))


def _key(name: str) -> str:
    return name.replace(".", "_")  # module names hold no dots
