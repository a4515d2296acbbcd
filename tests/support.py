"""Small things that many tests use: settings of a tiny base model, a tiny data set, a tiny condition."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from geodiff_sar.core.condition import Condition
from geodiff_sar.core.types import GeometryPrior, Pose, RadarParams
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.features import save_features

SHARED = Path(os.environ.get("GEODIFF_SHARED", Path(__file__).resolve().parents[2] / "shared"))

TINY = {
    "resolution": [32, 32],
    "adapter_embed_dim": 16,
    "store": "float32",
    "held_out": 0,
    "corpus": {"count": 8, "shard": 4, "size": 32},
    "text": {
        "clip_l_width": 16,
        "clip_g_width": 16,
        "heads": 2,
        "projection": 8,
        "clip_g_layers": 2,
        "t5_layers": 1,
    },
    "vae": {"block_out_channels": [8, 8, 8], "norm_groups": 4},
    "transformer": {
        "layers": 2,
        "heads": 2,
        "head_width": 8,
        "dual_attention_layers": [0],
        "max_grid": 16,
        "patch_size": 4,
    },
    "train_text": {"max_steps": 2, "batch_size": 4},
    "train_vae": {"max_steps": 2, "batch_size": 4, "crop": 16},
    "train_transformer": {"max_steps": 2, "batch_size": 4},
}
"""Settings of a base model that is built in about a second."""


MAP_NAMES = ("illumination", "shadow", "height")
RADAR = RadarParams(15e9, 6e8, 2.0)


def write_chips_root(root: Path, count: int = 10, features: bool = True) -> None:
    """Write ``count`` chips, alternately of targets A and B, azimuths 0, 36, 72 ..."""
    rng = np.random.default_rng(5)
    folder = root / "train" / "data" / "train" / "aircraft"
    folder.mkdir(parents=True)
    (root / "3d_features").mkdir()
    for number in range(1, count + 1):
        size = (32, 32) if number % 3 else (24, 40)
        grey = rng.integers(0, 255, size, dtype=np.uint8)
        Image.fromarray(np.stack([grey] * 3, axis=-1)).save(folder / f"{number}.png")
        caption = Caption("A" if number % 2 else "B", "Ku", "High", "HH", (number - 1) * 36.0)
        (folder / f"{number}.txt").write_text(str(caption))
        if features:
            save_features(root / "3d_features" / f"{number}.pt", random_prior(number))


def random_prior(seed: int, points: int = 9, width: int = 64) -> GeometryPrior:
    """A random cloud."""
    rng = np.random.default_rng(seed)
    return GeometryPrior(
        rng.standard_normal((points + seed % 3, width)).astype(np.float32),
        rng.standard_normal((points + seed % 3, 3)).astype(np.float32) * 5,
        pose=Pose(float(seed % 360)),
    )


def write_map_priors(root: Path, names: tuple[str, ...] = MAP_NAMES, radar: RadarParams = RADAR) -> None:
    """Give every chip under ``root`` a prior with random maps on its own pixel grid, depression 30 degrees."""
    for picture in sorted((root / "train" / "data" / "train" / "aircraft").glob("*.png")):
        number = int(picture.stem)
        with Image.open(picture) as chip:
            shape = (chip.size[1], chip.size[0])
        prior = random_prior(number)
        maps = np.random.default_rng(number).random((len(names), *shape)).astype(np.float32)
        pose = Pose((number - 1) * 36.0, 30.0)
        full = replace(prior, maps=maps, pose=pose, radar=radar, provenance={"maps": list(names)})
        (root / "3d_features" / f"{number}.pt").unlink(missing_ok=True)
        save_features(root / "3d_features" / f"{number}.safetensors", full)


def random_condition(
    seed: int = 0,
    batch: int = 3,
    pooled: int = 16,
    context: int = 32,
    size: int = 4,
    maps: tuple[int, int, int] = (0, 0, 0),
) -> Condition:
    """A batch in which everything is present; ``maps`` is their number, rows and columns."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=g)

    yes = torch.ones(batch, dtype=torch.bool)
    mask = torch.ones(batch, 6, dtype=torch.bool)
    mask[1, 4:] = False
    return Condition(
        context=normal(batch, 10, context),
        pooled=normal(batch, pooled),
        features=normal(batch, 6, 64),
        coordinates=normal(batch, 6, 3) * 5,
        point_mask=mask,
        has_geometry=yes.clone(),
        has_coordinates=yes.clone(),
        reference=normal(batch, 16, size, size),
        has_image=yes.clone(),
        azimuth_deg=torch.tensor([0.0, 90.0, 200.0])[:batch],
        has_azimuth=yes.clone(),
        depression_deg=torch.full((batch,), 30.0),
        has_depression=yes.clone(),
        maps=torch.rand(batch, *maps, generator=g),
        has_maps=yes.clone(),
    )
