"""N x 64 features of a SAR point cloud: deterministic, without weights, every channel documented (``CHANNELS``)."""

from typing import no_type_check

import numpy as np
from jaxtyping import Float32, Int64
from numba import njit

from geodiff_sar.core.errors import DataError
from geodiff_sar.geometry.cloud import CloudOptions, SarPointCloud
from geodiff_sar.geometry.hits import POLARISATION_COLUMN

SCALE_M = 8.0
OCTAVES = 5
CHANNELS = (
    *(f"{axis} / 8 m" for axis in ("slant range", "cross-range", "height")),
    *(
        f"{wave} of pi 2^{octave} {axis} / 8 m"
        for octave in range(OCTAVES)
        for wave in ("sine", "cosine")
        for axis in ("slant range", "cross-range", "height")
    ),
    "coherent level, dB under the strongest point / 30 + 1",
    "incoherent level, dB under the strongest point / 30 + 1",
    "coherence: |sum|^2 / (count x sum of squares)",
    "log(1 + hits in the voxel) / 8",
    *(f"bounce order {name}" for name in ("1", "2", "3", "4", "5 or more")),
    *(f"normal {axis}" for axis in ("x (nose)", "y (port)", "z (up)")),
    "flatness",
    "cosine of incidence",
    "cosine of the phase",
    "sine of the phase",
    *(f"power-weighted centre of the neighbours, {axis}, m" for axis in ("slant range", "cross-range", "height")),
    *(f"spread of the neighbours along principal axis {k}, m / 0.5" for k in (3, 2, 1)),
    "linearity of the neighbours",
    "planarity of the neighbours",
    *(f"log(1 + distance to the {name} neighbour, m)" for name in ("first", "middle", "last")),
    "mean level of the neighbours, dB under the strongest point / 30 + 1",
    "level above the strongest neighbour, dB / 30",
    "absolute level, dBsm / 40",
    "distance to the centre of power / 8 m",
)
"""What each of the 64 channels holds; values are clipped to [-3, 3]."""


def encode_cloud(
    cloud: SarPointCloud, polarisation: str, options: CloudOptions
) -> tuple[Float32[np.ndarray, "point 64"], Int64[np.ndarray, " point"]]:
    """Features of at most ``options.points`` points, and which points of the cloud they are.

    Points are chosen by weighted farthest-point sampling, so that strong points and far parts are both represented.

    Raises:
        DataError: nothing returns in this polarisation.
    """
    column = POLARISATION_COLUMN[polarisation]
    power_all = np.abs(cloud.amplitude[:, column].astype(np.complex128)) ** 2
    strongest = float(power_all.max()) if len(power_all) else 0.0
    if not strongest > 0:
        raise DataError(
            "SAR point cloud",
            f"no return in polarisation {polarisation}",
            "at least one point that scatters back",
            "check that the target stands within the scene, or take a co-polar channel",
        )
    kept = np.flatnonzero(power_all > strongest * 10 ** (-options.range_db / 10))
    points = cloud.selected(kept)
    power = power_all[kept]
    position = points.position.astype(np.float64)
    level = 10 * np.log10(power / strongest)
    weight = np.clip((level + options.range_db) / options.range_db, 0.01, 1.0)
    chosen = np.sort(_farthest(position, np.sqrt(weight), int(np.argmax(weight)), min(options.points, len(position))))
    near, distance = _nearest(position, chosen, min(options.neighbours, len(position)))
    features = np.concatenate(
        [
            _place(position[chosen]),
            _strength(points, chosen, column, level, strongest),
            _surface(points, chosen, column),
            _surroundings(position, power, level, chosen, near, distance),
            _whole(position, power, chosen),
        ],
        axis=1,
    )
    return np.clip(features, -3.0, 3.0).astype(np.float32), kept[chosen]


def with_positions(
    features: Float32[np.ndarray, "point 64"], position: Float32[np.ndarray, "point 3"]
) -> Float32[np.ndarray, "point 64"]:
    """The features of the same points at other places: slant range, cross-range, height, m. What they hold about neighbours
    and strength stays."""
    place = np.clip(_place(position.astype(np.float64)), -3.0, 3.0).astype(np.float32)
    return np.concatenate([place, features[:, place.shape[1] :]], axis=1)


def _place(position: np.ndarray) -> np.ndarray:
    scaled = position / SCALE_M
    waves = [f(np.pi * 2.0**octave * scaled) for octave in range(OCTAVES) for f in (np.sin, np.cos)]
    return np.concatenate([scaled, *waves], axis=1)


