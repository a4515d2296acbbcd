"""The study as one self-contained HTML page."""

from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from geodiff_sar.evaluation.atr.accuracy import Estimate, accuracy
from geodiff_sar.evaluation.atr.figures import (
    accuracy_bars,
    azimuth_curves,
    confusion_picture,
    majority,
    shown_outcomes,
)
from geodiff_sar.evaluation.atr.settings import CLUTTER_ONLY, ON_GENERATED, ON_REAL
from geodiff_sar.evaluation.atr.study import Study
from geodiff_sar.evaluation.atr.table import gains_of


def to_html(study: Study, facts: dict[str, Any], warnings: list[str]) -> str:
    """The whole page; nothing in it refers to another file or to the network."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = (files("geodiff_sar.evaluation.atr") / "page.html.j2").read_text(encoding="utf-8")
    heads = list(study.labels.values)
    return environment.from_string(text).render(
        style=Markup((files("geodiff_sar.evaluation.report") / "style.css").read_text(encoding="utf-8")),
        subtitle=facts["real"]["folder"],
        warnings=warnings,
        sentences=_sentences(study),
        heads=heads,
        left_out=study.labels.notes,
        lines=_lines(study),
        gains=_gains(study),
        seeds=len(study.seeds),
        bars=[(head, accuracy_bars(study, head)) for head in heads],
        curves=azimuth_curves(study),
        confusions=[
            (f"{o.setting.title}, tested on {test} chips", confusion_picture(o, study.labels.values["target"], test))
            for o in shown_outcomes(study)
            for test in o.truth
        ],
        facts=_flat(facts),
    )


def _sentences(study: Study) -> list[str]:
    """What the numbers say, in words."""
    found = []
    for outcome in study.outcomes:
        if outcome.setting.experiment == CLUTTER_ONLY:
            truth = outcome.truth[ON_REAL]["target"]
            e = accuracy(outcome.guesses[ON_REAL]["target"], truth)
            found.append(
                f"Clutter alone gives {_percent(e)} of the targets away; always naming the most frequent target would be "
                f"right for {majority(truth):.1%}."
            )
    clear = [(o, e) for o, head, e in gains_of(study) if head == "target"]
    for outcome, e in clear:
        verdict = "help" if e.low > 0 else "harm" if e.high < 0 else "make no difference that could be told from chance"
        found.append(f"{outcome.setting.title}: the synthetic chips {verdict} ({_points(e)} on the target).")
    return found


def _lines(study: Study) -> list[dict[str, Any]]:
    lines = []
    for outcome in study.outcomes:
        for test in (ON_REAL, ON_GENERATED):
            if test in outcome.truth:
                cells = []
                for head, truth in outcome.truth[test].items():
                    e = accuracy(outcome.guesses[test][head], truth)
                    cells.append((f"{e.value:.1%}", f"{e.low:.1%} to {e.high:.1%}", [f"{x:.1%}" for x in e.per_seed]))
                real, synthetic = outcome.trained_on
                n = len(outcome.truth[test]["target"])
                lines.append(
                    {
                        "title": outcome.setting.title,
                        "real": real,
                        "synthetic": synthetic,
                        "test": test,
                        "n": n,
                        "cells": cells,
                    }
                )
    return lines


def _gains(study: Study) -> list[dict[str, Any]]:
    return [{"title": o.setting.title, "head": head, "text": _points(e), "n": e.n} for o, head, e in gains_of(study)]


def _percent(e: Estimate) -> str:
    return f"{e.value:.1%} (95 % interval {e.low:.1%} to {e.high:.1%})"


def _points(e: Estimate) -> str:
    return f"{100 * e.value:+.1f} points, 95 % interval {100 * e.low:+.1f} to {100 * e.high:+.1f}"


def _flat(facts: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in facts.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(value, dict):
            found += _flat(value, f"{name}: ")
        else:
            found.append((name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    return found
