"""Resolution and sidelobes on point-like peaks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import bootstrap
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.peaks import HALF_CUT_PX, cut_shape, isolated_peaks
from geodiff_sar.evaluation.radar_values import (
    amplitude_of,
    distance_score,
    join_notes,
    law_note,
    median_score,
    rounded,
)
from geodiff_sar.evaluation.remembered import Remembered, content_key
from geodiff_sar.evaluation.speckle_chips import ClutterChips, clutter_pair


@dataclass(frozen=True)
class Peaks:
    """Of all chips of a set.

    Attributes:
        count: isolated peaks of each chip.
        shape: (P, 4) one row per peak: width in cross-range and range, pixels; highest sidelobe in cross-range and range, dB.
    """

    count: Float[np.ndarray, " chip"]
    shape: Float[np.ndarray, "peak 4"]


_PEAKS: Remembered[Peaks] = Remembered(3)


@METRICS.register("point_response")
class PointResponse(Metric):
    """3 dB width and peak sidelobe ratio of isolated point-like peaks.

    A peak counts when it stands 18 dB over the mean clutter and 8 dB over every other maximum within 6 pixels; the
    five strongest of a chip are taken. A cut of 24 pixels through it along rows and columns is interpolated 16 times
    by its Fourier transform (in intensity). Width: between half-power points, in metres where the pixel spacing is
    known. Peak sidelobe ratio (PSLR): highest value beyond the first minimum of either side over the peak, dB
    (Cumming and Wong 2005, section 2.3): -13.3 dB for an unweighted aperture.

    Chips: at most 300 of a set; n counts peaks. Values are medians over peaks, to match the real half. Distances (lower is
    better): Wasserstein-1 to the reference, of the number of isolated peaks per chip, of both widths and both ratios.

    Limits: peaks on vehicles are seldom alone: a close second scatterer widens a peak, and the rule of isolation
    itself cuts ratios off above -8 dB; clutter hides sidelobes below about -15 dB. Read the distances, and compare
    values with the real half, not with theory. On detected chips the cut is exact where pixels are at most c / (4 B)
    (half of 1 / bandwidth): 0.886 / B and -13.3 dB for an unweighted aperture; at two thirds of 1 / B widths come out
    3 to 20 % too wide and ratios at -10 dB. Sets without such peaks, as noise, have no value; only the number of
    peaks sees them. Saturated peaks are not used.
    """

    title: ClassVar[str] = "Point response: resolution and sidelobes"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset()

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        own, real = (_peaks(side) for side in clutter_pair(comparison))
        note, seed, grid = law_note(comparison.candidate), comparison.seed, comparison.grid
        missing = "no isolated peak"
        # a display remap pulls peaks and clutter together, and few peaks are left
        seen = ("noise", "clutter only") if comparison.candidate.remap.invertible else ()
        axes = (("cross_range", grid.pixel_cross_range_m), ("range", grid.pixel_range_m))
        scores = [
            distance_score("peaks_per_chip_distance", "1", own.count, real.count, seed, note, seen),
        ]
        for place, (axis, spacing) in enumerate(axes):
            unit, factor = ("px", 1.0) if spacing is None else ("m", spacing)
            widths = factor * own.shape[:, place], factor * real.shape[:, place]
            ratios = own.shape[:, 2 + place], real.shape[:, 2 + place]
            lost = join_notes(note, "cut without a half-power point or minimum left out")
            scores += [
                distance_score(f"width_distance_{axis}", unit, *widths, seed, note),
                distance_score(f"sidelobe_distance_{axis}", "dB", *ratios, seed, note, headline=False),
                median_score(f"width_{axis}", unit, widths[0], seed, note, missing if not len(widths[0]) else lost),
                median_score(f"sidelobe_{axis}", "dB", ratios[0], seed, note, missing if not len(ratios[0]) else lost),
            ]
        scores.append(_mean_count(own.count, seed, note))
        return Measurement(scores, {"width_range_px": rounded(own.shape[:, 1])})


def _mean_count(count: Float[np.ndarray, " chip"], seed: int, note: str) -> Score:
    known = count[np.isfinite(count)]
    if len(known) == 0:
        reason = join_notes(note, "chips too small for a cut, or without clutter")
        return Score("peaks_per_chip", float("nan"), "1", "match", 0, note=reason)
    low, high = bootstrap(known, lambda x: x.mean(axis=1), seed)
    return Score("peaks_per_chip", float(known.mean()), "1", "match", len(known), low, high, note=note)


def _peaks(side: ClutterChips) -> Peaks:
    key = content_key(side.chips, options=("peaks", side.regions.estimated))
    return _PEAKS.get(key, lambda: _find(side))


def _find(side: ClutterChips) -> Peaks:
    count, rows = [], []
    for chip, clutter in zip(amplitude_of(side.chips), side.tiles.intensity, strict=True):
        intensity = chip**2
        if min(chip.shape) <= 2 * HALF_CUT_PX + 1 or not np.isfinite(clutter):
            count.append(np.nan)
            continue
        places = isolated_peaks(intensity, float(clutter))
        count.append(float(len(places)))
        for row, column in places:
            cuts = (
                intensity[row - HALF_CUT_PX : row + HALF_CUT_PX, column],
                intensity[row, column - HALF_CUT_PX : column + HALF_CUT_PX],
            )
            shapes = [cut_shape(cut) for cut in cuts]
            rows.append([shape.width_px for shape in shapes] + [shape.sidelobe_db for shape in shapes])
    return Peaks(np.array(count, dtype=np.float64), np.array(rows, dtype=np.float64).reshape(-1, 4))
