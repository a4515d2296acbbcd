"""Whether generated chips look real, and whether all real looks are there."""

import math

import numpy as np

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.common_subset import common_subset
from geodiff_sar.evaluation.intervals import wilson
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.neighbourhoods import NEIGHBOURS, inside


@METRICS.register("precision_recall")
class PrecisionRecall(Metric):
    """Two sides of a distance between sets: are the generated chips like real ones, and are all real looks among them.

    precision: share of generated chips that lie within the neighbourhood of at least one real chip of the reference; low
    where chips look like nothing real. recall: share of real chips that lie within the neighbourhood of at least one
    generated chip; low where looks are missing, such as azimuths or targets never shown. The neighbourhood of a chip
    reaches to its 5th nearest chip of its own set, in the feature space (Kynkaanniemi et al. 2019, eqs 1 and 2, with k = 5
    instead of 3, as Naeem et al. 2020). Unit: share, shown as 1; higher is better; the real half shows what can be reached.

    Both grow with the number of chips, so every row uses the same number of either side, drawn with the seed. 95 % interval:
    Wilson's, for the draw of the chips that are counted, with those that span the neighbourhoods held fixed.

    Limits: an outlier has a large neighbourhood, so scattered chips reach a high recall: noise-like sets can, which is why
    only precision claims to see noise (density and coverage mend this). Labels play no part: a wrong target passes.
    """

    title = "Precision and recall"
    family = "distribution"
    sees = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Precision and recall at the common number of chips."""
        reference, candidate = common_subset(comparison)
        n = len(candidate)
        if min(n, len(reference)) <= NEIGHBOURS:
            note = f"{n} chips against {len(reference)}: more than {NEIGHBOURS} of each are needed"
            names = ("precision", "recall")
            return Measurement([Score(q, math.nan, "1", "higher", n, note=note, headline=True) for q in names])
        shares: dict[str, np.ndarray] = {
            "precision": np.any(inside(candidate, reference), axis=1),
            "recall": np.any(inside(reference, candidate), axis=1),
        }
        scores = []
        for quantity, hits in shares.items():
            low, high = wilson(int(hits.sum()), len(hits))
            sees = () if quantity == "recall" else None
            note = f"k = {NEIGHBOURS}, {n} chips of either side"
            scores.append(
                Score(quantity, float(hits.mean()), "1", "higher", len(hits), low, high, "all", note, True, sees)
            )
        return Measurement(scores)
