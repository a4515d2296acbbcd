"""From prompts, azimuths and seeds to one job per chip, every file read and checked."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import ChipRequest, check_request
from geodiff_sar.sampling.prompts import Prompt, load_prompts, parse_azimuths
from geodiff_sar.workflows.generation.conditions import check_priors, check_references, usable
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.generation.requests import build_request, pointcloud_file
from geodiff_sar.workflows.generation.session import Session


@dataclass(frozen=True)
class Job:
    """One chip with everything that decides its batch and its name."""

    request: ChipRequest
    prompt: Prompt
    width: int
    height: int
    steps: int
    guidance: GuidanceOptions
    files: dict[str, dict[str, str]]

    @property
    def group(self) -> tuple[Any, ...]:
        """Chips with the same group can be made in one batch."""
        return (self.width, self.height, self.steps, self.guidance.model_dump_json())


def build_jobs(request: GenerateRequest, session: Session) -> list[Job]:
    """One job per prompt, azimuth and seed, every file read and checked."""
    if request.prompts_file is not None and request.prompt is None:
        prompts = load_prompts(request.prompts_file)
    else:
        if request.prompts_file is not None:
            warn(f"--prompt is given, so --prompts_file {request.prompts_file} is not read")
        prompts = [parse_options(Prompt, {"prompt": request.prompt}, "--prompt")]
    angles: list[float | None] = [None] if request.azimuths is None else [*parse_azimuths(request.azimuths)]
    record = session.adapter.record if session.adapter else None
    resolution = record.resolution if record else session.base.settings.resolution
    jobs = []
    for line in prompts:
        prompt = usable(_with_defaults(line, request), session.needs, session.adapter is not None)
        drawn = secrets.randbelow(2**32) if request.seed is None else request.seed
        for angle in angles:
            for copy in range(request.images_per_prompt):
                jobs.append(build_job(request, session, prompt, angle, drawn, copy, resolution))
    if session.needs.geometry and session.fusion_scale != 0.0:
        without = list(dict.fromkeys(job.request.prompt for job in jobs if not _complete(job, session)))
        if without:
            warn(f"no point cloud or maps, the learned null embedding is used for: {'; '.join(without)}")
    check_priors(session, [job.request.prior for job in jobs], request.strict_prior)
    check_references(session, [job.prompt.reference for job in jobs], request.reference_range)
    return jobs


def _complete(job: Job, session: Session) -> bool:
    prior = job.request.prior
    return prior is not None and (prior.maps is not None or not session.needs.maps)


def build_job(
    request: GenerateRequest,
    session: Session,
    prompt: Prompt,
    angle: float | None,
    seed: int,
    copy: int,
    resolution: tuple[int, int],
) -> Job:
    stack = session.conditioning
    width = None if stack is None else stack.sizes.feature_dim
    number = (seed if prompt.seed is None else prompt.seed) + copy
    if number >= 2**63:
        raise OptionError("--seed", f"{number}", "below 2^63 for every picture", "choose a smaller seed")
    seeded = prompt.model_copy(update={"seed": number})
    chip = build_request(seeded, seed, width, angle, request.pointcloud_dir, request.reference_range)
    fused = session.needs.geometry and session.fusion_scale != 0.0 and not request.allow_missing_geometry
    if fused and chip.prior is not None and session.needs.maps and chip.prior.maps is None:
        raise DataError(
            str(chip.prior.provenance["file"]),
            "holds no maps",
            'the adapter was trained with maps (inject has "map")',
            "give a prior that `geodiff-sar prior` made, or --allow-missing-geometry for the learned null",
        )
    if fused and chip.prior is None:
        raise FileError(
            "3D feature file not found",
            f"no point cloud for the prompt {chip.prompt!r}",
            "the adapter was trained with geometry",
            "give --pointcloud_path or --pc, or --allow-missing-geometry for the learned null embedding, "
            "or --no-3d-fusion for text only",
        )
    files = {}
    if prompt.pointcloud_path is not None:
        azimuth = chip.pose.azimuth_deg if chip.pose else None
        files["pointcloud"] = _file(pointcloud_file(prompt.pointcloud_path, azimuth, request.pointcloud_dir))
    if prompt.reference is not None:
        files["reference"] = _file(Path(prompt.reference))
    scale = prompt.scale if prompt.scale is not None else request.guidance_scale
    guidance = GuidanceOptions.suited(
        session.base.settings,
        scale,
        request.keep_level,
        geometry_scale=request.geometry_scale,
        guidance_start=request.guidance_start,
        guidance_stop=request.guidance_stop,
        skip_layers=request.skip_layers,
        skip_layer_scale=request.skip_layer_scale,
        skip_layer_start=request.skip_layer_start,
        skip_layer_stop=request.skip_layer_stop,
    )
    job = Job(
        chip,
        seeded if angle is None else seeded.model_copy(update={"azimuth": angle}),
        prompt.width or request.width or resolution[0],
        prompt.height or request.height or resolution[1],
        prompt.sample_steps or request.sample_steps,
        guidance,
        files,
    )
    check_request(session.base, session.conditioning, chip, job.width, job.height, job.steps, request.solver, guidance)
    return job


def _with_defaults(prompt: Prompt, request: GenerateRequest) -> Prompt:
    """Flags of a line win over the command line."""
    filled = {
        "pointcloud_path": request.pointcloud_path,
        "reference": None if request.reference is None else str(request.reference),
        "depression": request.depression,
        "negative_prompt": request.negative_prompt,
    }
    missing = {key: value for key, value in filled.items() if getattr(prompt, key) is None}
    return prompt.model_copy(update=missing)


def _file(path: Path) -> dict[str, str]:
    return {"path": str(path.resolve()), "sha256": sha256_file(path)}
