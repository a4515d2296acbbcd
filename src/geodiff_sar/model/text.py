"""The three text encoders of Stable Diffusion 3: captions to context tokens and a pooled vector."""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, PreTrainedTokenizerBase, T5EncoderModel

from geodiff_sar.core.console import warn


class TextEncoders(nn.Module):
    """CLIP-L, CLIP-G and T5 as SD3.5 joins them.

    The penultimate hidden states of the two CLIPs, side by side in channels and zero-padded to the context width, come
    first; the T5 tokens follow. The pooled vector is CLIP-L's projection beside CLIP-G's.

    Args:
        clip_l, clip_g, t5: the encoders; T5 may be None.
        tokenizers: their tokenizers in the same order.
        t5_length: number of T5 tokens; without T5 they are zero, as SD3 was trained to bear.
        model_hash: content hash of the weights, part of every cache key.
        context_width: channels of the context; None: T5's.
    """

    def __init__(
        self,
        clip_l: CLIPTextModelWithProjection,
        clip_g: CLIPTextModelWithProjection,
        t5: T5EncoderModel | None,
        tokenizers: tuple[PreTrainedTokenizerBase, ...],
        t5_length: int,
        model_hash: str,
        context_width: int | None = None,
    ):
        super().__init__()
        assert t5 is not None or context_width is not None
        self.context_width: int = t5.config.d_model if t5 is not None else context_width  # pyright: ignore
        self.clip_l, self.clip_g, self.t5 = clip_l, clip_g, t5
        self.tokenizers = tokenizers
        self.t5_length, self.model_hash = t5_length, model_hash

    @property
    def dtype(self) -> str:
        """Name of the number format of the weights, part of every cache key."""
        return str(self.clip_g.dtype).removeprefix("torch.")

    @property
    def token_lengths(self) -> tuple[int, ...]:
        """Tokens of CLIP-L, CLIP-G and T5 after padding."""
        return (
            self.clip_l.config.max_position_embeddings,
            self.clip_g.config.max_position_embeddings,
            self.t5_length,
        )

    @torch.no_grad()
    def encode(self, captions: list[str]) -> tuple[Float[Tensor, "batch token context"], Float[Tensor, "batch pooled"]]:
        """Context tokens and pooled vector of each caption, float32, on the CPU; the modules are in eval mode."""
        training = self.training
        self.eval()
        context, pooled = self(captions)
        self.train(training)
        return context.float().cpu(), pooled.float().cpu()

    def forward(
        self, captions: list[str]
    ) -> tuple[Float[Tensor, "batch token context"], Float[Tensor, "batch pooled"]]:
        """As encode, with gradients and in the modules' own mode, number format and device."""
        hidden, projections = [], []
        for encoder, tokenizer, length in zip(
            (self.clip_l, self.clip_g), self.tokenizers, self.token_lengths, strict=False
        ):
            output = encoder(_tokenize(tokenizer, captions, length).to(encoder.device), output_hidden_states=True)
            hidden.append(output.hidden_states[-2])
            projections.append(output.text_embeds)
        clip = torch.cat(hidden, dim=-1)
        clip = F.pad(clip, (0, self.context_width - clip.shape[-1]))
        if self.t5 is None:
            tokens = clip.new_zeros(len(captions), self.t5_length, self.context_width)
        else:
            ids = _tokenize(self.tokenizers[2], captions, self.t5_length)
            tokens = self.t5(ids.to(clip.device)).last_hidden_state
        return torch.cat([clip, tokens], dim=1), torch.cat(projections, dim=-1)


def _tokenize(tokenizer: PreTrainedTokenizerBase, captions: list[str], length: int) -> Tensor:
    for caption, ids in zip(captions, tokenizer(captions, verbose=False)["input_ids"], strict=True):  # pyright: ignore
        if len(ids) > length:
            _warn_cut(caption, len(ids), length)
    batch = tokenizer(captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    return batch["input_ids"]  # pyright: ignore


@lru_cache(maxsize=256)  # once per caption
def _warn_cut(caption: str, tokens: int, length: int) -> None:
    warn(f"caption {caption!r} has {tokens} tokens, the text encoder reads {length}: its end is cut off")
