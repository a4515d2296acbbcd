"""Short trainings on a tiny base."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.workflows.train_config import TrainConfig


def config_for(root: Path, base: Path, output: Path, sections: dict | None = None, **train_options) -> TrainConfig:
    """A short run on ``root``; ``sections`` adds to the tables of the configuration, train_options to [train]."""
    settings = {
        "base": str(base),
        "output_dir": str(output),
        "output_name": "run",
        "data": {"root": str(root), "buckets": {"min_bucket_reso": 16}, "captions": {"dropout_rate": 0.1}},
        "lora": {"rank": 2, "dropout": 0.1},
        "inject": ["pooled"],
        "fusion": {"method": "hybrid_film_attn"},
        "conditioning": {"points": {"heads": 2}},
        "optimizer": {"lr": 1e-2},
        "schedule": {"name": "cosine", "warmup": 2},
        "ema": {"enabled": True},
        "train": {"max_steps": 8, "batch_size": 4, "device": "cpu", "checkpoint_every_steps": 3, **train_options},
    }
    for name, values in (sections or {}).items():
        settings[name] = {**settings.get(name, {}), **values}
    return TrainConfig.model_validate(settings)


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    files = resolve_adapter(str(folder))
    assert files.weights is not None
    return {**load_file(files.weights), **load_file(files.fusion_weights)}
