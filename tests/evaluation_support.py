"""Synthetic chips whose target, shadow and azimuth are known, and one comparison made of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geodiff_sar.data.chip_set import CLUTTER, SHADOW, TARGET, ChipSet, chip_hash
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid, PixelRemap
from geodiff_sar.evaluation.base import Comparison, FeatureSpace

GRID = ChipGrid(
    range_direction="right",
    pixel_range_m=0.2,
    pixel_cross_range_m=0.2,
    resolution_range_m=0.3,
    resolution_cross_range_m=0.3,
)
DEPRESSION_DEG = 17.0
CLUTTER_MEAN, TARGET_MEAN, SHADOW_MEAN = 20.0, 110.0, 3.0
"""Mean amplitudes; all three are single-look speckle (Rayleigh)."""


@dataclass(frozen=True)
class Vehicle:
    """A flat ellipse of speckle with bright points at its nose, seen from above.

    Attributes:
        length, width, shadow: in pixels; the shadow falls away from the radar.
    """

    length: float
    width: float
    shadow: float


VEHICLES = {"tank": Vehicle(30.0, 14.0, 11.0), "truck": Vehicle(22.0, 8.0, 17.0)}


def make_chips(
    count: int = 40,
    seed: int = 0,
    name: str = "real",
    size: int = 64,
    targets: tuple[str, ...] = ("tank", "truck"),
    azimuth_deg: np.ndarray | None = None,
    remap: PixelRemap = AMPLITUDE,
) -> ChipSet:
    """Chips of the targets in turn, at random azimuths unless they are given; masks are exact.

    The radar is on the left. At azimuth 0 the nose points at it, to the left; at 90 it points up, at 180 to the right.
    """
    rng = np.random.default_rng([seed, 77])
    azimuth = rng.uniform(0, 360, count) if azimuth_deg is None else np.asarray(azimuth_deg, dtype=float)
    names = tuple(targets[k % len(targets)] for k in range(count))
    drawn = [draw_chip(VEHICLES[t], float(a), size, rng) for t, a in zip(names, azimuth, strict=True)]
    amplitude = np.stack([chip for chip, _ in drawn])
    ids = tuple(f"{name}-{k:04d}" for k in range(count))
    return ChipSet(
        name,
        ids,
        amplitude,
        names,
        azimuth,
        np.full(count, DEPRESSION_DEG),
        ("HH",) * count,
        (None,) * count,
        tuple(chip_hash(chip) for chip in amplitude),
        remap,
        GRID,
        tuple(Path(f"{i}.png") for i in ids),
        (None,) * count,
        np.stack([mask for _, mask in drawn]),
    )


def draw_chip(
    vehicle: Vehicle, azimuth_deg: float, size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One chip (size, size) float32 and its mask."""
    mask = draw_mask(vehicle, azimuth_deg, size)
    mean = np.select([mask == TARGET, mask == SHADOW], [TARGET_MEAN, SHADOW_MEAN], CLUTTER_MEAN)
    amplitude = rng.rayleigh(np.sqrt(2.0 / np.pi), (size, size)) * mean
    nose = (size - 1) / 2 - 0.4 * vehicle.length * np.array(
        [np.sin(np.deg2rad(azimuth_deg)), np.cos(np.deg2rad(azimuth_deg))]
    )
    row, column = np.mgrid[:size, :size]
    amplitude += 500.0 * np.exp(-((row - nose[0]) ** 2 + (column - nose[1]) ** 2) / (2 * 0.9**2))
    return amplitude.astype(np.float32), mask


def draw_mask(vehicle: Vehicle, azimuth_deg: float, size: int) -> np.ndarray:
    """Codes (size, size) of clutter, target and the shadow that falls to the right."""
    angle = np.deg2rad(azimuth_deg)
    row, column = np.mgrid[:size, :size] - (size - 1) / 2

    def inside(shift: float) -> np.ndarray:
        along = -(column - shift) * np.cos(angle) - row * np.sin(angle)
        across = (column - shift) * np.sin(angle) - row * np.cos(angle)
        return (2 * along / vehicle.length) ** 2 + (2 * across / vehicle.width) ** 2 <= 1.0

    target = inside(0.0)
    shadow = np.any([inside(shift) for shift in np.arange(1.0, vehicle.shadow + 1.0)], axis=0)
    return np.select([target, shadow], [TARGET, SHADOW], CLUTTER).astype(np.uint8)


class BlockMeans(FeatureSpace):
    """Square roots of amplitude averaged over blocks of 8 x 8 pixels: a space without any training."""

    name = "block means"
    fingerprint = "block-means-8"

    def extract(self, amplitude: np.ndarray) -> np.ndarray:
        """(N, H/8 * W/8) float32."""
        n, height, width = amplitude.shape
        blocks = np.sqrt(amplitude).reshape(n, height // 8, 8, width // 8, 8).mean(axis=(2, 4))
        return blocks.reshape(n, -1).astype(np.float32)


def make_comparison(
    candidate: ChipSet | None = None,
    reference: ChipSet | None = None,
    row: str = "generated",
    count: int = 40,
    read_error_deg: float = 3.0,
    space: FeatureSpace | None = None,
    seed: int = 0,
) -> Comparison:
    """One row of a report.

    Args:
        candidate: chips to judge; None: ``count`` new chips of the same kind as the real ones.
        reference: real chips; None: ``count`` new ones.
        row: its name.
        count: chips of every set that is made here, gallery and training chips too.
        read_error_deg: standard deviation of the azimuths read off the chips about those of ``candidate``.
        space: of the features; None: BlockMeans.
        seed: of everything.
    """
    candidate = make_chips(count, seed + 1, "candidate") if candidate is None else candidate
    reference = make_chips(count, seed + 2, "reference") if reference is None else reference
    space = BlockMeans() if space is None else space
    rng = np.random.default_rng([seed, 78])
    read = (candidate.azimuth_deg + rng.normal(0, read_error_deg, len(candidate))) % 360.0
    return Comparison(
        row,
        candidate,
        reference,
        make_chips(count, seed + 3, "gallery"),
        make_chips(count, seed + 4, "training"),
        space.extract(reference.amplitude),
        space.extract(candidate.amplitude),
        space.name,
        read,
        min(len(candidate), len(reference)),
        GRID,
        seed,
    )
