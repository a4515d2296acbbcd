"""Judge generated chips against real ones: instruments, controls, metrics, report."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from geodiff_sar import __version__
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.files import atomic_write_text, make_folder, require_writable
from geodiff_sar.data.chip_set import ChipSet, read_chip_set
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.split_file import SplitFile, parse_split
from geodiff_sar.evaluation.azimuth_network import AzimuthFit, AzimuthOptions, train_azimuth_estimator
from geodiff_sar.evaluation.base import AzimuthEstimator, FeatureSpace
from geodiff_sar.evaluation.common_remap import common_remap
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.judge import Judge, Row
from geodiff_sar.evaluation.matching import chip_facts, on_grid_of, require_comparable, with_known_azimuths
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.overlap import require_apart
from geodiff_sar.evaluation.parts import LEAST, Parts, deal
from geodiff_sar.evaluation.ranking import rank
from geodiff_sar.evaluation.report.page import to_html
from geodiff_sar.evaluation.results import Evaluation, write_numbers
from geodiff_sar.evaluation.spaces import SpaceOptions, make_space
from geodiff_sar.workflows.evaluate_options import EvaluateRequest

FEW = 50
"""Fewer chips than this in a part: the report warns that intervals are wide."""


@dataclass(frozen=True)
class Sets:
    """What was read.

    Attributes:
        real: all real chips.
        judged: those of them that generated chips are compared with; the others trained the generator.
        generated: chips to judge.
        training: real chips that the generator was trained on.
        left_out: generated chips outside the held-out sectors, which are not judged.
        split: what the report says of the split.
    """

    real: ChipSet
    judged: Bool[np.ndarray, " chip"]
    generated: ChipSet
    training: ChipSet
    left_out: int
    split: dict[str, Any] | None


def evaluate(request: EvaluateRequest) -> str:
    """Write ``report.html``, ``metrics.json`` and ``metrics.csv``; returns the lines to print.

    Started again after an interruption it goes on: networks, features and numbers are kept in the cache.

    Raises:
        GeodiffError: sets that cannot be compared, overlapping parts, missing azimuths, unknown metrics.
    """
    names = _metrics(request)
    with_azimuth = any(METRICS.get(name).family == "azimuth" for name in names)
    require_writable(request.out)
    sets = read_sets(request, with_azimuth)
    parts = deal(sets.real, sets.judged)
    cache = make_folder(request.cache or request.out / "cache")
    instruments = sets.real.take(parts.instruments, "the instruments' part of the real chips")
    options = SpaceOptions(name=request.space, weights=request.space_weights, steps=request.encoder_steps)
    space = make_space(options, instruments, cache, request.seed)
    estimator = None
    if with_azimuth:
        azimuth = AzimuthOptions(fit=AzimuthFit(steps=request.estimator_steps))
        estimator = train_azimuth_estimator(instruments, azimuth, cache, request.seed)
    rows = make_rows(sets, parts, request.seed)
    judge = Judge(sets.real.take(parts.reference, "reference"), space, estimator, names, cache, request.seed)
    results, features = judge.measure(rows)
    facts = _facts(request, sets, parts, space, estimator)
    warnings = _warnings(sets, parts)
    evaluation = Evaluation(facts, warnings, rows, features, results, rank(results), space.name)
    page = to_html(evaluation)
    make_folder(request.out)
    write_numbers(evaluation, request.out)
    atomic_write_text(request.out / "report.html", page)
    return f"report: {request.out / 'report.html'}\nnumbers: {request.out / 'metrics.json'}, metrics.csv"


def read_sets(request: EvaluateRequest, with_azimuth: bool) -> Sets:
    """Read, split, and check that everything can be compared; ``with_azimuth``: every chip needs its azimuth."""
    samples = read_samples(request.real, request.layout, classes=request.classes)
    real = _read(request, samples, f"--real {request.real}")
    made = read_samples(request.generated, request.generated_layout, classes=request.classes)
    generated = _read(request, made, f"--generated {request.generated}")
    judged, training, left_out, split = np.ones(len(real), dtype=bool), real, 0, None
    if request.split is not None:
        plan = parse_split(request.split, samples)
        test, train = set(plan.parts["test"]), set(plan.parts["train"])
        judged = np.array([identity in test for identity in real.ids])
        training = real.take(
            [k for k, identity in enumerate(real.ids) if identity in train], "the training part of --real"
        )
        split = {"protocol": plan.protocol, "sha256": plan.sha256}
        if plan.sectors is not None:
            generated, left_out = _held_out(with_known_azimuths(generated), plan)
    if request.train is not None:
        own = read_samples(request.train, request.layout, classes=request.classes)
        training = _read(request, own, f"--train {request.train}")
    if len(generated) < LEAST:
        raise DataError(
            generated.name,
            f"{len(generated)} chips to judge" + (f", and {left_out} outside the held-out sectors" if left_out else ""),
            f"at least {LEAST}: below, no interval means anything",
            "generate more chips, at held-out azimuths where there is a split",
        )
    for other in (generated, training):
        require_comparable(real, other)
    if with_azimuth:
        for chips in (real, generated):
            with_known_azimuths(chips)
    if request.split is not None or request.train is not None:
        held_out = real.take(np.flatnonzero(judged), "the judged part of --real")
        require_apart(training, held_out)
        require_apart(generated, held_out)
    return Sets(real, judged, on_grid_of(real, generated), training, left_out, split)


def _metrics(request: EvaluateRequest) -> tuple[str, ...]:
    """Names of the metrics; an unknown one, or none left, is an OptionError."""
    names = request.metrics or tuple(METRICS.names())
    kept = tuple(name for name in names if METRICS.get(name).family != "azimuth" or request.azimuth)
    if not kept:
        raise OptionError("--metrics", ", ".join(names), "with --no-azimuth, others than azimuth", "name other metrics")
    return kept


def make_rows(sets: Sets, parts: Parts, seed: int) -> list[Row]:
    """The generated chips, then every control that the real chips allow."""
    judged = set(np.flatnonzero(sets.judged).tolist())
    control = sets.real.take(parts.control, "control")
    gallery = sets.real.take(sorted(judged), "real")
    others = sets.real.take(sorted(judged - set(parts.control.tolist())), "real without the control part")
    rows = [Row("generated", sets.generated, gallery, sets.training)]
    return rows + [Row(name, chips, others, others) for name, chips in control_rows(control, seed)]


def _read(request: EvaluateRequest, samples: list, name: str) -> ChipSet:
    chips = read_chip_set(samples, name, request.crop)
    return chips if request.common_remap is None else common_remap(chips, request.common_remap)


def _held_out(generated: ChipSet, plan: SplitFile) -> tuple[ChipSet, int]:
    """Generated chips within the held-out sectors, and the number of the others: both sides show the same aspects."""
    inside = [k for k, azimuth in enumerate(generated.azimuth_deg) if plan.holds_out(float(azimuth))]
    return generated.take(inside), len(generated) - len(inside)


def _warnings(sets: Sets, parts: Parts) -> list[str]:
    found = []
    counts = {"generated": len(sets.generated), "reference": len(parts.reference), "real half": len(parts.control)}
    for name, count in counts.items():
        if count < FEW:
            found.append(
                f"Only {count} chips in '{name}': intervals are wide, and FID, recall and coverage mean little."
            )
    if not sets.real.remap.invertible:
        found.append(
            f"The remap of the chips is {sets.real.remap}: values are taken as amplitude, so speckle, clutter and contrast"
            " numbers describe the displayed values, not the radar's."
        )
    if sets.real.remap.kind == "unspecified":
        found.append(
            "No set says what its remap is: that it is the same one is taken on trust (state it in dataset.toml)."
        )
    if sets.real.masks is None:
        found.append("The real chips come without masks: target, shadow and clutter are estimated from the pixels.")
    if sets.left_out:
        found.append(
            f"{sets.left_out} generated chips outside the held-out sectors were left out: no real chip is judged there."
        )
    missing = sorted(set(sets.real.target) - set(sets.generated.target))
    if missing:
        found.append(f"No generated chip shows {', '.join(missing)}: distribution metrics count that as missing.")
    return found


def _facts(
    request: EvaluateRequest, sets: Sets, parts: Parts, space: FeatureSpace, estimator: AzimuthEstimator | None
) -> dict[str, Any]:
    height, width = sets.real.amplitude.shape[1:]
    return {
        "real": chip_facts(sets.real, request.real),
        "generated": chip_facts(sets.generated, request.generated),
        "training": chip_facts(sets.training, request.train or request.real),
        "size": f"{width} x {height} pixels",
        "remap": str(sets.real.remap),
        "common_remap": request.common_remap,
        "grid": sets.real.grid.model_dump(mode="json", exclude_none=True),
        "split": sets.split,
        "parts": {
            "instruments": len(parts.instruments),
            "reference": len(parts.reference),
            "control": len(parts.control),
            "judged": int(sets.judged.sum()),
        },
        "space": {"name": space.name, "fingerprint": space.fingerprint},
        "azimuth_estimator": None if estimator is None else estimator.fingerprint,
        "seed": request.seed,
        "version": __version__,
    }
