"""The base model's encoders as the data set needs them."""

from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class ChipEncoder(Protocol):
    """The VAE as the data set needs it; see model.vae.VaeCodec."""

    model_hash: str
    grain: int
    reduction: int
    scale: float
    shift: float

    @property
    def dtype(self) -> str: ...

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class CaptionEncoder(Protocol):
    """The text encoders as the data set needs them; see model.text.TextEncoders."""

    model_hash: str

    @property
    def dtype(self) -> str: ...

    @property
    def token_lengths(self) -> tuple[int, ...]: ...

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]: ...
