"""A prior for every chip of a data folder, at the chip's own pose, moved onto the chip where that is asked for."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar import __version__
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.files import read_json, sha256_file, write_json
from geodiff_sar.core.work import processors, run_jobs
from geodiff_sar.data.placing import Placement
from geodiff_sar.data.readers import read_samples
from geodiff_sar.geometry.prior import ENGINE_VERSION, PriorTracer
from geodiff_sar.workflows.chip_prior_files import (
    OWN,
    alignment_of,
    find_placements,
    is_complete,
    make_files,
    prior_file,
)
from geodiff_sar.workflows.chip_prior_plan import ChipPlan, ChipPriorConfig, ChipView, make_chip_plan
from geodiff_sar.workflows.overlays import write_overlays
from geodiff_sar.workflows.prior import OUTSIDE_NOTE
from geodiff_sar.workflows.trace_checks import fitting_workers
from geodiff_sar.workflows.trace_folder import claim
from geodiff_sar.workflows.tracing import warm_up

BORDER_NOTE = 0.05
"""Share of chips at the border of the search from which on it looks too narrow."""


@dataclass(frozen=True)
class ChipPriorRequest:
    """What ``geodiff-sar chip-priors`` is asked for.

    Attributes:
        chips: data folder in any layout.
        config: targets, radar and the rest.
        out: folder to fill.
        layout: of the data folder.
        workers: poses at the same time; None is one per processor.
        overwrite: make files anew that exist.
    """

    chips: Path
    config: ChipPriorConfig
    out: Path
    layout: str = "auto"
    workers: int | None = None
    overwrite: bool = False


def make_chip_priors(request: ChipPriorRequest) -> str:
    """Write ``<chip id>.safetensors`` for every chip whose class has a target, ``manifest.json`` and ``overlays.png``.

    Returns the lines to print. Started again, it makes what is missing and what belongs to a chip that has changed.
    """
    plan = make_chip_plan(request.config, read_samples(request.chips, request.layout))
    _say_plan(plan)
    workers = fitting_workers(request.workers, len(plan.views), plan.pose_bytes)
    chips = [(sample, view) for view in plan.views for sample, _ in view.chips]
    mark = {"kind": "chip priors", "version": ENGINE_VERSION, "settings": plan.fingerprint}
    claim(request.out, mark, request.overwrite, [f"{sample.id}.safetensors" for sample, _ in chips])
    made = _trace(request, plan, [view for view in plan.views if not view.held_out], workers, {})
    placements = find_placements(request.out, plan)
    made += _trace(request, plan, [view for view in plan.views if view.held_out], workers, placements)
    entries = [
        {
            "id": sample.id,
            "target": view.target.label,
            "azimuth_deg": view.pose.azimuth_deg,
            "depression_deg": view.pose.depression_deg,
            "caption": str(sample.caption),
            "alignment": alignment_of(request.out, sample),
            "sha256": sha256_file(prior_file(request.out, sample)),
        }
        for sample, view in chips
    ]
    _write_manifest(request, plan, entries)
    write_overlays(request.out / "overlays.png", [(sample, prior_file(request.out, sample)) for sample, _ in chips])
    classes = json.dumps([target.label for target in plan.targets])
    return "\n".join(
        [
            f"{len(entries)} priors ({made} of {len(plan.views)} poses traced now): {request.out}",
            *alignment_summary(entries),
            f"look at {request.out / 'overlays.png'}: outlines of target and shadow must lie on the chips",
            f"train on them: geodiff-sar train --config configs/geodiff10_mini.toml --set data.root={request.chips}"
            f" --set data.pointcloud_dir={request.out}" + (f" --set 'data.classes={classes}'" if plan.skipped else ""),
        ]
    )


def alignment_summary(entries: list[dict[str, Any]]) -> list[str]:
    """Lines about the moves of each target's priors; a note where the search looks too narrow."""
    lines, moved = [], [entry for entry in entries if entry["alignment"] is not None]
    for target in sorted({entry["target"] for entry in moved}):
        moves = [entry["alignment"] for entry in moved if entry["target"] == target]
        rows, columns = (np.array([move[key] for move in moves]) for key in ("rows", "columns"))
        line = (
            f"{target}: moved by {np.median(np.hypot(rows, columns)):.1f} pixels in the median"
            f" ({np.median(rows):+.0f} in cross-range, {np.median(columns):+.0f} in range)"
        )
        own = [move for move in moves if move["by"] == OWN]
        if own:
            score, before = (np.median([move[key] for move in own]) for key in ("score", "unmoved_score"))
            border = float(np.mean([max(abs(move["rows"]), abs(move["columns"])) >= move["limit"] for move in own]))
            line += f", score {before:.3f} -> {score:.3f}, at the border of the search {border:.1%}"
            if border > BORDER_NOTE:
                warn(f"{target}: {border:.0%} of the priors lie at the border of the search; try a larger --align")
        if len(own) < len(moves):
            line += f"; {len(moves) - len(own)} held out, moved by what the others show"
        lines.append(line)
    return lines


def _say_plan(plan: ChipPlan) -> None:
    for target in plan.targets:
        for sentence in target.report:
            say(sentence)
    if plan.skipped:
        listed = ", ".join(f"{name} ({number})" for name, number in plan.skipped.items())
        say(f"no target for these classes, whose chips get no prior: {listed}")
    if plan.config.align is None:
        return
    laws = Counter(str(sample.remap) for view in plan.views for sample, _ in view.chips if not sample.remap.invertible)
    for law, number in laws.items():
        warn(f"the remap of {number} chips is {law}; for the alignment, values are taken as amplitude")


def _trace(
    request: ChipPriorRequest,
    plan: ChipPlan,
    views: list[ChipView],
    workers: int,
    placements: Mapping[str, Placement],
) -> int:
    """Trace the views that are not complete; returns how many that were."""
    missing = [view for view in views if request.overwrite or not is_complete(request.out, view, placements)]
    if missing:
        warm_up(missing[0].radar, plan.config.prior)
    threads = max(1, (request.workers or processors()) // max(1, len(missing)))
    outside = 0.0
    for label, radar in dict.fromkeys((view.target.label, view.radar) for view in missing):
        jobs = [view for view in missing if view.target.label == label and view.radar == radar]
        tracer = PriorTracer(jobs[0].target.mesh, radar, plan.config.prior)

        def work(view: ChipView, tracer: PriorTracer = tracer) -> float:
            return make_files(request.out, view, tracer, threads, plan.config.align, placements)

        for _, share in run_jobs(jobs, work, workers, label, "poses"):
            outside = max(outside, share)
    if outside > OUTSIDE_NOTE:
        warn(f"up to {outside:.0%} of a target's power falls beyond the chip")
    return len(missing)


def _write_manifest(request: ChipPriorRequest, plan: ChipPlan, entries: list[dict[str, Any]]) -> None:
    path, known = request.out / "manifest.json", {entry["id"] for entry in entries}
    earlier = read_json(path)["entries"] if path.is_file() else []
    kept = [e for e in earlier if e["id"] not in known and (request.out / f"{e['id']}.safetensors").is_file()]
    write_json(
        path,
        {
            "version": __version__,
            "targets": [
                {"label": t.label, "mesh_sha256": t.mesh.content_hash, "report": list(t.report)} for t in plan.targets
            ],
            "radar": plan.views[0].radar.model_dump(mode="json"),
            "prior": plan.config.prior.model_dump(mode="json"),
            "align": plan.config.align,
            "hold_out": plan.config.hold_out,
            "skipped": plan.skipped,
            "entries": sorted([*kept, *entries], key=lambda entry: entry["id"]),
        },
    )
