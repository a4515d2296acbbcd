"""Measuring every row by every metric; what was measured before is read back."""

import math
import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from geodiff_sar import __version__
from geodiff_sar.core.console import progress_bar, warn
from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import read_json, sha256_bytes, sha256_file, sha256_json, write_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import AzimuthEstimator, Comparison, FeatureSpace, Measurement, Metric, Score
from geodiff_sar.evaluation.feature_cache import cached_features
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.remembered import content_key

Results = dict[str, dict[str, Measurement]]
"""row -> metric -> measurement."""


@dataclass(frozen=True)
class Row:
    """Chips to judge: "generated" or a control; fields as in ``Comparison``."""

    name: str
    candidate: ChipSet
    gallery: ChipSet
    training: ChipSet


@dataclass(frozen=True)
class Judge:
    """What all rows have in common.

    Attributes:
        reference: real chips that every row is compared with.
        space: of the features.
        estimator: of the azimuth, or None.
        metrics: names.
        cache: folder for features and measurements, or None.
        seed: of all draws.
    """

    reference: ChipSet
    space: FeatureSpace
    estimator: AzimuthEstimator | None
    metrics: tuple[str, ...]
    cache: Path | None
    seed: int

    def measure(self, rows: list[Row]) -> tuple[Results, dict[str, Float32[np.ndarray, "chip feature"]]]:
        """All metrics of all rows, and the features of each row and of "reference"."""
        features = {row.name: self._features(row.candidate, row.name) for row in rows}
        reference = self._features(self.reference, "reference")
        common_n = min(len(self.reference), *(len(row.candidate) for row in rows))
        results: Results = {}
        with progress_bar() as bar:
            line = bar.add_task("measuring", total=len(rows) * len(self.metrics), note="")
            for row in rows:
                comparison = self._comparison(row, reference, features[row.name], common_n)
                results[row.name] = {}
                for name in self.metrics:
                    bar.update(line, note=f"{row.name}: {name}")
                    results[row.name][name] = self._measured(name, comparison)
                    bar.advance(line)
            bar.update(line, note="")
        return results, {**features, "reference": reference}

    def _features(self, chips: ChipSet, title: str) -> Float32[np.ndarray, "chip feature"]:
        return cached_features(self.space, chips, self.cache, f"features: {title}")

    def _comparison(
        self,
        row: Row,
        reference: Float32[np.ndarray, "reference feature"],
        candidate: Float32[np.ndarray, "candidate feature"],
        common_n: int,
    ) -> Comparison:
        return Comparison(
            row.name,
            row.candidate,
            self.reference,
            row.gallery,
            row.training,
            reference,
            candidate,
            self.space.name,
            None if self.estimator is None else self.estimator.predict(row.candidate.amplitude),
            common_n,
            self.reference.grid,
            self.seed,
        )

    def _measured(self, name: str, comparison: Comparison) -> Measurement:
        metric = METRICS.get(name)()
        if self.cache is None:
            return metric.measure(comparison)
        path = self.cache / "measurements" / f"{name}-{self._key(name, metric, comparison)}.json"
        if path.is_file():
            try:
                return from_json(read_json(path))
            except (FileError, KeyError, TypeError) as error:
                warn(f"{path} is damaged and is measured again ({error})")
        measurement = metric.measure(comparison)
        write_json(path, to_json(measurement))
        return measurement

    def _key(self, name: str, metric: Metric, comparison: Comparison) -> str:
        """Hash of everything that the numbers depend on."""
        estimator = "" if self.estimator is None else self.estimator.fingerprint
        sets = (comparison.candidate, comparison.reference, comparison.gallery, comparison.training)
        priors = [path and sha256_file(path) for path in comparison.candidate.priors]
        folders = {variable: _folder_content(os.environ.get(variable)) for variable in metric.variables}
        parts = [name, comparison.row, self.space.fingerprint, estimator, comparison.common_n, self.seed]
        grid = comparison.grid.model_dump(mode="json")
        return sha256_json([*parts, content_key(*sets), priors, folders, grid, evaluation_sources()])[:24]


def _folder_content(folder: str | None) -> list[list[str]] | None:
    if folder is None:
        return None
    return [[path.name, sha256_file(path)] for path in sorted(Path(folder).glob("*")) if path.is_file()]


def to_json(measurement: Measurement) -> dict[str, Any]:
    """JSON form; what is not finite becomes null."""
    scores = [{key: finite(value) for key, value in asdict(score).items()} for score in measurement.scores]
    return {"scores": scores, "details": finite(measurement.details)}


def from_json(value: dict[str, Any]) -> Measurement:
    """The inverse of ``to_json``."""
    scores = [
        Score(
            **{
                **entry,
                "sees": None if entry["sees"] is None else tuple(entry["sees"]),
                "value": math.nan if entry["value"] is None else entry["value"],
            }
        )
        for entry in value["scores"]
    ]
    return Measurement(scores, value["details"])


def finite(value: Any) -> Any:
    """The value as strict JSON: numpy numbers become Python's, what is not finite becomes None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


@lru_cache(maxsize=1)
def evaluation_sources() -> str:
    """Hash of this package's source: a number is read back only when the code that made it is unchanged."""
    files = sorted(Path(__file__).parent.rglob("*.py"))
    return sha256_bytes(__version__.encode(), *(path.read_bytes() for path in files))
