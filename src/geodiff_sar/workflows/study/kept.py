"""Results kept apart from a study's folder: numbers chip by chip, small enough to be committed beside the tables.

A study of many trainings can then be made in several sittings, on a machine whose disk is emptied in between.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodiff_sar.core.files import make_folder, read_json, sha256_json, write_json
from geodiff_sar.workflows.study.jobs import Job
from geodiff_sar.workflows.study.material import Material
from geodiff_sar.workflows.study.options import StudyConfig

DIGITS = 6


@dataclass(frozen=True)
class KeptResults:
    """A folder of results, one file per adapter and one for the classifiers.

    The names hold a hash of everything that the numbers follow from by way of settings and data: chips, split, priors, base,
    training, generation and measuring. What they follow from by way of rounding (weights, trained instruments) is not in it.
    """

    folder: Path

    def measured(self, config: StudyConfig, material: Material, job: Job) -> dict[str, Any] | None:
        """Numbers of an adapter's chips; None: not kept."""
        path = self._measured(config, material, job)
        return read_json(path) if path.is_file() else None

    def keep_measured(self, config: StudyConfig, material: Material, job: Job, value: dict[str, Any]) -> None:
        """Keep the numbers of an adapter's chips."""
        write_json(self._in_folder(self._measured(config, material, job)), rounded(value))

    def uses(self, key: str) -> dict[str, Any] | None:
        """Lines of the classifiers; None: not kept."""
        path = self.folder / f"use-{key[:8]}.json"
        return read_json(path) if path.is_file() else None

    def keep_uses(self, key: str, value: dict[str, Any]) -> None:
        """Keep the lines of the classifiers."""
        write_json(self._in_folder(self.folder / f"use-{key[:8]}.json"), rounded(value))

    def _measured(self, config: StudyConfig, material: Material, job: Job) -> Path:
        name = job.folder(material.out, material.sha256).name
        return self.folder / f"{name}-{settings_key(config, material)[:8]}.json"

    def _in_folder(self, path: Path) -> Path:
        make_folder(self.folder)
        return path


def settings_key(config: StudyConfig, material: Material) -> str:
    """Hash of what all adapters of a study share after their training: views, generation, measuring."""
    generate = {key: value for key, value in config.generate.kept.items() if key != "batch_size"}
    measure = config.measure.model_dump(mode="json", exclude={"block_deg"})
    return sha256_json([generate, measure, [view.sample.id for view in material.views], material.sha256])


def rounded(value: Any) -> Any:
    """The value with six significant digits in every number that is not whole."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value
