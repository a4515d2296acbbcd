"""Small synthetic chips that a network can learn: bright bars at an angle over speckle, as long as their target says."""

from pathlib import Path

import numpy as np

from geodiff_sar.data.chip_set import ChipSet, chip_hash
from geodiff_sar.data.pixels import ChipGrid, PixelRemap

LENGTHS = {"long": 11.0, "short": 5.0, "dot": 1.5}


def bar_chips(
    count: int,
    seed: int,
    side: int = 32,
    targets: tuple[str, ...] = ("long", "short"),
    name: str = "bars",
    **fields: object,
) -> ChipSet:
    """Chips at random azimuths; the nose is brighter than the tail. Row 0 is on top, azimuth grows from right to down."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2.0
    azimuth = rng.uniform(0, 360, count)
    target = tuple(targets[k % len(targets)] for k in range(count))
    pictures, masks = [], []
    for phi, kind in zip(np.deg2rad(azimuth), target, strict=True):
        along = columns * np.cos(phi) + rows * np.sin(phi)
        across = -columns * np.sin(phi) + rows * np.cos(phi)
        inside = (np.abs(along) < LENGTHS[kind]) & (np.abs(across) < 2.5)
        level = 1.0 + np.where(inside, 6.0 + 5.0 * np.sign(along), 0.0)
        pictures.append(20.0 * level * rng.rayleigh(0.8, (side, side)))
        masks.append(inside.astype(np.uint8))
    amplitude = np.stack(pictures).astype(np.float32)
    given = {
        "name": name,
        "ids": tuple(f"{name}-{k}" for k in range(count)),
        "amplitude": amplitude,
        "target": target,
        "azimuth_deg": azimuth,
        "depression_deg": np.full(count, 17.0),
        "polarisation": ("HH",) * count,
        "serial": (None,) * count,
        "hashes": tuple(chip_hash(chip) for chip in amplitude),
        "remap": PixelRemap(kind="power", exponent=1.0, scaling="absolute"),
        "grid": ChipGrid(range_direction="right"),
        "paths": tuple(Path(f"{name}-{k}.png") for k in range(count)),
        "priors": (None,) * count,
        "masks": np.stack(masks),
    }
    return ChipSet(**{**given, **fields})  # type: ignore[arg-type]
