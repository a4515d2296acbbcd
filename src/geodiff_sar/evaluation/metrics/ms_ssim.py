"""Structural similarity over several scales."""

from typing import ClassVar

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import registered_pairs
from geodiff_sar.evaluation.pairs_scores import pair_measurement
from geodiff_sar.evaluation.pairs_similarity import ms_ssim, scales_for


@METRICS.register("ms_ssim")
class MsSsim(Metric):
    """Multi-scale SSIM to the real chip of the same aspect, mean over pairs; higher is better, 1 for equal chips.

    The product over scales, each half the size of the one before, of the contrast-structure term of SSIM, and of
    luminance at the coarsest, to the powers 0.0448, 0.2856, 0.3001, 0.2363, 0.1333 (Wang, Simoncelli and Bovik 2003).
    Chips too small for five scales of an 11-pixel window have fewer, with the powers scaled to sum to 1; the note
    says how many. R as for SSIM. Partner: the real chip of the same target and polarisation, depression within 2
    degrees, that is nearest in azimuth and at most one degree away; never the chip itself. The judged chip is moved
    onto it to a twentieth of a pixel by the peak of their cross-correlation (at most a sixteenth of the side), and
    that border is cut off all round. At most 1,000 pairs.

    Limits: coarse scales average speckle away, so it hangs more on outline, shadow and level than SSIM does; those of SSIM
    otherwise. Numbers of different numbers of scales cannot be compared. A negative term counts as 0.
    """

    title: ClassVar[str] = "MS-SSIM"
    family: ClassVar = "paired"
    sees: ClassVar[frozenset[str]] = frozenset({"azimuth-shuffled", "class-shuffled", "noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        pairs = registered_pairs(comparison)
        note = f"data range {pairs.data_range:.4g}, {scales_for(*pairs.real.shape[1:])} scales"
        return pair_measurement(
            comparison, "ms_ssim", "1", "higher", lambda p: ms_ssim(p.real, p.moved, p.data_range), note
        )
