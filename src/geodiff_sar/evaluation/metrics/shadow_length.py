"""Length of shadows, against depression and against real chips of the same aspect."""

from typing import ClassVar

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import bootstrap, wilson
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import find_partners
from geodiff_sar.evaluation.radar_values import (
    distance_score,
    join_notes,
    law_note,
    median_score,
    rounded,
    sampled,
)
from geodiff_sar.evaluation.shadows import implied_height_m, shadow_lengths


@METRICS.register("shadow_length")
class ShadowLength(Metric):
    """Extent of the radar shadow in slant range.

    The shadow is found in the pixels, never taken from a mask: the largest part that is 4.5 dB and three spreads darker than
    the outer ring, after smoothing by a Gaussian of 2 pixels, beside the target on the far side. Its length L is the 90 %
    quantile over its rows (0 where there is none), in metres where the pixel spacing is known. Where the depression is
    known too, the implied height of the edge that casts it is h = L sin(depression): edge and end of the shadow lie on one
    ray, which is the direction of slant range (flat ground; the target's returns reach up to the edge, as a roof's do).

    Chips: at most 300 of a set. ``length`` and ``implied_height`` are medians over chips, to match the real half.
    ``length_distance`` (lower is better): Wasserstein-1 to the reference's lengths; it does not see labels.
    ``aspect_difference`` (lower is better): median of |L - L of the real chip of the same target within one degree|; it
    sees shuffled azimuths where lengths depend on aspect.

    Limits: needs to know where range grows, shadows at least 4.5 dB deep and clutter that surrounds them; smoothing makes
    lengths uncertain by a pixel or two; dim roofs count as shadow; slopes, trees and layover of neighbours bend the formula.
    """

    title: ClassVar[str] = "Shadow length"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        spacing = comparison.grid.pixel_range_m
        unit = "px" if spacing is None else "m"
        if comparison.grid.range_direction is None:
            note = "the direction of range is not known (state range_direction in dataset.toml)"
            names = ("length_distance", "aspect_difference")
            return Measurement(
                [Score(name, float("nan"), unit, "lower", 0, note=note, headline=True, sees=()) for name in names]
            )
        seed, factor = comparison.seed, spacing or 1.0
        few, reference = sampled(comparison.candidate, seed), sampled(comparison.reference, seed)
        own, real = factor * shadow_lengths(few), factor * shadow_lengths(reference)
        note = law_note(few)
        hits = int((own > 0).sum())
        low, high = wilson(hits, len(few))
        scores = [
            distance_score("length_distance", unit, own, real, seed, note),
            _same_aspect(few, comparison.gallery, own, factor, unit, seed, note),
            median_score("length", unit, own, seed, note),
            _height(few, own, spacing, seed, note),
            Score(
                "share_with_shadow",
                100.0 * hits / len(few),
                "%",
                "match",
                len(few),
                100.0 * low,
                100.0 * high,
                note=note,
            ),
        ]
        return Measurement(scores, {"id": list(few.ids), "length": rounded(own), "unit": unit})


def _height(few: ChipSet, length_m: np.ndarray, spacing: float | None, seed: int, note: str) -> Score:
    if spacing is None:
        reason = "the pixel spacing in range is not known (state pixel_range_m in dataset.toml)"
        return Score("implied_height", float("nan"), "m", "match", 0, note=reason)
    height = np.where(length_m > 0, implied_height_m(length_m, few.depression_deg), np.nan)
    return median_score("implied_height", "m", height, seed, note, "no shadow, or depression not known")


def _same_aspect(
    few: ChipSet, gallery: ChipSet, own: np.ndarray, factor: float, unit: str, seed: int, note: str
) -> Score:
    """Median absolute difference to the partner; sees shuffled azimuths as well."""
    sees = ("azimuth-shuffled", "noise", "clutter only")
    partners = find_partners(few, gallery)
    note = join_notes(note, partners.note)
    name = "aspect_difference"
    if len(partners) == 0:
        return Score(name, float("nan"), unit, "lower", 0, note=note, headline=True, sees=())
    real = factor * shadow_lengths(gallery.take(partners.partner))
    difference = np.abs(own[partners.candidate] - real)
    low, high = bootstrap(difference, lambda x: np.median(x, axis=1), seed)
    value = float(np.median(difference))
    return Score(name, value, unit, "lower", len(partners), low, high, note=note, headline=True, sees=sees)
