"""Normalised cross-correlation with real chips of the same aspect."""

from typing import ClassVar

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs_scores import pair_measurement
from geodiff_sar.evaluation.pairs_similarity import ncc


@METRICS.register("ncc")
class Ncc(Metric):
    """Zero-mean normalised cross-correlation with the real chip of the same aspect, mean over pairs; higher is better.

    Pearson's correlation over the pixels of a registered pair, of values as stored; 1 for chips equal up to gain and
    offset, 0 for unrelated ones. Partner: the real chip of the same target and polarisation, depression within 2
    degrees, that is nearest in azimuth and at most one degree away; never the chip itself. The judged chip is moved
    onto it to a twentieth of a pixel by the peak of their cross-correlation (at most a sixteenth of the side), and
    that border is cut off all round. At most 1,000 pairs.

    Limits: hangs on the brightest scatterers and says nothing about clutter; registration seeks the greatest correlation, so
    that unrelated chips come out a little above 0. Gain and offset of a chip do not matter.
    """

    title: ClassVar[str] = "Normalised cross-correlation"
    family: ClassVar = "paired"
    sees: ClassVar[frozenset[str]] = frozenset({"azimuth-shuffled", "class-shuffled", "noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        return pair_measurement(comparison, "ncc", "1", "higher", lambda p: ncc(p.real, p.moved))
