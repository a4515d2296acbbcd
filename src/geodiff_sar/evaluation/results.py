"""One finished evaluation, and its numbers as JSON and CSV."""

import csv
import io
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from geodiff_sar.core.files import atomic_write_text, write_json
from geodiff_sar.evaluation.base import Score
from geodiff_sar.evaluation.judge import Results, Row, finite
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.ranking import Ranking

FORMAT = "geodiff-sar evaluation 1"


@dataclass(frozen=True)
class Evaluation:
    """Everything that a report shows.

    Attributes:
        facts: what was compared and how, as JSON: folders, counts, remap, grid, split, instruments, versions.
        warnings: sentences that the reader must not miss.
        rows: "generated" first, then the controls.
        features: of each row and of "reference", in ``space``.
        results: the numbers.
        rankings: whether they see what they claim.
        space: name of the feature space.
    """

    facts: dict[str, Any]
    warnings: list[str]
    rows: list[Row]
    features: dict[str, Float32[np.ndarray, "chip feature"]]
    results: Results
    rankings: list[Ranking]
    space: str


def score_rows(evaluation: Evaluation) -> list[dict[str, Any]]:
    """One flat dictionary per score."""
    rows = []
    for row, metrics in evaluation.results.items():
        for name, measurement in metrics.items():
            family = METRICS.get(name).family
            space = evaluation.space if family == "distribution" else None
            rows += [_flat(row, name, family, space, score) for score in measurement.scores]
    return rows


def write_numbers(evaluation: Evaluation, folder: Path) -> tuple[Path, Path]:
    """Write ``metrics.json`` and ``metrics.csv`` atomically."""
    rows = score_rows(evaluation)
    details = {
        row: {name: measurement.details for name, measurement in metrics.items()}
        for row, metrics in evaluation.results.items()
    }
    value = {
        "format": FORMAT,
        "facts": evaluation.facts,
        "warnings": evaluation.warnings,
        "scores": rows,
        "sees_what_it_claims": [asdict(ranking) for ranking in evaluation.rankings],
        "details": details,
    }
    write_json(folder / "metrics.json", finite(value))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in finite(rows))
    atomic_write_text(folder / "metrics.csv", text.getvalue())
    return folder / "metrics.json", folder / "metrics.csv"


def _flat(row: str, metric: str, family: str, space: str | None, score: Score) -> dict[str, Any]:
    values = asdict(score)
    values.pop("sees")
    return {"row": row, "family": family, "metric": metric, "space": space, **values}
