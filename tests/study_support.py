"""A tiny study: chips whose azimuth is known, random priors, a tiny base, a few steps of everything."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation_support import make_chips
from geodiff_sar.core.config import parse_options
from geodiff_sar.data.features import save_features
from geodiff_sar.workflows.study.options import StudyConfig
from support import random_prior

SIZE = 64


def write_data(folder: Path, count: int = 96, priors: bool = True) -> Path:
    """Chips of two targets at even azimuths, with a table, a description and features."""
    azimuth = np.repeat(np.arange(count // 2) * 720.0 / count, 2)
    chips = make_chips(count, 3, "real", SIZE, azimuth_deg=azimuth)
    folder.mkdir(parents=True)
    rows = []
    for k, identity in enumerate(chips.ids):
        Image.fromarray(np.clip(chips.amplitude[k], 0, 255).astype(np.uint8)).save(folder / f"{identity}.png")
        text = f"SAR image,{chips.target[k]},X-band,High,HH-Polarization,{azimuth[k]:.3f}"
        row = {"id": identity, "file_name": f"{identity}.png", "text": text, "depression": 17.0}
        if priors:
            row["features"] = f"3d_features/{identity}.safetensors"
            save_features(folder / row["features"], random_prior(k))
        rows.append(row)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    grid = '[grid]\nrange_direction = "right"\npixel_range_m = 0.2\npixel_cross_range_m = 0.2\n'
    (folder / "dataset.toml").write_text(f'[remap]\nkind = "power"\nexponent = 1.0\nscaling = "absolute"\n{grid}')
    return folder


def settings(folder: Path, base: Path, **changes: Any) -> dict[str, Any]:
    """Settings of the tiny study as TOML would give them."""
    return {
        "name": "tiny",
        "title": "a tiny study",
        "data": {"root": str(folder)},
        "adapter": {
            "base": str(base),
            "inject": ["pooled"],
            "data": {"image_condition": "none", "buckets": {"resolution": [SIZE, SIZE]}},
            "lora": {"rank": 2, "alpha": 2.0},
            "train": {"max_steps": 2, "batch_size": 4, "log_every": 1},
        },
        "seeds": [1, 2],
        "baseline": "plain",
        "generate": {"steps": 1, "guidance_scale": 1.0, "trained_every": 8, "batch_size": 16},
        "measure": {"encoder_steps": 4, "estimator_steps": 4},
        "rows": [
            {"name": "plain", "title": "the plain row"},
            {
                "name": "add",
                "title": "fusion by addition",
                "seeds": [2],
                "adapter": {"fusion": {"method": "add"}, "data": {"image_condition": "reference"}},
            },
        ],
        **changes,
    }


def tiny_study(folder: Path, base: Path, **changes: Any) -> StudyConfig:
    """The tiny study."""
    return parse_options(StudyConfig, settings(folder, base, **changes), "a test")
