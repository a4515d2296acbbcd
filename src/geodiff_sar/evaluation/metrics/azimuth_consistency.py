"""Whether a chip shows the azimuth that was asked for."""

import math

import numpy as np
from jaxtyping import Bool, Float

from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.base import Comparison, Direction, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import bootstrap, wilson
from geodiff_sar.evaluation.metrics import METRICS

WITHIN_DEG = (5.0, 10.0, 20.0)
FLIP_DEG = 20.0
"""A chip is flipped when its azimuth is read within this of the opposite direction."""

BIN_DEG = 30
HEADLINES = ("median_error_deg", "share_within_10_deg")
CEILING = "the row 'real half' is what the estimator itself reaches"


@METRICS.register("azimuth_consistency")
class AzimuthConsistency(Metric):
    """Whether chips show their target at the azimuth that was asked for, as read by an estimator trained on real chips.

    The estimator never saw the chips of the real half: that row is the ceiling, and what it lacks is the estimator's own
    error. The error of a chip is the circular distance between read and requested azimuth, 0 to 180 degrees.

    median_error_deg: median of the error; degrees, lower is better, 90 by chance. share_within_5_deg, _10_deg, _20_deg:
    share of chips with an error up to that; unit 1, higher is better; chance is the bound over 180: 2.8 %, 5.6 % and 11.1 %.
    flip_share: share of chips whose error is 160 degrees or more, which look right but for front and rear (within 20 degrees
    modulo 180, and 160 or more modulo 360); unit 1, lower is better, 11.1 % by chance. Boxy vehicles are flipped often,
    by the estimator too. median_error_mod_180_deg: median of the distance on the circle of 180 degrees, which forgives the
    flip; degrees, lower is better, 45 by chance. Every number is given for all chips, per target and per 30 degrees of the
    requested azimuth. 95 % intervals: medians by the bootstrap over chips, shares by Wilson's formula.

    Limits: what the estimator cannot read on unusual pixels counts against the chip. Chips of simulated or generated
    origin may be misread for their texture alone; a low score then tells of texture. Swapped targets keep their azimuths, so
    class-shuffled rows look good. Median errors within a bin rest on few chips.
    """

    title = "Azimuth consistency"
    family = "azimuth"
    sees = frozenset({"azimuth-shuffled", "noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """All numbers for all chips, each target and each bin; details hold every chip."""
        chips, read = comparison.candidate, comparison.azimuth_deg
        known = np.isfinite(chips.azimuth_deg)
        if read is None or not known.any():
            note = "no azimuth estimator was asked for" if read is None else "no chip has a requested azimuth"
            return Measurement([_missing(quantity, note) for quantity in HEADLINES])
        requested = np.where(known, chips.azimuth_deg, 0.0)
        error = circular_distance(read, requested)
        folded = circular_distance(read, requested, period=180.0)
        unknown = f"{int((~known).sum())} chips without requested azimuth are left out" if not known.all() else ""
        scores = _scores(error[known], folded[known], "all", unknown, comparison.seed)
        groups = {f"target: {name}": np.array([t == name for t in chips.target]) for name in sorted(set(chips.target))}
        start = (requested % 360.0 // BIN_DEG * BIN_DEG).astype(int)
        groups |= {f"azimuth: {low}-{low + BIN_DEG}": start == low for low in range(0, 360, BIN_DEG)}
        for group, members in groups.items():
            chosen = members & known
            if chosen.any():
                scores += _scores(error[chosen], folded[chosen], group, "", comparison.seed)
        return Measurement(scores, _details(comparison, read, error, known))


def flipped(error_deg: Float[np.ndarray, " chip"]) -> Bool[np.ndarray, " chip"]:
    """Whether the error modulo 180 is at most FLIP_DEG while that modulo 360 is 160 or more: the same as the latter alone."""
    return error_deg >= 180.0 - FLIP_DEG


def _scores(
    error: Float[np.ndarray, " chip"], folded: Float[np.ndarray, " chip"], group: str, more: str, seed: int
) -> list[Score]:
    shares: dict[str, tuple[np.ndarray, float, Direction]] = {
        f"share_within_{bound:g}_deg": (error <= bound, bound / 180.0, "higher") for bound in WITHIN_DEG
    }
    shares["flip_share"] = (flipped(error), FLIP_DEG / 180.0, "lower")
    scores = [_median("median_error_deg", error, 90.0, group, more, seed)]
    for quantity, (hits, chance, direction) in shares.items():
        low, high = wilson(int(hits.sum()), len(hits))
        value, headline = float(hits.mean()), group == "all" and quantity in HEADLINES
        note = _note(f"{100 * chance:.1f} % by chance", more)
        scores.append(Score(quantity, value, "1", direction, len(hits), low, high, group, note, headline))
    return [*scores, _median("median_error_mod_180_deg", folded, 45.0, group, more, seed)]


def _median(
    quantity: str, values: Float[np.ndarray, " chip"], chance_deg: float, group: str, more: str, seed: int
) -> Score:
    median = float(np.median(values))
    low, high = bootstrap(values, lambda draws: np.median(draws, axis=1), seed)
    low, high = min(low, median), max(high, median)
    note = _note(f"{chance_deg:g} degrees by chance", more)
    headline = group == "all" and quantity in HEADLINES
    return Score(quantity, median, "deg", "lower", len(values), low, high, group, note, headline)


def _note(chance: str, more: str) -> str:
    return "; ".join(part for part in (chance, CEILING, more) if part)


def _missing(quantity: str, note: str) -> Score:
    unit, direction = ("deg", "lower") if quantity.endswith("error_deg") else ("1", "higher")
    return Score(quantity, math.nan, unit, direction, 0, note=note, headline=True)


def _details(
    comparison: Comparison,
    read: Float[np.ndarray, " chip"],
    error: Float[np.ndarray, " chip"],
    known: Bool[np.ndarray, " chip"],
) -> dict[str, list]:
    """Every chip with a requested azimuth, for figures."""
    chips = comparison.candidate
    places = np.flatnonzero(known)
    return {
        "ids": [chips.ids[k] for k in places],
        "target": [chips.target[k] for k in places],
        "requested_deg": chips.azimuth_deg[places].tolist(),
        "read_deg": read[places].tolist(),
        "error_deg": error[places].tolist(),
    }
