"""The text encoders of a base, in memory only while there are captions to encode."""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.model.text import TextEncoders

Embedded = tuple[Tensor, Tensor]


class LazyText:
    """Encodes captions as TextEncoders does. The encoders are loaded when a caption comes up that is not kept, and stay until
    ``release``.

    Args:
        load: loads them, in eval mode.
        clip_lengths: tokens of CLIP-L and CLIP-G.
        t5_length: number of T5 tokens.
        dtype: number format of the weights.
        model_hash: content hash of the weights, part of every cache key.
    """

    def __init__(
        self,
        load: Callable[[], TextEncoders],
        clip_lengths: tuple[int, int],
        t5_length: int,
        dtype: torch.dtype,
        model_hash: str,
    ):
        self.model_hash = model_hash
        self._load, self._clip_lengths, self._t5_length, self._dtype = load, clip_lengths, t5_length, dtype
        self._encoders: TextEncoders | None = None
        self._kept: dict[str, Embedded] = {}

    @property
    def dtype(self) -> str:
        """Name of the number format of the weights, part of every cache key."""
        return str(self._dtype).removeprefix("torch.")

    @property
    def t5_length(self) -> int:
        """Number of T5 tokens. Another number forgets what is kept."""
        return self._t5_length

    @t5_length.setter
    def t5_length(self, length: int) -> None:
        self._t5_length = length
        self._kept.clear()
        if self._encoders is not None:
            self._encoders.t5_length = length

    @property
    def token_lengths(self) -> tuple[int, ...]:
        """Tokens of CLIP-L, CLIP-G and T5 after padding."""
        return (*self._clip_lengths, self._t5_length)

    @property
    def encoders(self) -> TextEncoders:
        """The encoders, loaded if they are not there."""
        if self._encoders is None:
            self._encoders = self._load()
            self._encoders.t5_length = self._t5_length
        return self._encoders

    def encode(self, captions: list[str]) -> tuple[Float[Tensor, "batch token context"], Float[Tensor, "batch pooled"]]:
        """Context tokens and pooled vector of each caption, float32, on the CPU."""
        if any(caption not in self._kept for caption in captions):
            return self.encoders.encode(captions)
        contexts, pooled = zip(*(self._kept[caption] for caption in captions), strict=True)
        return torch.cat(contexts).float(), torch.cat(pooled).float()

    def change(self, change: Callable[[TextEncoders], None], key: str) -> None:
        """Have ``change`` called on the encoders whenever they are loaded; ``key`` says what it does. What is kept is
        forgotten."""
        load = self._load

        def changed() -> TextEncoders:
            encoders = load()
            change(encoders)
            encoders.model_hash = self.model_hash
            return encoders

        self.release()
        self._kept.clear()
        self._load, self.model_hash = changed, sha256_bytes(self.model_hash.encode(), key.encode())

    def remember(self, captions: Iterable[str]) -> None:
        """Encode captions, each alone, and keep the result in the encoders' own number format."""
        for caption in sorted({*captions} - {*self._kept}):
            context, pooled = self.encoders.encode([caption])
            self._kept[caption] = (context.to(self._dtype), pooled.to(self._dtype))

    def release(self) -> None:
        """Free the encoders' memory; what is kept stays. A caption that is not kept loads them again."""
        self._encoders = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
