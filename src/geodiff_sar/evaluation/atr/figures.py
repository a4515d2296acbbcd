"""Figures of a classifier study, as ``data:`` addresses."""

import numpy as np

from geodiff_sar.evaluation.atr.accuracy import accuracy, confusion
from geodiff_sar.evaluation.atr.options import SECTOR_DEG
from geodiff_sar.evaluation.atr.settings import CLUTTER_ONLY, MIXED, ON_REAL, REAL, SYNTHETIC, TARGET_ONLY
from geodiff_sar.evaluation.atr.study import Outcome, Study
from geodiff_sar.evaluation.learning.heads import sector_of
from geodiff_sar.evaluation.report.pictures import inline_figure, new_figure

COLOURS = {
    REAL: "#2e6f95",
    SYNTHETIC: "#d1495b",
    MIXED: "#8a4f9e",
    CLUTTER_ONLY: "#66a182",
    TARGET_ONLY: "#edae49",
}
LEAST_IN_BIN = 2


def accuracy_bars(study: Study, head: str) -> str:
    """Accuracy on real test chips with its interval, one bar per setting; dots are single seeds."""
    figure = new_figure(9.0, 0.9 + 0.34 * len(study.outcomes))
    axes = figure.subplots()
    for place, outcome in enumerate(study.outcomes):
        e = accuracy(outcome.guesses[ON_REAL][head], outcome.truth[ON_REAL][head])
        error = [[e.value - e.low], [e.high - e.value]]
        axes.barh(place, e.value, color=COLOURS[outcome.setting.experiment], alpha=0.75, height=0.7)
        axes.errorbar(e.value, place, xerr=error, color="#1d2733", capsize=3, lw=1.2)
        axes.plot(e.per_seed, [place] * len(e.per_seed), "o", ms=3, color="#1d2733", alpha=0.5)
    axes.axvline(majority(study.outcomes[0].truth[ON_REAL][head]), color="#7a8794", ls="--", lw=1.0)
    axes.set_yticks(range(len(study.outcomes)), [o.setting.title for o in study.outcomes])
    axes.invert_yaxis()
    axes.set(xlim=(0, 1.0), xlabel=f"accuracy of {head} on real test chips (dashed: always the most frequent)")
    _plain(axes)
    return inline_figure(figure)


def azimuth_curves(study: Study, head: str = "target") -> str | None:
    """Accuracy in bins of azimuth; None where azimuths are not known."""
    shown = shown_outcomes(study)
    azimuth = shown[0].azimuth_deg[ON_REAL]
    if not np.isfinite(azimuth).all():
        return None
    number = sector_of(azimuth, SECTOR_DEG)
    bins = [k for k in range(round(360.0 / SECTOR_DEG)) if (number == k).sum() >= LEAST_IN_BIN]
    if not bins:
        return None
    figure = new_figure(9.0, 3.6)
    axes = figure.subplots()
    centres = np.array([(k + 0.5) * SECTOR_DEG for k in bins])
    for place, outcome in enumerate(shown):
        truth, guesses = outcome.truth[ON_REAL][head], outcome.guesses[ON_REAL][head]
        parts = [accuracy(guesses[:, number == k], truth[number == k]) for k in bins]
        values = np.array([e.value for e in parts])
        errors = [values - [e.low for e in parts], np.array([e.high for e in parts]) - values]
        colour = COLOURS[outcome.setting.experiment]
        at = centres + (place - (len(shown) - 1) / 2) * 2.5
        axes.errorbar(
            at, values, yerr=errors, fmt="o", ms=4, color=colour, lw=1.0, capsize=2, label=outcome.setting.title
        )
    axes.set(xlim=(0, 360), ylim=(0, 1.03), xticks=range(0, 361, 30), xlabel="azimuth, degrees")
    axes.set_ylabel(f"accuracy of {head}")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _plain(axes)
    return inline_figure(figure)


def confusion_picture(outcome: Outcome, names: tuple[str, ...], test: str, head: str = "target") -> str:
    """Confusion matrix as shares of each true value; numbers are counts summed over seeds."""
    counts = confusion(outcome.guesses[test][head], outcome.truth[test][head], len(names))
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.55 * len(names)
    figure = new_figure(side, side)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= 20:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if share[row, column] > 0.6 else "#1d2733"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="guessed", ylabel="true")
    return inline_figure(figure)


def shown_outcomes(study: Study) -> list[Outcome]:
    """One outcome of every experiment: the one with all real chips and the most synthetic ones."""
    best: dict[str, Outcome] = {}
    for outcome in study.outcomes:
        found = best.get(outcome.setting.experiment)
        size = (outcome.setting.fraction, outcome.setting.synthetic)
        if found is None or size > (found.setting.fraction, found.setting.synthetic):
            best[outcome.setting.experiment] = outcome
    return list(best.values())


def majority(truth: np.ndarray) -> float:
    """Accuracy of always answering the most frequent value."""
    return float(np.bincount(truth).max() / len(truth))


def _plain(axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
