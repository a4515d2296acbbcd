"""Generate chips and write them with their recipes; regenerate a chip from its recipe."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import require_writable, sha256_file
from geodiff_sar.data.caption import format_azimuth
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.sampling.prompts import Prompt
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.sampling.sheet import contact_sheet, sweep_gif
from geodiff_sar.workflows.generation.jobs import Job, build_job, build_jobs
from geodiff_sar.workflows.generation.options import GenerateRequest, check_options
from geodiff_sar.workflows.generation.recipe import ChipRecipe, check_same, make_recipe
from geodiff_sar.workflows.generation.session import Session, open_session


def generate_chips(request: GenerateRequest) -> list[Path]:
    """Generate and write chips; returns their paths in the order of the prompts (azimuths, then seeds, innermost).

    Raises:
        GeodiffError: any mistake in options, files or prompts, before anything is generated or written.
    """
    require_writable(request.output_dir)
    if request.source is not None:
        return [regenerate(request)]
    check_options(request)
    session = open_session(request)
    jobs = build_jobs(request, session)
    paths = picture_names(request, jobs)
    session.encode(job.request for job in jobs)
    finished: dict[int, np.ndarray] = {}
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.group, []).append(number)
    with progress_bar() as bar:
        line = bar.add_task("generating", total=len(jobs), note="")
        for members in groups.values():
            for start in range(0, len(members), request.batch_size):
                batch = members[start : start + request.batch_size]
                amplitudes = run_jobs(session, [jobs[number] for number in batch], request.solver)
                for place, (number, amplitude) in enumerate(zip(batch, amplitudes, strict=True)):
                    recipe = make_recipe(request, session, jobs[number], amplitude, len(batch), place)
                    write_chip(paths[number], amplitude, recipe, request.rgb)
                    finished[number] = to_grey8(amplitude)
                    bar.advance(line)
    write_extras(request, jobs, [finished[number] for number in range(len(jobs))])
    return paths


def regenerate(request: GenerateRequest) -> Path:
    """Make a chip again from the recipe inside its PNG, bit for bit on the machine that made it.

    The chip is put at its old place in a batch of the old size (the others are copies of it) with the old number of
    threads, since the order of additions inside matrix products depends on these.

    Raises:
        FileError: a file of the recipe has changed or is gone.
        DataError: the pixels came out different.
    """
    assert request.source is not None
    _check_alone(request)
    content = read_recipe(request.source)
    if content.get("kind") != "chip":
        raise FileError(
            request.source, f"holds a recipe of kind {content.get('kind')!r}", "a generated chip", "give one"
        )
    recipe = parse_options(ChipRecipe, content, f"recipe in {request.source}")
    for name, entry in recipe.files.items():
        path = Path(entry.path)
        if not path.is_file():
            raise FileError(
                path, f"no such file ({name} of the recipe)", "the files of the recipe are in place", "restore it"
            )
        if sha256_file(path) != entry.sha256:
            raise FileError(path, f"has changed ({name} of the recipe)", f"sha256 {entry.sha256[:12]}", "restore it")
    options = {**recipe.request, "output_dir": request.output_dir, "overwrite": request.overwrite}
    old = parse_options(GenerateRequest, options, f"recipe in {request.source}")
    path = request.output_dir / request.source.name
    if path.exists() and not request.overwrite:
        raise OptionError(
            "--output_dir", f"{path} exists", "pictures are not overwritten", "choose a folder, or --overwrite"
        )
    torch.set_num_threads(recipe.threads)
    session = open_session(old)
    if session.base.hash != recipe.base_hash:
        raise FileError(
            old.pretrained_model, "is another base model than the recipe's", recipe.base_hash[:12], "restore it"
        )
    if session.adapter is not None and session.adapter.files.sha256 != recipe.adapter_sha256:
        raise FileError(
            str(old.lora_weights),
            "is another adapter than the recipe's",
            (recipe.adapter_sha256 or "none")[:12],
            "restore it",
        )
    prompt = parse_options(Prompt, recipe.prompt, f"recipe in {request.source}")
    job = build_job(old, session, prompt, recipe.azimuth, recipe.seed, 0, (recipe.width, recipe.height))
    check_same(request.source, content, make_recipe(old, session, job, np.zeros((1, 1)), recipe.batch_size, 0))
    session.encode([job.request])
    place = recipe.batch_index
    amplitude = run_jobs(session, [job] * recipe.batch_size, old.solver)[place]
    made = make_recipe(old, session, job, amplitude, recipe.batch_size, place)
    if made["pixels_sha256"] != recipe.pixels_sha256:
        raise DataError(
            request.source,
            "the pixels made from its recipe differ from the original's; nothing is written",
            "the same machine and library versions give the same bits",
            f"compare versions: recipe {recipe.versions}, here {made['versions']}; or generate the caption anew",
        )
    write_chip(path, amplitude, made, old.rgb)
    return path


def _check_alone(request: GenerateRequest) -> None:
    """``--from`` takes everything from the recipe, so no other option may be given with it."""
    free = ("source", "output_dir", "overwrite")
    given = [
        f"--{name}"
        for name, field in GenerateRequest.model_fields.items()
        if name not in free and getattr(request, name) != field.get_default(call_default_factory=True)
    ]
    if given:
        raise OptionError(
            "--from",
            f"together with {', '.join(given)}",
            "the recipe says everything but --output_dir and --overwrite",
            "leave these options out, or generate without --from",
        )


def run_jobs(session: Session, jobs: list[Job], solver: str) -> list[np.ndarray]:
    first = jobs[0]
    output = session.pipeline(
        [job.request for job in jobs],
        first.width,
        first.height,
        first.steps,
        solver,
        first.guidance,
        session.fusion_scale,
    )
    return output.amplitudes


def picture_names(request: GenerateRequest, jobs: list[Job]) -> list[Path]:
    paths = []
    for number, job in enumerate(jobs):
        azimuth = "" if job.request.pose is None else f"_az{format_azimuth(job.request.pose.azimuth_deg)}"
        name = f"{request.output_name or 'generated'}_{number:04d}{azimuth}_seed{job.request.seed}.png"
        paths.append(request.output_dir / name)
    taken = [path for path in [*paths, *_extra_names(request).values()] if path.exists()]
    if taken and not request.overwrite:
        raise OptionError(
            "--output_dir",
            f"{taken[0]} exists" + (f" and {len(taken) - 1} more" if len(taken) > 1 else ""),
            "pictures of another run are not overwritten",
            "choose another --output_dir or --output_name, or give --overwrite",
        )
    return paths


def _extra_names(request: GenerateRequest) -> dict[str, Path]:
    stem = request.output_name or "generated"
    names = {"contact_sheet": f"{stem}_sheet.png", "gif": f"{stem}_sweep.gif"}
    return {option: request.output_dir / name for option, name in names.items() if getattr(request, option)}


def write_extras(request: GenerateRequest, jobs: list[Job], pictures: list[np.ndarray]) -> None:
    names = _extra_names(request)
    if request.contact_sheet:
        labels = [
            format_azimuth(job.request.pose.azimuth_deg) if job.request.pose else f"seed {job.request.seed}"
            for job in jobs
        ]
        contact_sheet(names["contact_sheet"], pictures, labels)
    if request.gif:
        sweep_gif(names["gif"], pictures)
