"""Whether every number sees what it claims to see, on the very chips of this report."""

import math
from dataclasses import dataclass

from geodiff_sar.evaluation.base import CONTROLS, Score
from geodiff_sar.evaluation.judge import Results
from geodiff_sar.evaluation.metrics import METRICS

GOOD = CONTROLS[0]


@dataclass(frozen=True)
class Ranking:
    """One headline number of real chips beside that of a control.

    Attributes:
        metric, quantity, control: what is compared.
        real, bad: values of "real half" and of the control.
        claimed: the metric says that it sees this control.
        worse: the control's value is worse than that of real chips.
        clearly: and their intervals do not overlap; None where one of them has no interval.
    """

    metric: str
    quantity: str
    control: str
    real: float
    bad: float
    claimed: bool
    worse: bool
    clearly: bool | None


def rank(results: Results) -> list[Ranking]:
    """Every headline score of every control row beside that of the real half."""
    rows = []
    for name, measurement in results.get(GOOD, {}).items():
        for real in measurement.scores:
            if not real.headline or real.direction == "match" or real.group != "all":
                continue
            for control in CONTROLS[1:]:
                bad = find(results, control, name, real.quantity)
                if bad is not None:
                    sees = METRICS.get(name).sees if real.sees is None else real.sees
                    rows.append(_ranking(name, control, real, bad, control in sees))
    return rows


def find(results: Results, row: str, metric: str, quantity: str, group: str = "all") -> Score | None:
    """A score, or None where there is none."""
    scores = results[row][metric].scores if metric in results.get(row, {}) else []
    return next((s for s in scores if s.quantity == quantity and s.group == group), None)


def _ranking(metric: str, control: str, real: Score, bad: Score, claimed: bool) -> Ranking:
    sign = 1.0 if real.direction == "lower" else -1.0
    worse = math.isfinite(real.value) and math.isfinite(bad.value) and sign * (bad.value - real.value) > 0
    clearly = None
    if real.low is not None and real.high is not None and bad.low is not None and bad.high is not None:
        clearly = worse and (bad.low > real.high if sign > 0 else bad.high < real.low)
    return Ranking(metric, real.quantity, control, real.value, bad.value, claimed, worse, clearly)
