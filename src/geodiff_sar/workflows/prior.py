"""Trace one target at many poses: a prior file and a chip for each, a manifest, a contact sheet."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar import __version__
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json, sha256_file, write_json
from geodiff_sar.core.work import processors, run_jobs
from geodiff_sar.data.caption import format_azimuth
from geodiff_sar.data.features import save_features
from geodiff_sar.data.image import load_chip
from geodiff_sar.geometry.cloud import SarPointCloud
from geodiff_sar.geometry.prior import ENGINE_VERSION, ChipProduct, PriorTracer
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.sampling.sheet import brightened, contact_sheet
from geodiff_sar.workflows.trace_checks import fitting_workers, naming
from geodiff_sar.workflows.trace_folder import claim
from geodiff_sar.workflows.tracing import Plan, TraceConfig, View, make_plan, warm_up

FORMATS = ("safetensors", "pt", "npy")
SHEET_CHIPS, SHEET_SIDE = 36, 512
OUTSIDE_NOTE = 0.02


@dataclass(frozen=True)
class PriorRequest:
    """What ``geodiff-sar prior`` is asked for.

    Attributes:
        config: target, poses, radar and the rest; one target, one seed.
        out: folder to fill.
        formats: endings of the prior files, one or more of FORMATS.
        workers: poses at the same time; None is one per processor.
        overwrite: make files anew that exist.
    """

    config: TraceConfig
    out: Path
    formats: tuple[str, ...] = ("safetensors",)
    workers: int | None = None
    overwrite: bool = False


def make_priors(request: PriorRequest) -> str:
    """Write ``<id>.safetensors`` per pose and polarisation, ``chips/<id>.png``, ``manifest.json`` and ``contact_sheet.png``.

    Returns the lines to print. Started again after an interruption, it makes what is missing; the files are the same
    whatever the number of workers.
    """
    unknown = [name for name in request.formats if name not in FORMATS]
    if unknown or not request.formats:
        raise OptionError(
            "--format", ", ".join(unknown) or "none", f"one or more of {', '.join(FORMATS)}", "choose among these"
        )
    if len(set(request.formats)) != len(request.formats):
        raise OptionError("--format", ", ".join(request.formats), "every format once", "remove the repeated ones")
    plan = make_plan(request.config)
    for sentence in plan.targets[0].report:
        say(sentence)
    mark = {"kind": "prior", "version": ENGINE_VERSION, "seed": plan.config.seeds[0], "settings": plan.fingerprint}
    missing = [view for view in plan.views if request.overwrite or not _complete(request, plan, view)]
    workers = fitting_workers(request.workers, len(missing), plan.pose_bytes)
    claim(request.out, mark, request.overwrite)
    if missing:
        warm_up(plan.radar, plan.config.prior)
        tracer = plan.tracer(plan.targets[0])
        threads = max(1, (request.workers or processors()) // len(missing))
        jobs = run_jobs(missing, lambda view: _make(request, plan, tracer, view, threads), workers, "tracing", "poses")
        outside = max(share for _, share in jobs)
        if outside > OUTSIDE_NOTE:
            warn(
                f"up to {outside:.0%} of the target's power falls beyond the chip of {plan.radar.rows} x"
                f" {plan.radar.columns} pixels; more pixels: --radar-set rows=... --radar-set columns=..."
            )
    else:
        say("every pose is there already")
    _write_manifest(request, plan)
    _write_sheet(request, plan)
    made = f"{len(plan.views) * len(plan.config.polarisations)} priors ({len(missing)} of {len(plan.views)} poses traced now)"
    return f"{made}: {request.out}\nmanifest: {request.out / 'manifest.json'}\nsheet:    {request.out / 'contact_sheet.png'}"


def cloud_tensors(cloud: SarPointCloud) -> dict[str, np.ndarray]:
    """The whole SAR point cloud as tensors for a prior file; see docs/formats.md."""
    amplitude = np.stack([np.real(cloud.amplitude), np.imag(cloud.amplitude)], axis=-1)
    return {
        "cloud_position": cloud.position,
        "cloud_amplitude": amplitude.astype(np.float32),
        "cloud_power": cloud.power,
        "cloud_order": cloud.order,
        "cloud_normal": cloud.normal,
        "cloud_cos_incidence": cloud.cos_incidence,
        "cloud_count": cloud.count,
    }


def chip_recipe(plan: Plan, view: View, polarisation: str, seed: int, chip: ChipProduct) -> dict[str, Any]:
    """What a simulated PNG says about itself."""
    return {
        "kind": "simulated",
        "caption": str(plan.caption(view, polarisation)),
        "pose": asdict(view.pose),
        "radar": plan.radar.model_dump(mode="json"),
        "polarisation": polarisation,
        "seed": seed,
        "remap": chip.remap,
        "mesh_sha256": view.target.mesh.content_hash,
        "settings_sha256": plan.fingerprint,
        "version": __version__,
    }


def thumbnail(path: Path) -> np.ndarray:
    """A chip for the contact sheet: square root of its grey levels, blocks averaged where it is large."""
    chip = load_chip(path)
    step = -(-max(chip.shape) // SHEET_SIDE)
    rows, columns = (size // step for size in chip.shape)
    blocks = chip[: rows * step, : columns * step].reshape(rows, step, columns, step)
    return brightened(blocks.mean(axis=(1, 3)))


def _files(request: PriorRequest, stem: str) -> list[Path]:
    return [request.out / "chips" / f"{stem}.png", *(request.out / f"{stem}.{name}" for name in request.formats)]


def _complete(request: PriorRequest, plan: Plan, view: View) -> bool:
    return all(path.is_file() for name in plan.config.polarisations for path in _files(request, view.stem(name)))


def _make(request: PriorRequest, plan: Plan, tracer: PriorTracer, view: View, threads: int) -> float:
    """Trace one pose and write its files; returns the share of power beyond the chip."""
    seed = plan.config.seeds[0]
    with naming(view.target.label, view.pose):
        products = tracer.products(view.pose, list(plan.config.polarisations), seed, threads)
    for name, chip in products.chips.items():
        stem = view.stem(name)
        prior = replace(
            chip.prior,
            provenance={
                **chip.prior.provenance,
                "text_label": str(plan.caption(view, name)),
                "outside": products.outside,
            },
        )
        write_chip(
            request.out / "chips" / f"{stem}.png",
            chip.grey.astype(np.float32),
            chip_recipe(plan, view, name, seed, chip),
        )
        for ending in request.formats:
            save_features(request.out / f"{stem}.{ending}", prior, cloud_tensors(products.cloud))
    return products.outside


def _earlier_entries(request: PriorRequest, ids: set[str]) -> list[dict[str, Any]]:
    """Entries of the folder's manifest for poses that were made before and are not asked for now."""
    path = request.out / "manifest.json"
    if not path.is_file():
        return []
    try:
        entries = read_json(path)["entries"]
        return [e for e in entries if e["id"] not in ids and all((request.out / name).is_file() for name in e["files"])]
    except (FileError, KeyError, TypeError):
        warn(f"{path} is damaged; it is written anew with the poses that are asked for now")
        return []


