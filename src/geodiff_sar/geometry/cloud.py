"""The SAR point cloud: hits of the same voxel and bounce order merged, their fields added coherently."""

from dataclasses import dataclass, fields
from typing import Annotated, no_type_check

import numpy as np
from jaxtyping import Complex64, Float32, Int8, Int32
from numba import njit
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.geometry.hits import Hits

VoxelSide = Annotated[float, Field(ge=0.005, le=100)]
"""Voxels are numbered with 19 bits along an axis, which this side takes beyond any scene."""


class CloudOptions(Options):
    """How hits become points, and points features."""

    voxel_m: tuple[VoxelSide, VoxelSide, VoxelSide] = Field(
        default=(0.15, 0.10, 0.15), description="slant range, cross-range and height of a voxel, m"
    )
    points: int = Field(default=256, ge=1, le=100_000, description="points that features are made for, at most")
    range_db: float = Field(
        default=60.0, gt=0, le=200, description="points weaker than the strongest by more are left out"
    )
    neighbours: int = Field(default=16, ge=2, le=64, description="neighbours that describe the surroundings of a point")


@dataclass(frozen=True)
class SarPointCloud:
    """Scattering points of one pose; frame and units as in ``Hits``.

    Attributes:
        position: (P, 3) power-weighted mean of slant range, cross-range, height; m.
        amplitude: (P, 4) coherent sum HH, HV, VH, VV; sqrt(m^2).
        power: (P, 4) sum of squared magnitudes, m^2; the same as |amplitude|^2 for a single hit, larger where phases
            disagree.
        order: (P,) bounce order.
        normal: (P, 3) mean unit normal, body frame.
        flatness: (P,) length of the mean normal before normalisation: 1 on a plane, less on edges and curves.
        cos_incidence: (P,) mean cosine of the incidence angle.
        count: (P,) hits merged.
    """

    position: Float32[np.ndarray, "point 3"]
    amplitude: Complex64[np.ndarray, "point 4"]
    power: Float32[np.ndarray, "point 4"]
    order: Int8[np.ndarray, " point"]
    normal: Float32[np.ndarray, "point 3"]
    flatness: Float32[np.ndarray, " point"]
    cos_incidence: Float32[np.ndarray, " point"]
    count: Int32[np.ndarray, " point"]

    def __len__(self) -> int:
        return len(self.order)

    def selected(self, keep: np.ndarray) -> "SarPointCloud":
        """The points that a mask or an index selects."""
        return SarPointCloud(*(getattr(self, f.name)[keep] for f in fields(self)))


def point_cloud(hits: Hits, options: CloudOptions) -> SarPointCloud:
    """Merge hits per voxel and order; points are sorted by voxel, so the order of the hits does not matter to theirs."""
    size = np.asarray(options.voxel_m, dtype=np.float64)
    slots, keys, used = _assign(hits.position, hits.order, size)
    sums = np.zeros((used, 8))
    field = np.zeros((used, 4), dtype=np.complex128)
    power = np.zeros((used, 4))
    count = np.zeros(used, dtype=np.int32)
    _accumulate(slots, hits.position, hits.amplitude, hits.normal, hits.cos_incidence, sums, field, power, count)
    total = np.maximum(sums[:, :1], 1e-300)
    mean = sums[:, 1:] / total
    length = np.linalg.norm(mean[:, 3:6], axis=1)
    ranking = np.argsort(keys[:used], kind="stable")
    order = np.zeros(used, dtype=np.int8)
    order[slots] = hits.order
    cloud = SarPointCloud(
        mean[:, :3].astype(np.float32),
        field.astype(np.complex64),
        power.astype(np.float32),
        order,
        (mean[:, 3:6] / np.maximum(length, 1e-9)[:, None]).astype(np.float32),
        length.astype(np.float32),
        mean[:, 6].astype(np.float32),
        count,
    )
    return cloud.selected(ranking)


@njit(cache=True, nogil=True)
@no_type_check
def _assign(position, order, size):
    """Number every hit's voxel in order of first appearance, by an open-addressing hash table."""
    n = len(order)
    capacity = 1024
    while capacity < 2 * n:
        capacity *= 2
    table = np.full(capacity, -1, dtype=np.int32)
    keys = np.empty(n, dtype=np.int64)
    slots = np.empty(n, dtype=np.int32)
    used = 0
    half, mask = np.int64(1 << 18), np.int64(capacity - 1)
    for i in range(n):
        key = np.int64(order[i])
        for axis in range(3):
            key = (key << 19) | (np.int64(np.floor(position[i, axis] / size[axis])) + half)
        mixed = key * np.int64(-7046029254386353131)
        spot = (mixed ^ (mixed >> 29)) & mask
        while table[spot] >= 0 and keys[table[spot]] != key:
            spot = (spot + 1) & mask
        if table[spot] < 0:
            table[spot] = used
            keys[used] = key
            used += 1
        slots[i] = table[spot]
    return slots, keys, used


@njit(cache=True, nogil=True)
@no_type_check
def _accumulate(slots, position, amplitude, normal, cos_incidence, sums, field, power, count):
    for i in range(len(slots)):
        j = slots[i]
        weight = 0.0
        for p in range(4):
            value = amplitude[i, p]
            square = np.float64(value.real) ** 2 + np.float64(value.imag) ** 2
            field[j, p] += value
            power[j, p] += square
            weight += square
        sums[j, 0] += weight
        for axis in range(3):
            sums[j, 1 + axis] += weight * position[i, axis]
            sums[j, 4 + axis] += weight * normal[i, axis]
        sums[j, 7] += weight * cos_incidence[i]
        count[j] += 1
