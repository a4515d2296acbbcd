"""Whether bright points are where the geometry, or a real chip of the same aspect, has them."""

from collections import Counter
from typing import ClassVar

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import bootstrap
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import Partners, registered_pairs
from geodiff_sar.evaluation.radar_values import MOST_CHIPS, join_notes, law_note, rounded, sampled
from geodiff_sar.evaluation.scatterers import Match, best_shift, match_centres
from geodiff_sar.evaluation.scatterers_chips import chip_centres, prior_centres, resolution_cell

PRIOR_SHIFT_PX = 3.0
"""Longest shift by which a chip is laid on its prior, pixels."""

LABELS = ("azimuth-shuffled", "class-shuffled", "noise", "clutter only")


@METRICS.register("scattering_centres")
class ScatteringCentres(Metric):
    """Share of scattering centres that a chip has in common with a real chip of its aspect, and with its prior.

    Centres: the 15 strongest local maxima of amplitude in the target region (with a margin; the middle half where no
    target is found), at most 20 dB under the strongest and at least 8 dB over the mean clutter, placed to a fraction
    of a pixel by a parabola through logarithms. After a shift of the whole chip they are assigned one to one
    (Hungarian method; Kuhn 1955) within one resolution cell (1.5 pixels where resolution or spacing is not known). F1
    = 2 matched / (centres of one + centres of the other), mean over pairs; ``level_difference``: mean absolute
    difference of the matched in dB, less their median difference, since gains differ.

    ``neighbour``: against the real chip of the same target, polarisation and depression within one degree of azimuth, shifted
    by cross-correlation of the chips. ``prior``: against the map of centres that the prior holds for the chip's pose,
    shifted by at most 3 pixels to the best agreement. At most 300 chips.

    Limits: centres scintillate within a degree, so real pairs are far from 1: compare with the real half, not with 1.
    The free shift to the prior lifts chance agreement: read it beside the row of noise. A prior goes with its chip,
    so shuffled labels leave its score as it is. A saturated peak counts once.
    """

    title: ClassVar[str] = "Scattering-centre match"
    family: ClassVar = "radar"
    sees: ClassVar[frozenset[str]] = frozenset(LABELS)

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        rows, columns, cell_note = resolution_cell(comparison.grid)
        note = join_notes(cell_note, law_note(comparison.candidate))
        near, near_details = _with_neighbours(comparison, (rows, columns), note)
        prior = _with_priors(comparison, (rows, columns), note)
        return Measurement([*near, *prior], near_details)


def _with_neighbours(comparison: Comparison, cell: tuple[float, float], note: str) -> tuple[list[Score], dict]:
    pairs = registered_pairs(comparison)
    partners = pairs.partners
    chosen = np.arange(len(partners))
    if len(chosen) > MOST_CHIPS:
        chosen = np.sort(np.random.default_rng([comparison.seed, 23]).choice(len(chosen), MOST_CHIPS, replace=False))
    note = join_notes(note, pairs.note)
    if len(chosen) == 0:
        return _scores("neighbour", [], comparison.seed, note, LABELS), {}
    own, real = _sides(comparison, partners, chosen)
    masked = own.masks is not None and real.masks is not None
    matches = [
        match_centres(first, second, cell, (float(shift[0]), float(shift[1])))
        for first, second, shift in zip(
            chip_centres(own, masked), chip_centres(real, masked), pairs.shift[chosen], strict=True
        )
    ]
    details = {"id": list(own.ids), "partner": list(real.ids), "f1": rounded(np.array([m.f1 for m in matches]))}
    return _scores("neighbour", matches, comparison.seed, note, LABELS), details


def _sides(comparison: Comparison, partners: Partners, chosen: np.ndarray) -> tuple[ChipSet, ChipSet]:
    return (
        comparison.candidate.take(partners.candidate[chosen]),
        comparison.gallery.take(partners.partner[chosen]),
    )


def _with_priors(comparison: Comparison, cell: tuple[float, float], note: str) -> list[Score]:
    few = sampled(comparison.candidate, comparison.seed)
    sees = ("noise", "clutter only")
    if all(path is None for path in few.priors):
        return _scores("prior", [], comparison.seed, join_notes(note, "the chips have no priors"), sees)
    priors = prior_centres(few)
    usable = [k for k, prior in enumerate(priors) if prior.centres is not None]
    reasons = Counter(prior.reason for prior in priors if prior.centres is None)
    note = join_notes(note, *(f"{count} chips left out: {reason}" for reason, count in reasons.items()))
    matches = []
    if usable:
        chips = few.take(usable)
        for k, centres in zip(usable, chip_centres(chips, chips.masks is not None), strict=True):
            other = priors[k].centres
            assert other is not None
            shift = best_shift(centres, other, cell, PRIOR_SHIFT_PX)
            matches.append(match_centres(centres, other, cell, shift))
    return _scores("prior", matches, comparison.seed, note, sees)


def _scores(kind: str, matches: list[Match], seed: int, note: str, sees: tuple[str, ...]) -> list[Score]:
    f1 = np.array([match.f1 for match in matches if np.isfinite(match.f1)])
    empty = len(matches) - len(f1)
    note = join_notes(note, f"{empty} pairs without any centre left out" if empty else "")
    difference = np.array([match.difference_db for match in matches if np.isfinite(match.difference_db)])
    return [
        _mean(f"f1_{kind}", "1", "higher", f1, seed, note, True, sees),
        _mean(f"level_difference_{kind}", "dB", "lower", difference, seed, note, False, ()),
    ]


def _mean(quantity, unit, direction, values, seed, note, headline, sees) -> Score:
    if len(values) == 0:
        note = note or "no pair of which both have centres"
        return Score(quantity, float("nan"), unit, direction, 0, note=note, headline=headline, sees=())
    low, high = bootstrap(values, lambda x: x.mean(axis=1), seed)
    value = float(values.mean())
    return Score(quantity, value, unit, direction, len(values), low, high, note=note, headline=headline, sees=sees)
