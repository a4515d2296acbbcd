"""First stage: text encoders that can tell what a caption says.

From the pooled vector, from the mean CLIP token and from the mean T5 token, linear heads must read every field of the
caption: the named fields as classes, the azimuth as ``sin k phi, cos k phi`` with k = 1..4. The heads are thrown away.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from geodiff_sar.data.caption import Caption
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.training.pretrain.options import TextSizes
from geodiff_sar.training.task import BatchSource, Task

HARMONICS = 4


def build_text_encoders(
    sizes: TextSizes, tokenizers: tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast, PreTrainedTokenizerFast]
) -> TextEncoders:
    """Untrained text encoders of the given sizes, in the classes that SD3.5 uses."""
    clips = []
    for tokenizer, width, layers, activation in (
        (tokenizers[0], sizes.clip_l_width, sizes.clip_l_layers, "quick_gelu"),
        (tokenizers[1], sizes.clip_g_width, sizes.clip_g_layers, "gelu"),
    ):
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=sizes.heads,
            max_position_embeddings=sizes.clip_length,
            hidden_act=activation,
            projection_dim=sizes.projection,
            **{f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")},
        )
        clips.append(CLIPTextModelWithProjection(config))
    context = sizes.clip_l_width + sizes.clip_g_width
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=len(tokenizers[2]),
            d_model=context,
            d_kv=context // sizes.heads,
            d_ff=2 * context,
            num_layers=sizes.t5_layers,
            num_heads=sizes.heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            pad_token_id=0,
            eos_token_id=1,
        )
    )
    return TextEncoders(clips[0], clips[1], t5, tokenizers, sizes.t5_length, "")


@dataclass(frozen=True)
class CaptionVocabulary:
    """Values that occur in each named field of a set of captions."""

    targets: tuple[str, ...]
    bands: tuple[str | None, ...]
    resolutions: tuple[str | None, ...]
    polarisations: tuple[str | None, ...]

    @classmethod
    def of(cls, captions: list[Caption]) -> "CaptionVocabulary":
        """The vocabulary of ``captions``, sorted."""

        def values(name: str) -> tuple[Any, ...]:
            return tuple(sorted({getattr(c, name) for c in captions}, key=str))

        return cls(values("target"), values("band"), values("resolution"), values("polarisation"))

    @property
    def fields(self) -> tuple[tuple[Any, ...], ...]:
        """The four fields in the order of the class targets."""
        return (self.targets, self.bands, self.resolutions, self.polarisations)


@dataclass(frozen=True)
class TextBatch:
    """Captions with the truth about them: class indices (B, 4) and azimuth in radians (B,)."""

    captions: list[str]
    classes: Int[Tensor, "batch 4"]
    azimuth_rad: Float[Tensor, " batch"]


class CaptionSource(BatchSource[TextBatch]):
    """Endless captions: every combination of the vocabulary's fields, azimuths uniform over the circle."""

    def __init__(self, vocabulary: CaptionVocabulary, batch_size: int, seed: int, batches: int = 1000):
        self.vocabulary, self.batch_size, self.seed, self.batches = vocabulary, batch_size, seed, batches

    def plan(self, epoch: int) -> list[Any]:
        return list(range(self.batches))

    def load(self, item: Any, epoch: int) -> TextBatch:
        rng = np.random.default_rng([self.seed, epoch, item])
        captions, classes, azimuths = [], [], []
        for _ in range(self.batch_size):
            chosen = [int(rng.integers(len(values))) for values in self.vocabulary.fields]
            azimuth = int(rng.integers(3600)) / 10
            target, band, resolution, polarisation = (
                values[k] for values, k in zip(self.vocabulary.fields, chosen, strict=True)
            )
            caption = Caption(target, band, resolution, polarisation, azimuth if polarisation is not None else None)
            captions.append(str(caption))
            classes.append(chosen)
            azimuths.append(np.radians(azimuth) if polarisation is not None else np.nan)
        return TextBatch(captions, torch.tensor(classes), torch.tensor(azimuths, dtype=torch.float32))


class TextTask(Task[TextBatch]):
    """Text encoders and the linear heads that read the fields back."""

    def __init__(self, encoders: TextEncoders, vocabulary: CaptionVocabulary, lr: float):
        self.encoders, self.lr = encoders, lr
        self.counts = [len(values) for values in vocabulary.fields]
        pooled = sum(clip.config.projection_dim or 0 for clip in (encoders.clip_l, encoders.clip_g))
        context = encoders.context_width
        width = sum(self.counts) + 2 * HARMONICS
        self.heads = nn.ModuleList([nn.Linear(size, width) for size in (pooled, context, context)])

    def modules(self) -> dict[str, nn.Module]:
        return {"encoders": self.encoders, "heads": self.heads}

    def parameter_groups(self) -> list[dict[str, Any]]:
        both = [*self.encoders.parameters(), *self.heads.parameters()]
        return [{"params": [p for p in both if p.requires_grad], "name": "text", "lr": self.lr}]

    def loss(self, batch: TextBatch) -> tuple[Tensor, dict[str, float]]:
        context, pooled = self.encoders(batch.captions)
        length = self.encoders.token_lengths[0]
        views = (pooled, context[:, :length].mean(dim=1), context[:, length:].mean(dim=1))
        known = torch.isfinite(batch.azimuth_rad)
        angles = batch.azimuth_rad[known, None] * torch.arange(1, HARMONICS + 1)
        wanted = torch.cat([angles.sin(), angles.cos()], dim=1)
        named, turned = torch.zeros(()), torch.zeros(())
        for head, view in zip(self.heads, views, strict=True):
            parts = head(view).split([*self.counts, 2 * HARMONICS], dim=1)
            for column, scores in enumerate(parts[:-1]):
                named = named + F.cross_entropy(scores, batch.classes[:, column]) / len(views)
            if known.any():
                turned = turned + F.mse_loss(parts[-1][known], wanted) / len(views)
        return named + 4 * turned, {"text/fields": named.item(), "text/azimuth": turned.item()}

    def describe(self, batch: TextBatch) -> str:
        return "; ".join(batch.captions[:8])