def _write_manifest(request: PriorRequest, plan: Plan) -> None:
    target = plan.targets[0]
    entries = []
    for view in plan.views:
        for name in plan.config.polarisations:
            stem = view.stem(name)
            entries.append(
                {
                    "id": stem,
                    "azimuth_deg": view.pose.azimuth_deg,
                    "depression_deg": view.pose.depression_deg,
                    "polarisation": name,
                    "caption": str(plan.caption(view, name)),
                    "files": {str(p.relative_to(request.out)): sha256_file(p) for p in _files(request, stem)},
                }
            )
    write_json(
        request.out / "manifest.json",
        {
            "version": __version__,
            "target": target.label,
            "mesh": {
                "sha256": target.mesh.content_hash,
                "triangles": len(target.mesh.faces),
                "parts": list(target.mesh.parts),
                "report": list(target.report),
            },
            "radar": plan.radar.model_dump(mode="json"),
            "prior": plan.config.prior.model_dump(mode="json"),
            "seed": plan.config.seeds[0],
            "entries": [*_earlier_entries(request, {entry["id"] for entry in entries}), *entries],
        },
    )


def _write_sheet(request: PriorRequest, plan: Plan) -> None:
    """Square roots of the amplitudes, evenly chosen when there are many."""
    names = [(view, name) for view in plan.views for name in plan.config.polarisations]
    chosen = [names[k] for k in np.unique(np.linspace(0, len(names) - 1, min(SHEET_CHIPS, len(names))).astype(int))]
    pictures = [thumbnail(request.out / "chips" / f"{view.stem(name)}.png") for view, name in chosen]
    labels = [f"{name} {format_azimuth(view.pose.azimuth_deg)}/{view.pose.depression_deg:g}" for view, name in chosen]
    contact_sheet(request.out / "contact_sheet.png", pictures, labels, 6 if len(pictures) > 6 else None)
