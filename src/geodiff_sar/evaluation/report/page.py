"""The report as one self-contained HTML page."""

from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from geodiff_sar.evaluation.base import CONTROLS
from geodiff_sar.evaluation.ranking import Ranking
from geodiff_sar.evaluation.report.figures import FIGURES, Block
from geodiff_sar.evaluation.report.tables import tables
from geodiff_sar.evaluation.results import Evaluation

ORDER = ("samples", "azimuth", "features", "clutter", "memorisation")


@dataclass(frozen=True)
class Answer:
    """Whether one number sees one control."""

    text: str
    claimed: bool
    worse: bool


def to_html(evaluation: Evaluation) -> str:
    """The whole report; nothing in it refers to another file or to the network."""
    blocks: list[Block] = []
    for name in sorted(FIGURES.names(), key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)):
        blocks += FIGURES.get(name)(evaluation)
    facts = evaluation.facts
    columns, lines = _ranking_table(evaluation.rankings)
    return template("page.html.j2").render(
        title="SAR chips: generated against real",
        subtitle=f"{facts['generated']['folder']} against {facts['real']['folder']}",
        style=style(),
        warnings=evaluation.warnings,
        tables=tables(evaluation),
        columns=list(evaluation.results),
        blocks=blocks,
        space=evaluation.space,
        ranking_columns=columns,
        ranking_lines=lines,
        facts=_flat(facts),
    )


def template(name: str) -> Template:
    """A template of this package; what it does not get is an error, and what it prints is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((files("geodiff_sar.evaluation.report") / name).read_text(encoding="utf-8"))


def style() -> str:
    """The style sheet that all reports share."""

    return Markup((files("geodiff_sar.evaluation.report") / "style.css").read_text(encoding="utf-8"))


def _ranking_table(rankings: list[Ranking]) -> tuple[list[str], list[dict[str, Any]]]:
    columns = [name for name in CONTROLS[1:] if any(r.control == name for r in rankings)]
    by_quantity: dict[tuple[str, str], dict[str, Ranking]] = {}
    for ranking in rankings:
        by_quantity.setdefault((ranking.metric, ranking.quantity), {})[ranking.control] = ranking
    lines = [
        {
            "metric": metric,
            "quantity": quantity.replace("_", " "),
            "cells": [_answer(found[name]) if name in found else None for name in columns],
        }
        for (metric, quantity), found in by_quantity.items()
    ]
    return columns, lines


def _answer(ranking: Ranking) -> Answer:
    text = "no" if not ranking.worse else "yes" if ranking.clearly is not False else "yes, within the intervals"
    return Answer(text, ranking.claimed, ranking.worse)


def _flat(value: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, item in value.items():
        name = f"{prefix}{key.replace('_', ' ')}"
        if isinstance(item, dict):
            rows += _flat(item, f"{name}: ")
        elif item is not None:
            rows.append((name, ", ".join(str(part) for part in item) if isinstance(item, list) else str(item)))
    return rows
