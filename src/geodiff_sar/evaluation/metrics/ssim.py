"""Structural similarity to real chips of the same aspect."""

from typing import ClassVar

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import registered_pairs
from geodiff_sar.evaluation.pairs_scores import pair_measurement
from geodiff_sar.evaluation.pairs_similarity import ssim


@METRICS.register("ssim")
class Ssim(Metric):
    """Structural similarity (SSIM) to the real chip of the same aspect, mean over pairs; higher is better, 1 for equal chips.

    SSIM = (2 m1 m2 + c1)(2 s12 + c2) / ((m1^2 + m2^2 + c1)(s1^2 + s2^2 + c2)) with local means m, variances s^2 and
    covariance s12 under a Gaussian window of 1.5 pixels, c1 = (0.01 R)^2, c2 = (0.03 R)^2 (Wang, Bovik, Sheikh and
    Simoncelli 2004). R, the data range, is the largest value of the reference set, the same for every row, and stands
    in the note. Partner: the real chip of the same target and polarisation, depression within 2 degrees, that is
    nearest in azimuth and at most one degree away; never the chip itself. The judged chip is moved onto it to a
    twentieth of a pixel by the peak of their cross-correlation (at most a sixteenth of the side), and that border is
    cut off all round. At most 1,000 pairs.

    Limits: speckle of two looks at one target is independent, so real pairs are far below 1: compare with the real
    half. Values are compared as stored, so a gain of each chip's own costs points. Most of a chip is clutter, where
    SSIM rewards smoothness: a blurred chip beats a real one. The constants weigh more the darker the chips are,
    compared with R.
    """

    title: ClassVar[str] = "SSIM"
    family: ClassVar = "paired"
    sees: ClassVar[frozenset[str]] = frozenset({"azimuth-shuffled", "class-shuffled", "noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        note = f"data range {registered_pairs(comparison).data_range:.4g}"
        return pair_measurement(comparison, "ssim", "1", "higher", lambda p: ssim(p.real, p.moved, p.data_range), note)
