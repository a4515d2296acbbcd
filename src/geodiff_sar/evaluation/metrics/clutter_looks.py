"""Looks, variation and correlation of clutter."""

from typing import ClassVar

import numpy as np

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.radar_values import (
    distance_score,
    join_notes,
    law_note,
    median_score,
    region_note,
    rounded,
)
from geodiff_sar.evaluation.speckle_chips import clutter_pair


@METRICS.register("clutter_looks")
class ClutterLooks(Metric):
    """Equivalent number of looks, coefficient of variation and correlation length of clutter.

    ENL = mean(I)^2 / var(I) of intensity I = A^2 (Oliver and Quegan 1998, section 4.3), and CV = std(A) / mean(A) of
    amplitude; single-look speckle without texture has ENL 1 and CV 0.523. Each is the median over half-overlapping
    tiles of clutter, a quarter of the chip's side wide (8 to 32 pixels), so that slow texture and single bright
    objects count little. The correlation length is the lag in pixels at which the autocorrelation of clutter
    amplitude falls to 1/e (white noise: 0.63); generators tend to smear speckle into blobs, and it shows here.

    Chips: at most 300 of a set. Values: the median over chips, to match the real half. Distances (lower is better):
    Wasserstein-1 between the chips' values and those of the reference, ENL as its natural logarithm.

    Limits: blind to target, class and azimuth. ENL of 8-bit chips with dark clutter is that of a few grey levels. Texture
    finer than a tile lowers ENL; so does JPEG, a little. Where the law of the values is not known, numbers are those of the
    displayed values, good for a comparison only. Noise is seen by its missing correlation, and by its ENL only where real
    clutter has texture.
    """

    title: ClassVar[str] = "Looks and correlation of clutter"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset({"noise"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        own, real = clutter_pair(comparison)
        seed = comparison.seed
        note = join_notes(law_note(comparison.candidate), region_note(comparison))
        missing = "no tile of clutter"
        with np.errstate(divide="ignore"):
            logs = np.log(own.tiles.looks), np.log(real.tiles.looks)
        scores = [
            distance_score("log_enl_distance", "1", *logs, seed, note),
            distance_score("correlation_distance_cross_range", "px", own.rows_px, real.rows_px, seed, note),
            distance_score("correlation_distance_range", "px", own.columns_px, real.columns_px, seed, note),
            median_score("enl", "1", own.tiles.looks, seed, note, missing),
            median_score("cv_amplitude", "1", own.tiles.variation, seed, note, missing),
            median_score("correlation_length_cross_range", "px", own.rows_px, seed, note, missing),
            median_score("correlation_length_range", "px", own.columns_px, seed, note, missing),
        ]
        return Measurement(scores, {"id": list(own.chips.ids), "enl": rounded(own.tiles.looks)})
