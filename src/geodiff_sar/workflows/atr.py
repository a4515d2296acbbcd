"""Prove the use of generated chips by classifiers: read, split, check, train, report."""

from typing import Any

import timm
import torch

from geodiff_sar import __version__
from geodiff_sar.core.console import warn
from geodiff_sar.core.files import atomic_write_text, make_folder, require_writable
from geodiff_sar.data.chip_set import ChipSet, read_chip_set
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.split_file import parse_split
from geodiff_sar.evaluation.atr.labels import Labels, find_labels
from geodiff_sar.evaluation.atr.report import to_html
from geodiff_sar.evaluation.atr.settings import Material
from geodiff_sar.evaluation.atr.study import Study, run_study
from geodiff_sar.evaluation.atr.table import write_numbers
from geodiff_sar.evaluation.common_remap import common_remap
from geodiff_sar.evaluation.learning.augment import may_mirror
from geodiff_sar.evaluation.matching import chip_facts, on_grid_of, require_comparable
from geodiff_sar.evaluation.overlap import require_apart
from geodiff_sar.workflows.atr_options import DEFAULT_SPLIT, AtrRequest


def atr(request: AtrRequest) -> str:
    """Write ``report.html``, ``atr.json`` and ``atr.csv``; returns the lines to print.

    Started again after an interruption it goes on: finished runs, and the state of the one under way, are in the cache.

    Raises:
        GeodiffError: sets that cannot be compared, overlapping parts, too few chips, or labels that only one part has.
    """
    require_writable(request.out)
    material, split = read_material(request)
    labels = find_labels(material.training, material.test, material.generated)
    cache = make_folder(request.cache or request.out / "cache")
    study = run_study(material, labels, request.study, cache)
    warnings = [*study.notes, *_warnings(material)]
    for sentence in warnings:
        warn(sentence)
    facts = _facts(request, material, split, labels, study)
    page = to_html(study, facts, warnings)
    make_folder(request.out)
    write_numbers(study, facts, warnings, request.out)
    atomic_write_text(request.out / "report.html", page)
    return f"report: {request.out / 'report.html'}\nnumbers: {request.out / 'atr.json'}, atr.csv"


def read_material(request: AtrRequest) -> tuple[Material, dict[str, Any]]:
    """Read, split, and check that the sets belong together; also what the report says of the split."""
    samples = read_samples(request.real, request.layout, classes=request.classes)
    real = _read(request, samples, f"--real {request.real}")
    if request.test is not None:
        own = read_samples(request.test, request.layout, classes=request.classes)
        test = _read(request, own, f"--test {request.test}")
        require_comparable(real, test)
        training, split = real, {"protocol": f"a test set of its own: {request.test}", "sha256": test.fingerprint}
    else:
        plan = parse_split(request.split or DEFAULT_SPLIT, samples)
        places = {identity: k for k, identity in enumerate(real.ids)}
        training, test = (
            real.take([places[identity] for identity in plan.parts[part]], f"the {title} part of --real {request.real}")
            for part, title in (("train", "training"), ("test", "test"))
        )
        split = {"protocol": plan.protocol, "sha256": plan.sha256}
    require_apart(training, test)
    generated = None
    if request.generated is not None:
        chips = read_samples(request.generated, request.generated_layout, classes=request.classes)
        generated = _read(request, chips, f"--generated {request.generated}")
        require_comparable(real, generated)
        generated = on_grid_of(real, generated)
        require_apart(generated, test)
    return Material(training, test, generated), split


def _read(request: AtrRequest, samples: list[Sample], name: str) -> ChipSet:
    chips = read_chip_set(samples, name, request.crop)
    return chips if request.common_remap is None else common_remap(chips, request.common_remap)


def _warnings(material: Material) -> list[str]:
    found = []
    if not may_mirror(material.training):
        found.append(
            "The direction of range is not known, so no chip is mirrored in training (state it in dataset.toml)."
        )
    if material.training.masks is None:
        found.append(
            "The real chips come without masks: target and clutter of the controls are estimated from the pixels."
        )
    if material.generated is not None:
        missing = sorted(set(material.training.target) - set(material.generated.target))
        if missing:
            found.append(
                f"No generated chip shows {', '.join(missing)}: networks trained on generated chips alone cannot know it."
            )
    return found


def _facts(
    request: AtrRequest, material: Material, split: dict[str, Any], labels: Labels, study: Study
) -> dict[str, Any]:
    height, width = material.training.amplitude.shape[1:]
    generated = {} if material.generated is None else {"generated": chip_facts(material.generated, request.generated)}
    return {
        "real": chip_facts(material.training, request.real),
        "test": chip_facts(material.test, request.test or request.real),
        **generated,
        "split": split,
        "size": f"{width} x {height} pixels",
        "remap": str(material.training.remap),
        "common_remap": request.common_remap,
        "grid": material.training.grid.model_dump(mode="json", exclude_none=True),
        "mirror_images": may_mirror(material.training),
        "heads": list(labels.values),
        "study": request.study.model_dump(mode="json"),
        "runs": {"made_now": study.made, "seconds": round(study.seconds, 1), "seeds": list(study.seeds)},
        "versions": {"geodiff-sar": __version__, "torch": torch.__version__, "timm": timm.__version__},
    }
