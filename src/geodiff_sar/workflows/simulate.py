"""Simulate a captioned data set from 3D models, in the layout that training reads, priors included."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from geodiff_sar.core.config import write_toml
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.files import atomic_write_text, sha256_json
from geodiff_sar.core.work import run_jobs
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.data.features import save_features
from geodiff_sar.geometry.prior import ENGINE_VERSION, PriorTracer
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.sampling.sheet import contact_sheet
from geodiff_sar.workflows.prior import OUTSIDE_NOTE, SHEET_CHIPS, chip_recipe, thumbnail
from geodiff_sar.workflows.trace_checks import fitting_workers, naming
from geodiff_sar.workflows.trace_folder import claim
from geodiff_sar.workflows.tracing import Plan, TraceConfig, View, make_plan, warm_up


@dataclass(frozen=True)
class SimulateRequest:
    """What ``geodiff-sar simulate`` is asked for.

    Attributes:
        config: targets, poses, polarisations, seeds, radar.
        out: folder to fill.
        workers: poses at the same time; None is one per processor.
        overwrite: make files anew that exist.
    """

    config: TraceConfig
    out: Path
    workers: int | None = None
    overwrite: bool = False


def simulate(request: SimulateRequest) -> str:
    """Write ``metadata.jsonl``, ``chips/<id>.png`` and ``3d_features/<id>.safetensors``; returns the lines to print.

    One chip for every target, depression, azimuth, polarisation and seed. A prior belongs to a view and a
    polarisation; chips that
    differ in their seed alone share it. Started again after an interruption, it makes what is missing.
    """
    plan = make_plan(request.config)
    for target in plan.targets:
        say(target.report[0])
        for sentence in target.report[1:]:
            say(f"  {sentence}")
    poses = sha256_json([plan.config.azimuths, plan.config.depressions, plan.config.polarisations, plan.config.seeds])
    mark = {"kind": "simulate", "version": ENGINE_VERSION, "settings": plan.fingerprint, "poses": poses}
    missing = [view for view in plan.views if request.overwrite or not _complete(request, plan, view)]
    workers = fitting_workers(request.workers, len(missing), plan.pose_bytes)
    claim(request.out, mark, request.overwrite)
    write_toml(request.out / "config.toml", plan.config)
    if missing:
        warm_up(plan.radar, plan.config.prior)
    outside = 0.0
    for target in plan.targets:
        views = [view for view in missing if view.target is target]
        if not views:
            continue
        tracer = plan.tracer(target)
        for _, share in run_jobs(views, _job(request, plan, tracer), workers, target.label, "poses"):
            outside = max(outside, share)
    if outside > OUTSIDE_NOTE:
        warn(f"up to {outside:.0%} of a target's power falls beyond the chip; give the radar more pixels")
    rows = [row for view in plan.views for row in _rows(plan, view)]
    atomic_write_text(request.out / "metadata.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    _write_sheet(request, rows)
    return (
        f"{len(rows)} chips: {request.out}\nsheet: {request.out / 'contact_sheet.png'}\n"
        f"train on them: geodiff-sar train --config configs/geodiff10_mini.toml --set data.root={request.out}"
    )


def _job(request: SimulateRequest, plan: Plan, tracer: PriorTracer):
    def work(view: View) -> float:
        with naming(view.target.label, view.pose):
            return _make(request, plan, tracer, view)

    return work


def _chip_id(view: View, polarisation: str, seed: int) -> str:
    return f"{view.stem(polarisation)}_seed{seed}"


def _complete(request: SimulateRequest, plan: Plan, view: View) -> bool:
    names = plan.config.polarisations
    chips = [
        request.out / "chips" / f"{_chip_id(view, name, seed)}.png" for name in names for seed in plan.config.seeds
    ]
    priors = [request.out / "3d_features" / f"{view.stem(name)}.safetensors" for name in names]
    return all(path.is_file() for path in [*chips, *priors])


def _make(request: SimulateRequest, plan: Plan, tracer: PriorTracer, view: View) -> float:
    outside = 0.0
    for products in tracer.seeded_products(view.pose, list(plan.config.polarisations), list(plan.config.seeds)):
        outside = products.outside
        for name, chip in products.chips.items():
            recipe = chip_recipe(plan, view, name, products.seed, chip)
            path = request.out / "chips" / f"{_chip_id(view, name, products.seed)}.png"
            write_chip(path, chip.grey.astype(np.float32), recipe)
            if products.seed == plan.config.seeds[0]:
                label = {"text_label": str(plan.caption(view, name))}
                prior = replace(chip.prior, provenance={**chip.prior.provenance, **label})
                save_features(request.out / "3d_features" / f"{view.stem(name)}.safetensors", prior)
    return outside


def _rows(plan: Plan, view: View) -> list[dict[str, object]]:
    return [
        {
            "id": _chip_id(view, name, seed),
            "file_name": f"chips/{_chip_id(view, name, seed)}.png",
            "text": str(plan.caption(view, name)),
            "azimuth": view.pose.azimuth_deg,
            "depression": view.pose.depression_deg,
            "features": f"3d_features/{view.stem(name)}.safetensors",
        }
        for name in plan.config.polarisations
        for seed in plan.config.seeds
    ]


def _write_sheet(request: SimulateRequest, rows: list[dict[str, object]]) -> None:
    chosen = [rows[k] for k in np.unique(np.linspace(0, len(rows) - 1, min(SHEET_CHIPS, len(rows))).astype(int))]
    pictures = [thumbnail(request.out / str(row["file_name"])) for row in chosen]
    captions = [parse_caption(str(row["text"])) for row in chosen]
    labels = [
        f"{c.polarisation} {c.azimuth_deg:g}/{row['depression']:g} {c.target}"[: picture.shape[1] // 6]
        for c, row, picture in zip(captions, chosen, pictures, strict=True)
    ]
    contact_sheet(request.out / "contact_sheet.png", pictures, labels, 6 if len(pictures) > 6 else None)
