"""Kernel distance of features, over all chips and within what was asked for."""

import math
from collections.abc import Sequence

import numpy as np

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.cells import Cell, cells_by_target, cells_by_target_and_azimuth
from geodiff_sar.evaluation.kernels import cubic_kernel
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.mmd import LEAST, Discrepancy, discrepancy, mean_discrepancy, permutation_p_value

LEAST_PER_TARGET, LEAST_PER_CELL = 20, 8
PIXELS_WRONG = ("noise", "clutter only")

Grams = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Kernel matrices (N, N) of the candidate, (M, M) of the reference and (N, M) across."""


@METRICS.register("kid")
class Kid(Metric):
    """How far the generated chips as a whole are from the real ones, in a space of features: 0 is as good as other real
    chips of the same vehicles, larger is worse. It is judged without any pairing of chips.

    kid: unbiased squared maximum mean discrepancy with the kernel k(x, y) = (x.y / d + 1)^3 of features x, y of d
    numbers: mean k among generated chips + mean k among real chips - 2 mean k across (Binkowski et al. 2018, section 4).
    No unit; lower is better; it is negative about half of the time where nothing differs. All chips of both sets are used;
    the expectation does not depend on how many there are. 95 % interval: a score interval from the variance of the
    estimate with its second-order term (Chen and Qin 2010), which covers at its rate when nothing differs and when much
    does; it assumes chips drawn independently. Chips dealt evenly over azimuth, as the real half is, agree better than
    that, so their kid is mostly a little below zero.

    kid_p_value: share of random re-dealings of all chips to two sets that give at least this kid: below 0.05 the sets
    differ beyond doubt. With many chips everything differs beyond doubt; read kid for how much.

    kid ignores labels: it cannot see a T72 under the caption of a BTR70, or a wrong azimuth. kid_within_class is the mean
    of kid over targets, each against real chips of the same target; kid_within_class_and_azimuth is the mean of kid over
    cells of one target and 60 degrees of azimuth, weighted by the reference's chips: it is what judges whether the asked
    target was shown at the asked azimuth. Cells with few chips are left out, and the note says how many.

    Limits: numbers of different spaces, or different real sets, cannot be compared. What the space ignores, kid ignores.
    """

    title = "KID (kernel distance of features)"
    family = "distribution"
    sees = frozenset(PIXELS_WRONG)

    def measure(self, comparison: Comparison) -> Measurement:
        """kid, its p-value, kid of each target, and the two means within what was asked for."""
        reference, candidate = comparison.reference_features, comparison.candidate_features
        grams = (
            cubic_kernel(candidate, candidate),
            cubic_kernel(reference, reference),
            cubic_kernel(candidate, reference),
        )
        everything = Cell("all", np.arange(len(reference)), np.arange(len(candidate)))
        n = len(candidate)
        if everything.least < LEAST:
            note = f"{len(candidate)} chips against {len(reference)}: at least {LEAST} of each are needed"
            names = ("kid", "kid_within_class", "kid_within_class_and_azimuth")
            return Measurement([Score(q, math.nan, "1", "lower", n, note=note, headline=True) for q in names])
        p_value = permutation_p_value(*grams, comparison.seed)
        scores = [
            _score("kid", _of(everything, grams), n, "all", f"{len(candidate)} chips against {len(reference)}", True),
            Score("kid_p_value", p_value, "1", "higher", n, note="permutation test, 499 re-dealings"),
        ]
        targets = cells_by_target(comparison.reference, comparison.candidate)
        for cell in targets:
            if cell.least >= LEAST_PER_TARGET:
                note = f"{len(cell.candidate)} chips against {len(cell.reference)}"
                scores.append(_score("kid", _of(cell, grams), len(cell.candidate), f"target: {cell.label}", note))
        sees = ("class-shuffled", *PIXELS_WRONG)
        equal = [1.0] * len(targets)
        scores.append(_mean("kid_within_class", targets, equal, LEAST_PER_TARGET, "targets", grams, sees))
        aspects = cells_by_target_and_azimuth(comparison.reference, comparison.candidate)
        weights = [float(len(cell.reference)) for cell in aspects]
        sees = ("azimuth-shuffled", *sees)
        what = "cells of target and azimuth"
        scores.append(_mean("kid_within_class_and_azimuth", aspects, weights, LEAST_PER_CELL, what, grams, sees))
        return Measurement(scores)


def _of(cell: Cell, grams: Grams) -> Discrepancy:
    cc, rr, cr = grams
    return discrepancy(
        cc[np.ix_(cell.candidate, cell.candidate)],
        rr[np.ix_(cell.reference, cell.reference)],
        cr[np.ix_(cell.candidate, cell.reference)],
    )


def _mean(
    quantity: str,
    cells: Sequence[Cell],
    weights: Sequence[float],
    least: int,
    what: str,
    grams: Grams,
    sees: tuple[str, ...],
) -> Score:
    """Mean of kid over the cells with at least ``least`` chips on either side."""
    kept = [(cell, weight) for cell, weight in zip(cells, weights, strict=True) if cell.least >= least]
    if not kept:
        note = f"none of {len(cells)} {what} has {least} chips on either side"
        return Score(quantity, math.nan, "1", "lower", 0, note=note, headline=True, sees=sees)
    value = mean_discrepancy([_of(cell, grams) for cell, _ in kept], [weight for _, weight in kept])
    n = sum(len(cell.candidate) for cell, _ in kept)
    note = f"{len(kept)} of {len(cells)} {what}, those with {least} chips or more on either side"
    return _score(quantity, value, n, "all", note, True, sees)


def _score(
    quantity: str,
    value: Discrepancy,
    n: int,
    group: str,
    note: str,
    headline: bool = False,
    sees: tuple[str, ...] | None = None,
) -> Score:
    low, high = value.interval()
    return Score(quantity, value.value, "1", "lower", n, low, high, group, note, headline, sees)
