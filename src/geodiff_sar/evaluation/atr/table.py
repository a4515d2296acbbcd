"""The numbers of a study as flat rows, and as JSON and CSV files."""

import csv
import io
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar.core.files import atomic_write_text, write_json
from geodiff_sar.evaluation.atr.accuracy import Estimate, accuracy, confusion, gain
from geodiff_sar.evaluation.atr.options import SECTOR_DEG
from geodiff_sar.evaluation.atr.settings import MIXED, ON_REAL, REAL
from geodiff_sar.evaluation.atr.study import Outcome, Study
from geodiff_sar.evaluation.learning.heads import sector_of

FORMAT = "geodiff-sar atr 1"
COLUMNS: tuple[str, ...] = (
    "quantity", "experiment", "title", "fraction", "ratio", "real", "synthetic", "test", "head", "group",
    "value", "low", "high", "n", "per_seed",
)  # fmt: skip


def rows_of(study: Study) -> list[dict[str, Any]]:
    """One row per number: accuracies of all settings, test sets and heads, by target and by azimuth; then gains."""
    rows = []
    for outcome in study.outcomes:
        for test, truths in outcome.truth.items():
            for head, truth in truths.items():
                guesses = outcome.guesses[test][head]
                rows.append(_row("accuracy", outcome, test, head, "all", accuracy(guesses, truth)))
                for group, inside in _groups(study, outcome, test):
                    if inside.sum() > 1:
                        estimate = accuracy(guesses[:, inside], truth[inside])
                        rows.append(_row("accuracy", outcome, test, head, group, estimate))
    for outcome, head, estimate in gains_of(study):
        rows.append(_row("gain", outcome, ON_REAL, head, "all", estimate))
    return rows


def gains_of(study: Study) -> list[tuple[Outcome, str, Estimate]]:
    """Real plus synthetic minus real alone at the same fraction, for every head: paired by seed and test chip."""
    alone = {o.setting.fraction: o for o in study.outcomes if o.setting.experiment == REAL}
    found = []
    for outcome in study.outcomes:
        if outcome.setting.experiment == MIXED:
            before = alone[outcome.setting.fraction]
            for head, truth in outcome.truth[ON_REAL].items():
                estimate = gain(outcome.guesses[ON_REAL][head], before.guesses[ON_REAL][head], truth)
                found.append((outcome, head, estimate))
    return found


def confusions_of(study: Study) -> list[dict[str, Any]]:
    """Confusion matrix of every setting, test set and head, summed over seeds; rows are true values."""
    return [
        {
            "title": outcome.setting.title,
            "experiment": outcome.setting.experiment,
            "test": test,
            "head": head,
            "values": list(study.labels.values[head]),
            "counts": confusion(outcome.guesses[test][head], truth, len(study.labels.values[head])).tolist(),
        }
        for outcome in study.outcomes
        for test, truths in outcome.truth.items()
        for head, truth in truths.items()
    ]


def write_numbers(study: Study, facts: dict[str, Any], warnings: list[str], folder: Path) -> tuple[Path, Path]:
    """Write ``atr.json`` and ``atr.csv`` atomically."""
    rows = rows_of(study)
    value = {
        "format": FORMAT,
        "facts": facts,
        "warnings": warnings,
        "heads": {head: list(values) for head, values in study.labels.values.items()},
        "heads_left_out": study.labels.notes,
        "seeds": list(study.seeds),
        "scores": rows,
        "confusion": confusions_of(study),
    }
    write_json(folder / "atr.json", value)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "per_seed": " ".join(f"{x:.6g}" for x in row["per_seed"])})
    atomic_write_text(folder / "atr.csv", text.getvalue())
    return folder / "atr.json", folder / "atr.csv"


def _groups(study: Study, outcome: Outcome, test: str) -> list[tuple[str, np.ndarray]]:
    target = outcome.truth[test]["target"]
    found = [(f"target: {name}", target == k) for k, name in enumerate(study.labels.values["target"])]
    azimuth = outcome.azimuth_deg[test]
    known = np.isfinite(azimuth)
    if known.any():
        number = np.where(known, sector_of(np.where(known, azimuth, 0.0), SECTOR_DEG), -1)
        for k in range(round(360.0 / SECTOR_DEG)):
            found.append((f"azimuth: {k * SECTOR_DEG:g}-{(k + 1) * SECTOR_DEG:g}", number == k))
    return found


def _row(quantity: str, outcome: Outcome, test: str, head: str, group: str, estimate: Estimate) -> dict[str, Any]:
    setting = outcome.setting
    return {
        "quantity": quantity,
        "experiment": setting.experiment,
        "title": setting.title,
        "fraction": setting.fraction,
        "ratio": setting.ratio,
        "real": outcome.trained_on[0],
        "synthetic": outcome.trained_on[1],
        "test": test,
        "head": head,
        "group": group,
        **asdict(estimate),
    }
