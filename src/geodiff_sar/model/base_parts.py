"""The parts of a base model, and what it was trained with."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from pydantic import Field
from torch import Tensor
from transformers import CLIPTextModelWithProjection, PreTrainedTokenizerBase, T5EncoderModel

from geodiff_sar.core.config import Options
from geodiff_sar.data.remap import AmplitudeRemap

CLASSES: dict[str, Any] = {
    "transformer": SD3Transformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModelWithProjection,
    "text_encoder_2": CLIPTextModelWithProjection,
    "text_encoder_3": T5EncoderModel,
}
PARTS = tuple(CLASSES)
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")

T5 = "text_encoder_3"

Tokenizers = tuple[PreTrainedTokenizerBase, ...]
"""Of CLIP-L, CLIP-G and, where it is used, T5."""


class BaseSettings(Options):
    """What a base model was trained with; ``geodiff_base.json`` in its folder, or SD3.5's values without that file."""

    resolution: tuple[int, int] = Field(description="width and height of its native picture, pixels")
    shift: float = Field(default=3.0, gt=0, description="timestep shift of its training")
    t5_length: int = Field(default=256, ge=1, description="number of T5 tokens")
    remap: AmplitudeRemap = Field(
        default=AmplitudeRemap(exponent=1.0), description="amplitude to pixel remap of its training"
    )
    embed_dim: int | None = Field(
        default=None, ge=1, description="width of the modality embeddings; None: from the pooled width"
    )
    guidance_scale: float = Field(default=7.5, ge=0, description="guidance scale that suits it")
    keep_level: bool = Field(
        default=False, description="guidance leaves the mean of each latent channel alone; see GuidanceOptions"
    )


@runtime_checkable
class BaseShape(Protocol):
    """What a base model is made of, without its weights."""

    def config(self, part: str) -> Mapping[str, Any]:
        """Configuration of one part."""
        ...

    def empty(self, part: str) -> Any:
        """One part without weights, on the meta device."""
        ...

    def settings(self, native_size: int) -> BaseSettings:
        """What it was trained with; ``native_size`` is the side of its picture by its transformer, pixels."""
        ...


@runtime_checkable
class BaseSource(BaseShape, Protocol):
    """Files of a base model, of whatever kind; every method raises FileError where they are missing or damaged."""

    def require_complete(self) -> None:
        """Make sure that all parts are there and fit together, as far as that can be seen without reading weights."""
        ...

    def load(self, part: str, dtype: torch.dtype) -> Any:
        """One part with its weights, on the CPU."""
        ...

    def cast_bytes(self, part: str, dtype: torch.dtype) -> int:
        """Memory of the weights of one part that are cast to ``dtype`` when it is loaded; the others stay in their file."""
        ...

    def t5_tensor(self, name: str, dtype: torch.dtype) -> Tensor:
        """One tensor of T5, by the name that its class gives it."""
        ...

    def hash(self, part: str) -> str:
        """Content hash of one part: configuration, weights, and the tokenizer of a text encoder."""
        ...

    def tokenizers(self) -> Tokenizers:
        """Tokenizers of the text encoders."""
        ...
