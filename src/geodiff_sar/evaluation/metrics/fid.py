"""Frechet distance of features."""

import math

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.common_subset import common_subset
from geodiff_sar.evaluation.frechet import frechet_distance, frechet_limit
from geodiff_sar.evaluation.metrics import METRICS

UNBIASED_FROM = 2048
LEAST, LEAST_FOR_LIMIT = 2, 12


@METRICS.register("fid")
class Fid(Metric):
    """Distance between two normal distributions, one fitted to the features of generated chips, one to those of real chips.

    fid: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)), with means m and covariances C (Heusel et al. 2017). Unit: that of
    squared features, shown as 1; lower is better; 0 for identical sets. Its expectation grows as chips get fewer (for equal
    distributions it falls as 1/n towards 0), so every row uses the same number of chips of either side, drawn with the
    seed; compare rows of this report, and nothing else. Below 2,048 chips it is marked as biased. No interval: resampling
    with repetition adds to the very bias.

    fid_infinity: the value for endless chips, from parts of 1/2 and 1/3 of the chips and a line in 1/n read at 0 (Chong and
    Forsyth 2020). Little biased where there are more chips than the space has strong directions; with fewer it is too
    large still. Its noise is larger than that of fid, and it can be below zero.

    Limits: it sees means and covariances only, not the shape of a distribution, and no labels: a wrong target or azimuth
    passes. Published FIDs are of Inception features of photographs, of 10,000 pictures or more: not to be compared.
    """

    title = "FID (Frechet distance of features)"
    family = "distribution"
    sees = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """FID at the common number of chips, and its limit."""
        reference, candidate = common_subset(comparison)
        n, width = candidate.shape
        if min(n, len(reference)) < LEAST:
            note = f"{n} chips against {len(reference)}: at least {LEAST} of each are needed"
            return Measurement(
                [
                    Score("fid", math.nan, "1", "lower", n, note=note, headline=True),
                    Score("fid_infinity", math.nan, "1", "lower", n, note=note),
                ]
            )
        bias = f"biased below 2,048 chips: n = {n}" if n < UNBIASED_FROM else f"n = {n}"
        distance = Score("fid", frechet_distance(reference, candidate), "1", "lower", n, note=bias, headline=True)
        if n < LEAST_FOR_LIMIT:
            note = f"{n} chips: at least {LEAST_FOR_LIMIT} are needed to extrapolate"
            return Measurement([distance, Score("fid_infinity", math.nan, "1", "lower", n, note=note)])
        note = f"extrapolated from n = {n // 3}, {n // 2} and {n}"
        if n < 2 * width:
            note += f"; few chips for {width} features, so it may still be too large"
        limit = frechet_limit(reference, candidate, comparison.seed)
        return Measurement([distance, Score("fid_infinity", limit, "1", "lower", n, note=note)])
