"""Precision and recall that outliers do not sway."""

import math

import numpy as np

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.common_subset import common_subset
from geodiff_sar.evaluation.intervals import bootstrap, wilson
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.neighbourhoods import NEIGHBOURS, inside


@METRICS.register("density_coverage")
class DensityCoverage(Metric):
    """How thickly generated chips lie where real ones are, and how many real chips have a generated one near them.

    density: number of real neighbourhoods that a generated chip lies in, divided by k = 5, mean over generated chips: about
    1 for real chips, 0 far away from all; above 1 where chips crowd at the most common looks. coverage: share of real chips
    with at least one generated chip in their neighbourhood, which reaches to the 5th nearest real chip (Naeem et al. 2020,
    eqs 3 and 4). Only real chips span neighbourhoods, so a few odd generated chips gain nothing. Unit: 1; higher is better.
    Real chips reach the coverage that the note gives (Naeem et al. 2020, eq. 9), whatever the space.

    Every row uses the same number of chips of either side, drawn with the seed. 95 % intervals: density by the bootstrap over
    generated chips with the real ones held fixed; coverage by Wilson's formula over real chips with the generated ones and
    the radii held fixed.

    Limits: density above 1 is no virtue: read it with coverage. Labels play no part: a wrong target or azimuth passes.
    """

    title = "Density and coverage"
    family = "distribution"
    sees = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """Density and coverage at the common number of chips."""
        reference, candidate = common_subset(comparison)
        n, m = len(reference), len(candidate)
        if min(n, m) <= NEIGHBOURS:
            note = f"{m} chips against {n}: more than {NEIGHBOURS} of each are needed"
            names = ("density", "coverage")
            return Measurement([Score(q, math.nan, "1", "higher", m, note=note, headline=True) for q in names])
        within = inside(candidate, reference)
        counts = within.sum(axis=1) / NEIGHBOURS
        low, high = bootstrap(counts, lambda draws: draws.mean(axis=1), comparison.seed)
        density = float(counts.mean())
        note = f"k = {NEIGHBOURS}, {m} chips of either side; about 1 for real chips"
        thick = Score("density", density, "1", "higher", m, min(low, density), max(high, density), "all", note, True)
        covered = within.any(axis=0)
        low, high = wilson(int(covered.sum()), n)
        note = f"k = {NEIGHBOURS}, {m} chips of either side; {expected_coverage(n, m):.3f} is expected of real chips"
        return Measurement(
            [thick, Score("coverage", float(covered.mean()), "1", "higher", n, low, high, "all", note, True)]
        )


def expected_coverage(real: int, generated: int) -> float:
    """Coverage of ``generated`` chips drawn as the ``real`` ones are: 1 - (N-1)...(N-k) / ((M+N-1)...(M+N-k))."""
    k = np.arange(1, NEIGHBOURS + 1)
    return float(1.0 - np.prod((real - k) / (generated + real - k)))
