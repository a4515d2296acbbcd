"""Latents and text embeddings of all chips, computed once and kept on disk."""

from pathlib import Path

import numpy as np
import torch

from geodiff_sar.core.files import sha256_json
from geodiff_sar.data.blocks import BlockStore
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec
from geodiff_sar.training.pretrain.transformer_stage import LatentSet
from geodiff_sar.workflows.pretraining.chips import TrainingChips

ENCODED_TOGETHER = 16
STATISTICS_CHIPS = 256


def encode_chips(chips: TrainingChips, text: TextEncoders, codec: VaeCodec, folder: Path) -> LatentSet:
    """Latent means, their noise, context tokens and pooled vectors of every chip; see LatentSet."""
    count = len(chips.ids)
    captions = [str(caption) for caption in chips.captions]

    def means(items: range) -> np.ndarray:
        return np.concatenate([codec.encode(_pixels(chips, part))[0].numpy() for part in _parts(items)])

    def texts(which: int):
        def compute(items: range) -> np.ndarray:
            rows = [text.encode([captions[i] for i in part])[which].numpy() for part in _parts(items)]
            return np.concatenate(rows)

        return compute

    stores = {}
    for name, model, compute, title in (
        ("latents", codec.model_hash, means, "encoding chips"),
        ("context", text.model_hash, texts(0), "encoding captions"),
        ("pooled", text.model_hash, texts(1), "encoding captions"),
    ):
        stores[name] = BlockStore(folder / f"{name}-{sha256_json([chips.key, model])[:16]}", count)
        stores[name].fill(compute, title)
    seen = range(min(count, STATISTICS_CHIPS))
    deviation = torch.cat([codec.encode(_pixels(chips, part))[1] for part in _parts(seen)])
    noise = deviation.square().mean(dim=(0, 2, 3)).sqrt()
    empty = text.encode([""])
    return LatentSet(stores["latents"], noise, stores["context"], stores["pooled"], empty, chips.ids)


def _parts(items: range) -> list[range]:
    return [items[k : k + ENCODED_TOGETHER] for k in range(0, len(items), ENCODED_TOGETHER)]


def _pixels(chips: TrainingChips, items: range) -> torch.Tensor:
    return torch.from_numpy(np.stack([chips.values[i] for i in items]))[:, None]