def _strength(
    points: SarPointCloud, chosen: np.ndarray, column: int, level: np.ndarray, strongest: float
) -> np.ndarray:
    coherent = np.abs(points.amplitude[chosen, column].astype(np.complex128)) ** 2
    incoherent = points.power[chosen, column].astype(np.float64)
    count = points.count[chosen]
    order = np.clip(points.order[chosen], 1, 5)[:, None] == np.arange(1, 6)
    return np.column_stack(
        [
            level[chosen] / 30 + 1,
            10 * np.log10(np.maximum(incoherent, 1e-30) / strongest) / 30 + 1,
            np.clip(coherent / np.maximum(incoherent * count, 1e-30), 0, 1),
            np.log1p(count) / 8,
            order,
        ]
    )


def _surface(points: SarPointCloud, chosen: np.ndarray, column: int) -> np.ndarray:
    phase = np.angle(points.amplitude[chosen, column])
    return np.column_stack(
        [points.normal[chosen], points.flatness[chosen], points.cos_incidence[chosen], np.cos(phase), np.sin(phase)]
    )


def _surroundings(
    position: np.ndarray,
    power: np.ndarray,
    level: np.ndarray,
    chosen: np.ndarray,
    near: np.ndarray,
    distance: np.ndarray,
) -> np.ndarray:
    offset = position[near] - position[chosen][:, None]
    weight = power[near] / power[near].sum(axis=1, keepdims=True)
    centre = (weight[..., None] * offset).sum(axis=1)
    rest = offset - centre[:, None]
    spread = np.einsum("nk,nki,nkj->nij", weight, rest, rest)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 0.0))  # shortest first
    longest = axes[:, 2] + 1e-9
    last = near.shape[1] - 1
    others = level[near[:, 1:]].max(axis=1) if last > 0 else level[chosen] - 30.0
    return np.column_stack(
        [
            centre,
            axes / 0.5,
            (axes[:, 2] - axes[:, 1]) / longest,
            (axes[:, 1] - axes[:, 0]) / longest,
            np.log1p(distance[:, [min(1, last), (last + 1) // 2, last]]),
            10 * np.log10(power[near].mean(axis=1) / power.max()) / 30 + 1,
            (level[chosen] - others) / 30,
        ]
    )


def _whole(position: np.ndarray, power: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    centre = (power[:, None] * position).sum(axis=0) / power.sum()
    return np.column_stack(
        [10 * np.log10(power[chosen]) / 40, np.linalg.norm(position[chosen] - centre, axis=1) / SCALE_M]
    )


@njit(cache=True, nogil=True)
@no_type_check
def _farthest(position, weight, start, count):
    """Greedy: next is the point with the largest squared distance to those chosen times its weight."""
    n = len(position)
    chosen = np.empty(count, dtype=np.int64)
    chosen[0] = start
    nearest = np.full(n, np.inf)
    last = start
    for k in range(1, count):
        best, winner = -1.0, -1
        for i in range(n):
            x = position[i, 0] - position[last, 0]
            y = position[i, 1] - position[last, 1]
            z = position[i, 2] - position[last, 2]
            nearest[i] = min(nearest[i], x * x + y * y + z * z)
            score = nearest[i] * weight[i]
            if score > best:
                best, winner = score, i
        chosen[k] = winner
        last = winner
    return chosen


@njit(cache=True, nogil=True)
@no_type_check
def _nearest(position, chosen, count):
    """The nearest points of each chosen one, itself first, and their distances."""
    near = np.zeros((len(chosen), count), dtype=np.int64)
    square = np.full((len(chosen), count), np.inf)
    for k in range(len(chosen)):
        c = chosen[k]
        for i in range(len(position)):
            x = position[i, 0] - position[c, 0]
            if x * x >= square[k, count - 1]:
                continue
            y = position[i, 1] - position[c, 1]
            z = position[i, 2] - position[c, 2]
            d = x * x + y * y + z * z
            if i == c:
                d = -1.0  # itself first, even beside a twin
            if d >= square[k, count - 1]:
                continue
            j = count - 1
            while j > 0 and square[k, j - 1] > d:
                square[k, j] = square[k, j - 1]
                near[k, j] = near[k, j - 1]
                j -= 1
            square[k, j] = d
            near[k, j] = i
    return near, np.sqrt(np.maximum(square, 0.0))
