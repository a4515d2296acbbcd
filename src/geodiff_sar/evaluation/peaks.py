"""Isolated point-like peaks, and the shape of their response."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage
from scipy.signal import resample

PEAK_DB = 18.0
"""Peaks stand this far over the mean clutter: sidelobes at -13 dB are then still above it."""

RIVAL_DB = 8.0
"""Around an isolated peak, every other maximum is this far below it."""

RIVAL_PX = 6
"""Half the side of the square in which rivals are looked for, pixels."""

HALF_CUT_PX = 12
"""Pixels of a cut to either side of a peak."""

INTERPOLATION = 16
MOST_PEAKS = 5
"""Strongest isolated peaks of a chip."""


@dataclass(frozen=True)
class CutShape:
    """Of one cut through one peak.

    Attributes:
        width_px: between the half-power points; NaN where a side does not fall so far.
        sidelobe_db: highest value beyond the first minima over the peak, dB, at most 0; NaN where there is no minimum.
    """

    width_px: float
    sidelobe_db: float


def isolated_peaks(
    intensity: Float32[np.ndarray, "height width"], clutter_intensity: float
) -> Int[np.ndarray, "peak 2"]:
    """Rows and columns of isolated peaks, the strongest first, at most five, far enough from the border for a cut.

    A peak is one pixel above its eight neighbours (a plateau, as saturation makes it, is none), 18 dB above the mean
    clutter and 8 dB above every other maximum within 6 pixels.
    """
    maxima = local_maxima(intensity)
    level = np.where(maxima, intensity, 0.0)
    neighbourhood = np.ones((2 * RIVAL_PX + 1,) * 2, dtype=bool)
    neighbourhood[RIVAL_PX, RIVAL_PX] = False
    rival = ndimage.maximum_filter(level, footprint=neighbourhood, mode="constant")
    peaks = (
        maxima & (intensity >= clutter_intensity * 10 ** (PEAK_DB / 10)) & (rival <= intensity * 10 ** (-RIVAL_DB / 10))
    )
    inside = np.zeros_like(peaks)
    inside[HALF_CUT_PX:-HALF_CUT_PX, HALF_CUT_PX:-HALF_CUT_PX] = True
    places = np.argwhere(peaks & inside)
    order = np.argsort(-intensity[places[:, 0], places[:, 1]], kind="stable")[:MOST_PEAKS]
    return places[order]


def local_maxima(values: Float[np.ndarray, "height width"], ties: bool = False) -> Bool[np.ndarray, "height width"]:
    """Pixels above all their eight neighbours.

    ``ties``: or equal to those that come later in reading order, so that a plateau counts once, at its first pixel.
    """
    before = np.array([[1, 1, 1], [1, 0, 0], [0, 0, 0]], dtype=bool)
    after = before[::-1, ::-1]
    above = values > ndimage.maximum_filter(values, footprint=before, mode="nearest")
    later = ndimage.maximum_filter(values, footprint=after, mode="nearest")
    return above & (values >= later if ties else values > later)


def cut_shape(cut: Float[np.ndarray, " pixel"]) -> CutShape:
    """Width and sidelobes of a cut of intensity with its peak at the middle pixel.

    The cut is interpolated 16 times by zero-padding its discrete Fourier transform. Intensity, not amplitude, is
    interpolated: the modulus of a band-limited response has kinks at its nulls, its square is band-limited to twice
    the band.
    """
    fine = np.asarray(resample(cut.astype(np.float64), len(cut) * INTERPOLATION))
    near = (len(cut) // 2) * INTERPOLATION
    top = near - INTERPOLATION + int(np.argmax(fine[near - INTERPOLATION : near + INTERPOLATION + 1]))
    sides = [_one_side(fine[top:]), _one_side(fine[top::-1])]
    width = sum(side[0] for side in sides) / INTERPOLATION
    highest = max((side[1] for side in sides if np.isfinite(side[1])), default=float("nan"))
    with np.errstate(divide="ignore"):
        sidelobe = 10.0 * np.log10(highest / fine[top]) if highest > 0 else float("nan")
    return CutShape(float(width), min(float(sidelobe), 0.0) if np.isfinite(sidelobe) else float("nan"))


def _one_side(fine: Float[np.ndarray, " sample"]) -> tuple[float, float]:
    """Samples from the peak (first) down to half its value, and the highest value beyond the first minimum."""
    below = np.flatnonzero(fine < 0.5 * fine[0])
    rising = np.flatnonzero(np.diff(fine) > 0)
    if len(below) == 0:
        return float("nan"), float("nan")
    k = int(below[0])
    half = k - 1 + (fine[k - 1] - 0.5 * fine[0]) / (fine[k - 1] - fine[k])
    beyond = rising[rising >= k]
    return float(half), float(fine[beyond[0] :].max()) if len(beyond) else float("nan")
