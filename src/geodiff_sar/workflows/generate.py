"""Generate chips and write them with their recipes; regenerate a chip from its recipe."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, field_validator, model_validator

from geodiff_sar import __version__
from geodiff_sar.conditioning.injection import default_fusion_scale
from geodiff_sar.core.config import Options, PlainName, parse_options
from geodiff_sar.core.console import progress_bar, warn
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import require_writable, sha256_bytes, sha256_file
from geodiff_sar.data.caption import format_azimuth
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import LoadedAdapter, load_adapter, resolve_adapter
from geodiff_sar.model.base import EMBEDDED, BaseModel, load_base
from geodiff_sar.model.device import choose_device
from geodiff_sar.model.lora import set_lora_strength
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline
from geodiff_sar.sampling.prompts import Prompt, load_prompts, parse_azimuths
from geodiff_sar.sampling.recipe import read_recipe, write_chip
from geodiff_sar.sampling.sheet import contact_sheet, sweep_gif
from geodiff_sar.workflows.requests import build_request, pointcloud_file


class GenerateRequest(Options):
    """Everything ``geodiff-sar generate`` takes; the names are those of the published command."""

    remedy: ClassVar[str] = "correct these options; `geodiff-sar generate --help` lists all of them"

    pretrained_model: str = "mini"
    lora_weights: str | None = None
    prompt: str | None = None
    prompts_file: Path | None = None
    azimuths: str | None = None
    depression: float | None = Field(default=None, gt=0, lt=90)
    pointcloud_path: str | None = None
    pointcloud_dir: Path | None = None
    reference: Path | None = None
    enable_3d_fusion: bool | None = None
    allow_missing_geometry: bool = False
    fusion_method: str | None = None
    pointcloud_dim: int | None = None
    image_feature_dim: int | None = None
    fusion_scale: float | None = None
    geometry_scale: float | None = Field(default=None, ge=0)
    network_multiplier: float = 1.0
    negative_prompt: str = ""
    height: int | None = Field(default=None, ge=8)
    width: int | None = Field(default=None, ge=8)
    sample_steps: int = Field(default=30, ge=1, le=1000)
    guidance_scale: float | None = Field(default=None, ge=0)
    solver: str = "euler"
    discrete_flow_shift: float | None = Field(default=None, gt=0)
    skip_layers: list[int] = Field(default=[])
    skip_layer_scale: float = Field(default=2.8, ge=0)
    skip_layer_start: float = Field(default=0.01, ge=0, le=1)
    skip_layer_stop: float = Field(default=0.2, ge=0, le=1)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    images_per_prompt: int = Field(default=1, ge=1)
    batch_size: int = Field(default=8, ge=1)
    max_token_length: int | None = Field(default=None, ge=1, le=512)
    clip_l: Path | None = None
    clip_g: Path | None = None
    t5xxl: Path | None = None
    vae: Path | None = None
    use_t5xxl_cache_only: bool = False
    output_dir: Path = Path("output/inference")
    output_name: PlainName | None = None
    overwrite: bool = False
    rgb: bool = False
    contact_sheet: bool = False
    gif: bool = False
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto"
    source: Path | None = None

    @field_validator("skip_layers", mode="before")
    @classmethod
    def _numbers(cls, value: Any) -> Any:
        if value is None:
            return []
        if isinstance(value, str):
            if not all(part.strip().isdecimal() for part in value.split(",")):
                raise ValueError("block numbers such as 7,8,9")
            return [int(part) for part in value.split(",")]
        return value


class RecipeFile(Options):
    """A file that went into a chip."""

    path: str
    sha256: str


class ChipRecipe(Options):
    """What a generated PNG carries; see ``_recipe``."""

    remedy: ClassVar[str] = "the recipe has been changed; generate the picture again by its caption and options"

    kind: Literal["chip"]
    request: dict[str, Any]
    prompt: dict[str, Any]
    caption: str
    seed: int = Field(ge=0)
    azimuth: float | None = Field(ge=0, lt=360)
    pose: dict[str, float | None] | None
    width: int = Field(ge=8)
    height: int = Field(ge=8)
    steps: int = Field(ge=1)
    guidance: GuidanceOptions
    shift: float = Field(gt=0)
    fusion_scale: float | None
    files: dict[str, RecipeFile]
    base_hash: str
    adapter_sha256: str | None
    remap: AmplitudeRemap
    pixels_sha256: str
    batch_size: int = Field(ge=1)
    batch_index: int = Field(ge=0)
    threads: int = Field(ge=1)
    versions: dict[str, str]

    @model_validator(mode="after")
    def _inside(self) -> "ChipRecipe":
        if self.batch_index >= self.batch_size:
            raise ValueError(f"batch_index {self.batch_index} lies outside a batch of {self.batch_size}")
        return self


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


@dataclass
class Session:
    """Base, adapter and pipeline in memory."""

    base: BaseModel
    adapter: LoadedAdapter | None
    pipeline: GeoDiffSARPipeline
    fusion_scale: float


def parse_request(cls: type[GenerateRequest], values: dict[str, Any]) -> GenerateRequest:
    """Check what the command line gave."""
    return parse_options(cls, values, "geodiff-sar generate")


def generate_chips(request: GenerateRequest) -> list[Path]:
    """Generate and write chips; returns their paths in the order of the prompts (azimuths, then seeds, innermost).

    Raises:
        GeodiffError: any mistake in options, files or prompts, before anything is generated or written.
    """
    require_writable(request.output_dir)
    if request.source is not None:
        return [regenerate(request)]
    _check_prompt_options(request)
    session = open_session(request)
    jobs = build_jobs(request, session)
    paths = _names(request, jobs)
    finished: dict[int, np.ndarray] = {}
    groups: dict[tuple[Any, ...], list[int]] = {}
    for number, job in enumerate(jobs):
        groups.setdefault(job.group, []).append(number)
    with progress_bar() as bar:
        line = bar.add_task("generating", total=len(jobs), note="")
        for members in groups.values():
            for start in range(0, len(members), request.batch_size):
                batch = members[start : start + request.batch_size]
                amplitudes = _run(session, [jobs[number] for number in batch], request.solver)
                for place, (number, amplitude) in enumerate(zip(batch, amplitudes, strict=True)):
                    recipe = _recipe(request, session, jobs[number], amplitude, len(batch), place)
                    write_chip(paths[number], amplitude, recipe, request.rgb)
                    finished[number] = to_grey8(amplitude)
                    bar.advance(line)
    _extras(request, jobs, [finished[number] for number in range(len(jobs))])
    return paths


def open_session(request: GenerateRequest) -> Session:
    """Load base and adapter, check the options against them."""
    for option in ("clip_l", "clip_g", "t5xxl", "vae"):
        if getattr(request, option) is not None:
            raise OptionError(
                f"--{option}",
                str(getattr(request, option)),
                "separate files belong to single-file SD3.5 checkpoints, which this version cannot load yet",
                "give --pretrained_model a folder in diffusers' layout, which holds all parts",
            )
    device = choose_device(request.device, "--device")
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}.get(
        request.dtype, torch.float32 if device.type == "cpu" else torch.bfloat16
    )
    base = load_base(request.pretrained_model, dtype, device)
    if request.max_token_length is not None:
        base.text.t5_length = request.max_token_length
    adapter = None
    if request.lora_weights is not None:
        adapter = load_adapter(resolve_adapter(request.lora_weights), base.transformer, base.hash)
        adapter.conditioning.to(device)
        if adapter.record.lora is not None:
            set_lora_strength(base.transformer, request.network_multiplier)
    has_lora = adapter is not None and adapter.record.lora is not None
    if not has_lora and request.network_multiplier != 1.0:
        raise OptionError(
            "--network_multiplier", str(request.network_multiplier), "needs a LoRA", "give an adapter that has one"
        )
    _check_against_adapter(request, base, adapter)
    scale = default_fusion_scale() if request.fusion_scale is None else request.fusion_scale
    if request.enable_3d_fusion is False:
        scale = 0.0
    shift = request.discrete_flow_shift or (adapter.record.shift if adapter else base.settings.shift)
    remap = adapter.record.remap if adapter else base.settings.remap
    pipeline = GeoDiffSARPipeline.from_base(base, adapter.conditioning if adapter else None, remap, shift)
    pipeline.t5_only = request.use_t5xxl_cache_only
    return Session(base, adapter, pipeline, scale)


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
        prompt = _with_defaults(line, request)
        drawn = secrets.randbelow(2**32) if request.seed is None else request.seed
        for angle in angles:
            for copy in range(request.images_per_prompt):
                jobs.append(_job(request, session, prompt, angle, drawn, copy, resolution))
    return jobs


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
    job = _job(old, session, prompt, recipe.azimuth, recipe.seed, 0, (recipe.width, recipe.height))
    _check_same(request.source, content, _recipe(old, session, job, np.zeros((1, 1)), recipe.batch_size, 0))
    place = recipe.batch_index
    amplitude = _run(session, [job] * recipe.batch_size, old.solver)[place]
    made = _recipe(old, session, job, amplitude, recipe.batch_size, place)
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


def _check_same(source: Path, recipe: dict[str, Any], again: dict[str, Any]) -> None:
    """The parts of a recipe that follow from the others must follow from them."""
    for key in ("caption", "seed", "pose", "width", "height", "steps", "guidance", "shift", "fusion_scale", "remap"):
        if recipe[key] != again[key]:
            raise DataError(
                source,
                f"'{key}' of its recipe is {recipe[key]}, but its prompt and options give {again[key]}",
                "the parts of a recipe agree",
                ChipRecipe.remedy,
            )


def _job(
    request: GenerateRequest,
    session: Session,
    prompt: Prompt,
    angle: float | None,
    seed: int,
    copy: int,
    resolution: tuple[int, int],
) -> Job:
    width = session.adapter.conditioning.sizes.feature_dim if session.adapter else None
    seeded = prompt.model_copy(update={"seed": (seed if prompt.seed is None else prompt.seed) + copy})
    chip = build_request(seeded, seed, width, angle, request.pointcloud_dir)
    if session.adapter is not None and chip.prior is None and session.fusion_scale != 0.0:
        if not request.allow_missing_geometry:
            raise FileError(
                "3D feature file not found",
                f"no point cloud for the prompt {chip.prompt!r}",
                "the adapter was trained with geometry",
                "give --pointcloud_path or --pc, or --allow-missing-geometry for the learned null embedding, "
                "or --no-3d-fusion for text only",
            )
        warn(f"no point cloud, the learned null embedding is used for: {chip.prompt}")
    files = {}
    if prompt.pointcloud_path is not None:
        azimuth = chip.pose.azimuth_deg if chip.pose else None
        files["pointcloud"] = _file(pointcloud_file(prompt.pointcloud_path, azimuth, request.pointcloud_dir))
    if prompt.reference is not None:
        files["reference"] = _file(Path(prompt.reference))
    scale = prompt.scale if prompt.scale is not None else request.guidance_scale
    guidance = GuidanceOptions(
        guidance_scale=session.base.settings.guidance_scale if scale is None else scale,
        geometry_scale=request.geometry_scale,
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
    session.pipeline.check(chip, job.width, job.height, job.steps, request.solver, guidance)
    return job


def _run(session: Session, jobs: list[Job], solver: str) -> list[np.ndarray]:
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


def _recipe(
    request: GenerateRequest, session: Session, job: Job, amplitude: np.ndarray, batch_size: int, place: int
) -> dict[str, Any]:
    import diffusers
    import transformers

    kept = request.model_dump(mode="json", exclude={"prompts_file", "source", "prompt", "azimuths", "output_dir"})
    if request.pretrained_model not in EMBEDDED:
        kept["pretrained_model"] = str(session.base.folder.resolve())
    if session.adapter is not None:
        kept["lora_weights"] = str(session.adapter.files.record.resolve())
    pose = job.request.pose
    fusion_scale = session.fusion_scale if session.adapter else None
    return {
        "kind": "chip",
        "request": {**kept, "fusion_scale": fusion_scale, "pointcloud_dir": None},
        "prompt": {
            **job.prompt.model_dump(mode="json", exclude_none=True),
            **{key: entry["path"] for key, entry in _prompt_files(job.files).items()},
        },
        "caption": job.request.prompt,
        "seed": job.request.seed,
        "azimuth": pose.azimuth_deg if pose is not None and job.prompt.azimuth is not None else None,
        "pose": None if pose is None else {"azimuth_deg": pose.azimuth_deg, "depression_deg": pose.depression_deg},
        "width": job.width,
        "height": job.height,
        "steps": job.steps,
        "guidance": job.guidance.model_dump(mode="json"),
        "shift": float(session.pipeline.scheduler.config["shift"]),
        "fusion_scale": fusion_scale,
        "files": job.files,
        "base_hash": session.base.hash,
        "adapter_sha256": session.adapter.files.sha256 if session.adapter else None,
        "remap": session.pipeline.remap.record(),
        "pixels_sha256": sha256_bytes(to_grey8(amplitude).tobytes()),
        "batch_size": batch_size,
        "batch_index": place,
        "threads": torch.get_num_threads(),
        "versions": {
            "geodiff_sar": __version__,
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
        },
    }


def _prompt_files(files: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    names = {"pointcloud": "pointcloud_path", "reference": "reference"}
    return {names[key]: entry for key, entry in files.items()}


def _check_prompt_options(request: GenerateRequest) -> None:
    if request.prompt is None and request.prompts_file is None:
        raise OptionError("--prompt", "not given", "a prompt or a prompts file", "give --prompt or --prompts_file")
    if request.gif and request.azimuths is None:
        raise OptionError("--gif", "without --azimuths", "an animation shows a sweep", "give --azimuths 0:360:10")
    if request.pointcloud_dir is not None and not request.pointcloud_dir.is_dir():
        raise FileError(request.pointcloud_dir, "no such folder", "--pointcloud_dir is a folder", "correct the path")
    if request.enable_3d_fusion is False and request.fusion_scale is not None:
        raise OptionError(
            "--fusion_scale", f"{request.fusion_scale} with --no-3d-fusion", "fusion is off", "leave one of them out"
        )
    unused = [
        name
        for name in ("skip_layer_scale", "skip_layer_start", "skip_layer_stop")
        if not request.skip_layers and getattr(request, name) != GenerateRequest.model_fields[name].default
    ]
    if unused:
        raise OptionError(
            f"--{unused[0]}", "without --skip_layers", "skip-layer guidance needs blocks", "give --skip_layers 7,8,9"
        )
    if request.skip_layer_start >= request.skip_layer_stop:
        raise OptionError(
            "--skip_layer_start",
            f"{request.skip_layer_start} with --skip_layer_stop {request.skip_layer_stop}",
            "the start lies before the stop",
            "correct one of them",
        )


def _check_against_adapter(request: GenerateRequest, base: BaseModel, adapter: LoadedAdapter | None) -> None:
    given = {
        "--fusion_method": (request.fusion_method, lambda stack: stack.fusion_options.method),
        "--pointcloud_dim": (request.pointcloud_dim, lambda stack: stack.sizes.feature_dim),
        "--image_feature_dim": (request.image_feature_dim, lambda stack: stack.sizes.latent_channels),
    }
    needs = {
        **{name: value for name, (value, _) in given.items()},
        "--pointcloud_path": request.pointcloud_path,
        "--pointcloud_dir": request.pointcloud_dir,
        "--reference": request.reference,
        "--fusion_scale": request.fusion_scale,
        "--geometry_scale": request.geometry_scale,
        "--enable_3d_fusion": request.enable_3d_fusion or None,
    }
    if adapter is None:
        for name, value in needs.items():
            if value is not None:
                raise OptionError(name, str(value), "fusion needs a trained adapter", "give --lora_weights")
        return
    for name, (value, trained) in given.items():
        if value is not None and value != trained(adapter.conditioning):
            raise OptionError(
                name,
                str(value),
                f"the adapter was trained with {trained(adapter.conditioning)}",
                "leave the option out",
            )
    if adapter.record.t5_length != base.text.t5_length:
        warn(f"the adapter was trained with {adapter.record.t5_length} T5 tokens, this run uses {base.text.t5_length}")


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


def _names(request: GenerateRequest, jobs: list[Job]) -> list[Path]:
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


def _extras(request: GenerateRequest, jobs: list[Job], pictures: list[np.ndarray]) -> None:
    names = _extra_names(request)
    if request.contact_sheet:
        labels = [
            format_azimuth(job.request.pose.azimuth_deg) if job.request.pose else f"seed {job.request.seed}"
            for job in jobs
        ]
        contact_sheet(names["contact_sheet"], pictures, labels)
    if request.gif:
        sweep_gif(names["gif"], pictures)


def _file(path: Path) -> dict[str, str]:
    return {"path": str(path.resolve()), "sha256": sha256_file(path)}
