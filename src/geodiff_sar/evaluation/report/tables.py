"""Scores as tables: quantities down, rows of the comparison across."""

import inspect
import math
from dataclasses import dataclass

from geodiff_sar.evaluation.base import Score
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.ranking import find
from geodiff_sar.evaluation.results import Evaluation

FAMILIES = {
    "azimuth": "Azimuth consistency",
    "distribution": "Distribution",
    "paired": "Paired with real chips of the same aspect",
    "radar": "Radar",
    "memorisation": "Memorisation",
}
"""Families in the report's order."""

SUMMARY = (
    "median_error_deg",
    "share_within_10_deg",
    "kid",
    "kid_within_class_and_azimuth",
    "ssim",
    "ncc",
    "f1_neighbour",
    "log_enl_distance",
    "correlation_distance_range",
    "mean_distance",
    "aspect_difference",
    "share_of_copies",
)
"""Quantities of the first table: a few of every family, the ones that see most."""

ARROWS = {"lower": "lower is better", "higher": "higher is better", "match": "to match the real half"}


@dataclass(frozen=True)
class Cell:
    """A number as shown: value, interval, n, and the note as a tooltip."""

    value: str
    interval: str
    n: str
    note: str


@dataclass(frozen=True)
class Line:
    """One quantity of one metric in one group."""

    metric: str
    quantity: str
    unit: str
    direction: str
    group: str
    summary: bool
    cells: list[Cell | None]


@dataclass(frozen=True)
class Table:
    """All lines of a family.

    Attributes:
        family, title: which.
        columns: names of the rows of the comparison.
        headline: lines for the first look.
        rest: all other lines.
        explanations: (title, text) of each metric, from its docstring.
    """

    family: str
    title: str
    columns: list[str]
    headline: list[Line]
    rest: list[Line]
    explanations: list[tuple[str, str]]


def tables(evaluation: Evaluation) -> list[Table]:
    """One table for each family that was measured."""
    columns = list(evaluation.results)
    result = []
    for family, title in FAMILIES.items():
        names = [name for name in evaluation.results[columns[0]] if METRICS.get(name).family == family]
        lines = [line for name in names for line in _lines(evaluation, name, columns)]
        if lines:
            explanations = [(METRICS.get(name).title, inspect.getdoc(METRICS.get(name)) or "") for name in names]
            headline, rest = ([line for flag, line in lines if flag is wanted] for wanted in (True, False))
            result.append(Table(family, title, columns, headline, rest, explanations))
    return result


def number(value: float | None, unit: str = "") -> str:
    """A value with three or four significant figures; shares as per cent."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "%":
        return f"{value:.1f} %"
    size = abs(value)
    digits = (
        f"{value:.0f}"
        if size >= 1000
        else f"{value:.1f}"
        if size >= 100
        else f"{value:.2f}"
        if size >= 10
        else f"{value:.3g}"
    )
    return digits if unit in ("1", "") else f"{digits} {unit}"


def _lines(evaluation: Evaluation, metric: str, columns: list[str]) -> list[tuple[bool, Line]]:
    keys: dict[tuple[str, str], Score] = {}
    for row in columns:
        for score in evaluation.results[row].get(metric, _NOTHING).scores:
            keys.setdefault((score.group, score.quantity), score)
    return [
        (
            first.headline and group == "all" and _measured(evaluation, metric, quantity),
            Line(
                METRICS.get(metric).title,
                quantity.replace("_", " "),
                first.unit,
                ARROWS[first.direction],
                group,
                quantity in SUMMARY,
                [_cell(find(evaluation.results, row, metric, quantity, group)) for row in columns],
            ),
        )
        for (group, quantity), first in keys.items()
    ]


def _measured(evaluation: Evaluation, metric: str, quantity: str) -> bool:
    """Whether any row has a value; what could not be measured stands in the second table with its note."""
    found = (find(evaluation.results, row, metric, quantity) for row in evaluation.results)
    return any(score is not None and math.isfinite(score.value) for score in found)


def _cell(score: Score | None) -> Cell | None:
    if score is None:
        return None
    known = score.low is not None and score.high is not None and math.isfinite(score.value)
    interval = f"{number(score.low)} to {number(score.high)}" if known else ""
    return Cell(number(score.value, score.unit), interval, str(score.n), score.note)


class _Nothing:
    scores: tuple[Score, ...] = ()


_NOTHING = _Nothing()
