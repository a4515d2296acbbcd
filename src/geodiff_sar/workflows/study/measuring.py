"""The numbers of one adapter's chips, chip by chip, so that rows can be compared view by view."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar import __version__
from geodiff_sar.core.files import read_json, sha256_json, write_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.data.readers import read_samples
from geodiff_sar.evaluation.base import Measurement
from geodiff_sar.evaluation.judge import Row, evaluation_sources, finite
from geodiff_sar.evaluation.kid_values import kid_values
from geodiff_sar.evaluation.matching import on_grid_of, require_comparable
from geodiff_sar.workflows.study.instruments import Instruments
from geodiff_sar.workflows.study.jobs import Job
from geodiff_sar.workflows.study.making import TRAINED, Made, made_chips
from geodiff_sar.workflows.study.material import PARTS, Material, Part
from geodiff_sar.workflows.study.memory import NEAR_SHARE, memory_values
from geodiff_sar.workflows.study.options import StudyConfig


def measure_chips(
    job: Job, material: Material, config: StudyConfig, instruments: Instruments, folder: Path, chips: Path
) -> dict[str, Any]:
    """Values of every chip, read back if nothing changed that they depend on; kept in ``measured-<key>.json``.

    For each of "held out" and "trained": ``view`` and ``copy`` of every chip, and one list per quantity with null where it
    cannot be measured; ``scores`` are those numbers that belong to all held-out chips together.
    """
    made, seconds = made_chips(chips, len(material.views), config.generate.per_view)
    path = measured_file(material, config, instruments, folder, chips)
    if path.is_file():
        return read_json(path)
    result: dict[str, Any] = {
        "row": job.row.name,
        "seed": job.seed,
        "training": read_json(folder / TRAINED),
        "seconds_per_chip": seconds,
        "chips": chips.name,
    }
    for part in PARTS:
        chosen = [entry for entry in made if material.views[entry.view].part == part]
        if chosen:
            result[part] = _measure(job, material, instruments, chips, chosen, part)
    write_json(path, finite(result))
    return read_json(path)


def measured_file(material: Material, config: StudyConfig, instruments: Instruments, folder: Path, chips: Path) -> Path:
    """Where the numbers of these chips under these instruments are kept."""
    key = [chips.name, material.sha256, instruments.space.fingerprint, instruments.estimator.fingerprint]
    settings = config.measure.model_dump(mode="json", exclude={"block_deg"})
    digest = sha256_json([*key, settings, NEAR_SHARE, evaluation_sources(), __version__])
    return folder / f"measured-{digest[:8]}.json"


def generated_set(material: Material, instruments: Instruments, chips: Path, made: list[Made], name: str) -> ChipSet:
    """Generated chips in the order of ``made``, named by view and copy, beside the prior of their view.

    Raises:
        DataError: chips that cannot be compared with the real ones.
    """
    samples = {sample.image_path: sample for sample in read_samples(chips, "recipes")}
    named = [
        replace(
            samples[entry.path],
            id=f"{material.views[entry.view].sample.id} ({entry.copy})",
            prior_path=material.views[entry.view].sample.prior_path,
        )
        for entry in made
    ]
    found = instruments.read(named, name)
    require_comparable(instruments.held_out, found)
    return on_grid_of(instruments.held_out, found)


def _measure(
    job: Job, material: Material, instruments: Instruments, chips: Path, made: list[Made], part: Part
) -> dict[str, Any]:
    candidate = generated_set(material, instruments, chips, made, f"{job.title}, {part}")
    held_out = part == "held out"
    judge = instruments.held_out_judge if held_out else instruments.trained_judge
    gallery = instruments.held_out if held_out else instruments.training
    results, features = judge.measure([Row("generated", candidate, gallery, instruments.training)])
    found = results["generated"]
    azimuth = found["azimuth_consistency"].details
    values: dict[str, Any] = {
        "view": [entry.view for entry in made],
        "copy": [entry.copy for entry in made],
        "read_deg": azimuth["read_deg"],
        "error_deg": azimuth["error_deg"],
        "ssim": _aligned(candidate, found["ssim"], "value"),
        "ncc": _aligned(candidate, found["ncc"], "value"),
        **memory_values(found["memorisation"].details),
    }
    if held_out:
        values["centres"] = _aligned(candidate, found["scattering_centres"], "f1")
        values["kid"] = kid_values(features["generated"], features["reference"]).tolist()
        values["scores"] = {
            score.quantity: [score.value, score.low, score.high]
            for name in ("kid", "scattering_centres")
            for score in found[name].scores
            if score.group == "all"
        }
    return values


def _aligned(chips: ChipSet, measurement: Measurement, key: str) -> list[float]:
    """Values of a metric that pairs chips, one per chip of the set; NaN for those without a partner."""
    details = measurement.details
    known = dict(zip(details["id"], details[key], strict=True)) if details else {}
    return [np.nan if known.get(identity) is None else float(known[identity]) for identity in chips.ids]
