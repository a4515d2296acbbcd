"""What a study writes: numbers as JSON and CSV, tables as Markdown, pictures; and the place in the documentation."""

import csv
import io
import shutil
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from geodiff_sar import __version__
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_write_text, make_folder, read_json, read_text, sha256_json, write_json
from geodiff_sar.evaluation.judge import finite
from geodiff_sar.model.base import base_hash
from geodiff_sar.workflows.study.figures import Strip, write_errors, write_losses, write_sweeps
from geodiff_sar.workflows.study.instruments import Instruments
from geodiff_sar.workflows.study.jobs import Job
from geodiff_sar.workflows.study.kept import KeptResults
from geodiff_sar.workflows.study.making import TRAINED, all_made, chips_folder, made_chips
from geodiff_sar.workflows.study.material import PARTS, Material
from geodiff_sar.workflows.study.measuring import measured_file
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.results import RowResult
from geodiff_sar.workflows.study.tables import COLUMNS, cells_of, markdown
from geodiff_sar.workflows.study.use import read_uses

FORMAT = "geodiff-sar study 1"
PICTURES = "pictures"


def write_report(
    config: StudyConfig,
    out: Path,
    jobs: list[Job],
    material: Material,
    instruments: Instruments,
    docs: Path | None,
    kept: KeptResults | None = None,
) -> str:
    """Write ``study.json``, ``study.csv``, ``study.md``, ``pictures`` and the marked place in ``docs``; returns the lines to
    print.

    Rows are reported with the seeds that are finished; the others are named. Sweeps and losses show the rows whose chips are
    in the study's folder.
    """
    results, unfinished = finished(config, jobs, material, instruments, kept)
    if not results:
        raise DataError(
            out, "no adapter is measured yet", "at least one", "run without --only, or --only measure first"
        )
    uses = read_uses(config, material, jobs, kept)
    cells = cells_of(results, config, material, instruments)
    facts = _facts(config, material, jobs, unfinished)
    pictures = _pictures(config, out, jobs, material, instruments, results)
    here = {title: f"{PICTURES}/{path.name}" for title, path in pictures.items()}
    content = {
        "format": FORMAT,
        "facts": facts,
        "config": config.model_dump(mode="json"),
        "cells": [cell.flat() for cell in cells],
        "use": [asdict(use) for use in uses],
        "cost": [
            {"row": r.row.name, "seed": seed, **m["training"], "seconds_per_chip": m["seconds_per_chip"]}
            for r in results
            for seed, m in r.measured.items()
        ],
    }
    write_json(out / "study.json", finite(content))
    _write_csv(out / "study.csv", finite(content["cells"]))
    atomic_write_text(out / "study.md", markdown(config, facts, cells, results, uses, here))
    if docs is not None:
        there = _to_docs(config, material, docs, pictures)
        fill(docs, config.name, markdown(config, facts, cells, results, uses, there))
    lines = [
        f"tables:   {out / 'study.md'}",
        f"numbers:  {out / 'study.json'}, study.csv",
        f"pictures: {out / PICTURES}",
    ]
    return "\n".join([*lines, f"written into {docs}"] if docs is not None else lines)


def finished(
    config: StudyConfig,
    jobs: list[Job],
    material: Material,
    instruments: Instruments,
    kept: KeptResults | None = None,
) -> tuple[list[RowResult], list[str]]:
    """What is measured, by row, and in words what is not."""
    results: dict[str, RowResult] = {}
    unfinished: dict[str, list[int]] = {}
    for job in jobs:
        value = kept.measured(config, material, job) if kept is not None else None
        folder = job.folder(material.out, material.sha256)
        if value is None and (folder / TRAINED).is_file():
            chips = chips_folder(job, material, config.generate, folder)
            path = measured_file(material, config, instruments, folder, chips)
            value = read_json(path) if path.is_file() else None
        if value is None:
            unfinished.setdefault(job.row.title, []).append(job.seed)
            continue
        results.setdefault(job.row.name, RowResult(job.row, {})).measured[job.seed] = value
    words = [f"{title} (seed {', '.join(map(str, seeds))})" for title, seeds in unfinished.items()]
    return list(results.values()), words


def chips_of_rows(config: StudyConfig, jobs: list[Job], material: Material) -> dict[str, list[Path]]:
    """Folders of the chips of the rows whose use is measured, one per seed; only rows all of whose chips are there."""
    wanted = config.use.rows if config.use else ()
    found: dict[str, list[Path]] = {name: [] for name in wanted}
    for job in jobs:
        if job.row.name in found:
            folder = job.folder(material.out, material.sha256)
            if (folder / TRAINED).is_file():
                chips = chips_folder(job, material, config.generate, folder)
                if all_made(chips, len(material.views)):
                    found[job.row.name].append(chips)
    counts = Counter(job.row.name for job in jobs)
    return {name: folders for name, folders in found.items() if len(folders) == counts[name]}


