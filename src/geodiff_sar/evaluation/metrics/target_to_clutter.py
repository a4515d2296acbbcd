"""How far the target stands out of the clutter."""

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from geodiff_sar.data.chip_set import TARGET
from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.radar_values import (
    amplitude_of,
    distance_score,
    join_notes,
    law_note,
    median_score,
    region_note,
    rounded,
)
from geodiff_sar.evaluation.speckle_chips import ClutterChips, clutter_pair


@METRICS.register("target_to_clutter")
class TargetToClutter(Metric):
    """Peak and mean target-to-clutter ratio.

    Peak: 10 log10(max I / mean clutter I), mean: 10 log10(mean I / mean clutter I), in dB, with intensity I = A^2 over the
    target and mean clutter intensity as the median over tiles of clutter (see "Looks and correlation of clutter"). Where
    chips have no masks and no target stands out, the middle half of the chip takes the target's place, and the note counts
    such chips.

    Chips: at most 300 of a set. Values: medians over chips, to match the real half. Distances (lower is better):
    Wasserstein-1, in dB, between the chips' values and those of the reference.

    Limits: a ratio within the chip, so a gain of its own for every chip does no harm; saturation at white does. The
    mean ratio depends on the outline: of a mask it includes dim roofs, of a region found in the pixels only what is
    bright. Blind to azimuth and class as labels.
    """

    title: ClassVar[str] = "Target-to-clutter ratio"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        own, real = clutter_pair(comparison)
        (peak, mean, without), (real_peak, real_mean, _) = _ratios(own), _ratios(real)
        lost = f"no target found in {without} chips: the middle half was taken" if without else ""
        note = join_notes(law_note(comparison.candidate), region_note(comparison), lost)
        seed, missing = comparison.seed, "no tile of clutter, or no signal"
        scores = [
            distance_score("peak_distance", "dB", peak, real_peak, seed, note),
            distance_score("mean_distance", "dB", mean, real_mean, seed, note),
            median_score("peak", "dB", peak, seed, note, missing),
            median_score("mean", "dB", mean, seed, note, missing),
        ]
        return Measurement(scores, {"id": list(own.chips.ids), "peak_db": rounded(peak), "mean_db": rounded(mean)})


def _ratios(side: ClutterChips) -> tuple[Float[np.ndarray, " chip"], Float[np.ndarray, " chip"], int]:
    """Peak and mean ratio of every chip, dB, and the number of chips without a target."""
    target = side.regions.codes == TARGET
    without = ~target.any(axis=(1, 2))
    height, width = target.shape[1:]
    middle = np.zeros((height, width), dtype=bool)
    middle[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    target[without] = middle
    intensity = amplitude_of(side.chips).astype(np.float64) ** 2
    # the strongest return may lie on a mask's edge
    wide = ndimage.maximum_filter(target.astype(np.uint8), (1, 3, 3)) > 0
    peak = np.where(wide, intensity, 0.0).max(axis=(1, 2))
    mean = np.where(target, intensity, 0.0).sum(axis=(1, 2)) / target.sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [10.0 * np.log10(level / side.tiles.intensity) for level in (peak, mean)]
    first, second = (np.where(np.isfinite(ratio), ratio, np.nan) for ratio in ratios)
    return first, second, int(without.sum())
