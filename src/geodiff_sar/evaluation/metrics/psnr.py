"""Peak signal-to-noise ratio against real chips of the same aspect."""

from typing import ClassVar

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import registered_pairs
from geodiff_sar.evaluation.pairs_scores import pair_measurement
from geodiff_sar.evaluation.pairs_similarity import psnr


@METRICS.register("psnr")
class Psnr(Metric):
    """Peak signal-to-noise ratio to the real chip of the same aspect, dB, mean over pairs; higher is better.

    PSNR = 10 log10(R^2 / mean squared difference of values), R the largest value of the reference set, the same for
    every row (in the note). Partner: the real chip of the same target and polarisation, depression within 2 degrees,
    that is nearest in azimuth and at most one degree away; never the chip itself. The judged chip is moved onto it to
    a twentieth of a pixel by the peak of their cross-correlation (at most a sixteenth of the side), and that border
    is cut off all round. At most 1,000 pairs.

    Limits: a few bright scatterers make nearly all of the difference; values are compared as stored, so a gain of each chip's
    own counts as error, and a chip that is too dark everywhere can beat a real one. Listed because papers list it.
    """

    title: ClassVar[str] = "PSNR"
    family: ClassVar = "paired"
    sees: ClassVar[frozenset[str]] = frozenset({"azimuth-shuffled", "class-shuffled", "noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        note = f"data range {registered_pairs(comparison).data_range:.4g}"
        return pair_measurement(comparison, "psnr", "dB", "higher", lambda p: psnr(p.real, p.moved, p.data_range), note)