def fill(path: Path, name: str, text: str) -> None:
    """Put the tables of a study between ``<!-- study:NAME -->`` and ``<!-- /study:NAME -->``.

    Raises:
        FileError: the file has no such place, or more than one.
    """
    content = read_text(path, "the documentation of the study")
    begin, end = f"<!-- study:{name} -->", f"<!-- /study:{name} -->"
    if content.count(begin) != 1 or content.count(end) != 1 or content.index(begin) > content.index(end):
        raise FileError(
            path, f"has no place for the study '{name}'", f"one line {begin}, and below it {end}", "add both"
        )
    before, after = content.split(begin)[0], content.split(end)[1]
    atomic_write_text(path, f"{before}{begin}\n\n{text}\n{end}{after}")


def _facts(config: StudyConfig, material: Material, jobs: list[Job], unfinished: list[str]) -> dict[str, Any]:
    counts = [Counter(s.caption.target for s in part) for part in (material.training, material.held_out)]
    base = jobs[0].train.base_files
    return {
        "name": config.name,
        "title": config.title,
        "split": {"protocol": material.split.protocol, "sha256": material.split.sha256},
        "chips_by_target": {name: [counts[0][name], counts[1][name]] for name in sorted(counts[0])},
        "views": {part: sum(view.part == part for view in material.views) for part in PARTS},
        "per_view": config.generate.per_view,
        "first": _first_facts(config, jobs),
        "data_sha256": material.sha256,
        "config_sha256": sha256_json(config.model_dump(mode="json")),
        "base": base.name,
        "base_hash": base_hash(base),
        "version": __version__,
        "unfinished": unfinished,
    }


def _first_facts(config: StudyConfig, jobs: list[Job]) -> dict[str, Any] | None:
    loops = [job.first.train for job in jobs if job.first is not None]
    if config.first is None or not loops:
        return None
    lengths = {f"{loop.max_steps} steps" if loop.max_steps else f"{loop.max_epochs} epochs" for loop in loops}
    targets = [target.label or target.source for target in config.first.simulate.targets]
    return {"lengths": sorted(lengths), "targets": targets, "azimuths": config.first.simulate.azimuths}


def strips_of(
    config: StudyConfig, out: Path, jobs: list[Job], material: Material, results: list[RowResult]
) -> list[Strip]:
    """The chips of the first seed of every row whose chips are in the study's folder."""
    strips = []
    for result in results:
        folder = _first_folder(out, jobs, material, result)
        if (folder / TRAINED).is_file():
            job = _first_job(jobs, result)
            chips = chips_folder(job, material, config.generate, folder)
            if all_made(chips, len(material.views)):
                made, _ = made_chips(chips, len(material.views), config.generate.per_view)
                strips.append(Strip(result.row.title, chips, made))
    return strips


def _first_job(jobs: list[Job], result: RowResult) -> Job:
    return next(job for job in jobs if job.row.name == result.row.name and job.seed == result.seeds[0])


def _first_folder(out: Path, jobs: list[Job], material: Material, result: RowResult) -> Path:
    return _first_job(jobs, result).folder(out, material.sha256)


def _pictures(
    config: StudyConfig,
    out: Path,
    jobs: list[Job],
    material: Material,
    instruments: Instruments,
    results: list[RowResult],
) -> dict[str, Path]:
    strips = strips_of(config, out, jobs, material, results)
    found = write_sweeps(out / PICTURES, material, instruments, strips) if strips else {}
    found["Error against azimuth"] = out / PICTURES / "error.png"
    write_errors(found["Error against azimuth"], material, results)
    logs = {
        result.row.title: folder
        for result in results
        if (folder := _first_folder(out, jobs, material, result) / "adapter" / "logs").is_dir()
    }
    if logs:
        found["Training loss"] = out / PICTURES / "loss.png"
        write_losses(found["Training loss"], logs)
    return found


def _to_docs(config: StudyConfig, material: Material, docs: Path, pictures: dict[str, Path]) -> dict[str, str]:
    """Copies the pictures that may be published, and gives their addresses: real chips never leave the study's folder, and of
    simulated ones the held-out sector of one target does, since every sheet has a megabyte."""
    found = {}
    sectors = [path.name for path in pictures.values() if path.name.startswith("sector_")]
    shown = ["error.png", "loss.png", *(sorted(sectors)[:1] if material.simulated else [])]
    for title, path in pictures.items():
        if path.name in shown:
            name = f"study_{config.name}_{path.name}"
            shutil.copyfile(path, make_folder(docs.parent / "images") / name)
            found[title] = f"images/{name}"
    return found


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer: csv.DictWriter[str] = csv.DictWriter(text, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        lists = {key: " ".join("" if x is None else f"{x:.6g}" for x in row[key]) for key in ("seeds", "per_seed")}
        writer.writerow({key: {**row, **lists}[key] for key in COLUMNS})
    atomic_write_text(path, text.getvalue())
