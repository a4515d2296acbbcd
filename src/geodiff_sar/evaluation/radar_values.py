"""Values of single chips, and how far those of two sets are apart: what the radar metrics have in common."""

import numpy as np
from jaxtyping import Float, Float32

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import Comparison, Score
from geodiff_sar.evaluation.grey_levels import spread_levels
from geodiff_sar.evaluation.intervals import bootstrap

MOST_CHIPS = 300
"""Chips of a set that the radar metrics look at; drawn at random from a larger one."""

DRAWS = 400
"""Resamples for the interval of a distance."""

LEVELS = 256
"""Quantiles on which a distance between distributions is computed."""


def amplitude_of(chips: ChipSet) -> Float32[np.ndarray, "chip height width"]:
    """Amplitude up to a factor; the values themselves where their law is not known (see ``law_note``)."""
    return chips.remap.to_amplitude(chips.amplitude) if chips.remap.invertible else chips.amplitude


def spread_amplitude_of(chips: ChipSet, seed: int) -> Float32[np.ndarray, "chip height width"]:
    """As ``amplitude_of``, with whole grey levels spread over their cells, see ``spread_levels``."""
    spread = spread_levels(chips.amplitude, np.random.default_rng([seed, 53]))
    return chips.remap.to_amplitude(spread) if chips.remap.invertible else spread


def law_note(chips: ChipSet) -> str:
    """What the reader must know where amplitude cannot be had; empty where it can."""
    if chips.remap.invertible:
        return ""
    return f"the law of the values is {chips.remap}: this is of the displayed values, not of amplitude"


def sampled(chips: ChipSet, seed: int, most: int = MOST_CHIPS) -> ChipSet:
    """At most ``most`` chips, drawn without replacement, in their order."""
    if len(chips) <= most:
        return chips
    chosen = np.random.default_rng([seed, 7]).choice(len(chips), most, replace=False)
    return chips.take(np.sort(chosen))


def both_masked(comparison: Comparison) -> bool:
    """Whether candidate and reference have masks: regions of both are found in one way."""
    return comparison.candidate.masks is not None and comparison.reference.masks is not None


def region_note(comparison: Comparison) -> str:
    """How regions were found."""
    return "" if both_masked(comparison) else "regions are found in the pixels (one of the sets has no masks)"


def join_notes(*notes: str) -> str:
    """Notes that say something, as one."""
    return "; ".join(note for note in notes if note)


def distance_between(
    first: Float[np.ndarray, " first"], second: Float[np.ndarray, " second"], seed: int
) -> tuple[float, float, float]:
    """Wasserstein-1 distance of two samples, and its interval.

    The mean absolute difference of 256 quantiles each. The interval is the value plus and minus 1.96 standard
    deviations over resamples of both (Efron and Tibshirani 1993, section 13.2), for resampling itself pushes distances
    of equal sets up and a percentile interval would lie above the value.
    """
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    value = float(np.abs(np.quantile(first, levels) - np.quantile(second, levels)).mean())
    rng = np.random.default_rng([seed, 96])
    drawn = [np.sort(x[rng.integers(0, len(x), (DRAWS, len(x)))], axis=1) for x in (first, second)]
    quantiles = [x[:, np.minimum((levels * x.shape[1]).astype(int), x.shape[1] - 1)] for x in drawn]
    half = 1.96 * float(np.abs(quantiles[0] - quantiles[1]).mean(axis=1).std())
    return value, max(0.0, value - half), value + half


def median_score(
    quantity: str, unit: str, values: Float[np.ndarray, " chip"], seed: int, note: str = "", missing: str = ""
) -> Score:
    """Median over chips to be matched, with its bootstrap interval; ``missing`` says why values are NaN."""
    finite = values[np.isfinite(values)]
    note = join_notes(note, f"{len(values) - len(finite)} left out: {missing}" if len(finite) < len(values) else "")
    if len(finite) == 0:
        return Score(quantity, float("nan"), unit, "match", 0, note=note or missing)
    low, high = bootstrap(finite, lambda x: np.median(x, axis=1), seed)
    return Score(quantity, float(np.median(finite)), unit, "match", len(finite), low, high, note=note)


def distance_score(
    quantity: str,
    unit: str,
    candidate: Float[np.ndarray, " first"],
    reference: Float[np.ndarray, " second"],
    seed: int,
    note: str = "",
    sees: tuple[str, ...] | None = None,
    headline: bool = True,
) -> Score:
    """How far the values of the candidate's chips are from those of the reference's; lower is better."""
    first, second = candidate[np.isfinite(candidate)], reference[np.isfinite(reference)]
    if len(first) == 0 or len(second) == 0:
        which = "candidate" if len(first) == 0 else "reference"
        note = join_notes(note, f"no chip of the {which} has a value")
        return Score(quantity, float("nan"), unit, "lower", 0, note=note, headline=headline, sees=())
    value, low, high = distance_between(first, second, seed)
    return Score(quantity, value, unit, "lower", len(first), low, high, note=note, headline=headline, sees=sees)


def rounded(values: Float[np.ndarray, " chip"]) -> list[float]:
    """Values for the details of a measurement."""
    return [float(f"{value:.5g}") for value in values]
