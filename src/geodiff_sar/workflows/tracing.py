"""What the workflows that trace 3D models share: their settings, targets by name or by file, warming up."""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import say
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.core.types import Pose
from geodiff_sar.core.work import processors
from geodiff_sar.data.caption import Caption, format_azimuth
from geodiff_sar.geometry.engines.fused import follow_rays
from geodiff_sar.geometry.kernel_cache import is_compiled
from geodiff_sar.geometry.mesh_prepare import MeshOptions, load_mesh
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import RadarOptions, load_radar, require_polarisation
from geodiff_sar.geometry.targets import build_target, canonical_name, target_names
from geodiff_sar.geometry.triangles import TriangleMesh
from geodiff_sar.sampling.prompts import parse_azimuths

MESH_ENDINGS = (".obj", ".ply", ".stl", ".glb", ".gltf", ".off", ".3mf", ".dae")


class TargetOptions(Options):
    """One target: a parametric model by its name, or a mesh file."""

    source: str = Field(min_length=1, description="aircraft, vehicle:<seed>, composite:<seed>, or a mesh file")
    label: str | None = Field(
        default=None, min_length=1, description="name in captions; default: the model's or file's name"
    )
    mesh: MeshOptions = MeshOptions()


class TraceConfig(Options):
    """Everything ``geodiff-sar prior`` and ``geodiff-sar simulate`` read."""

    targets: tuple[TargetOptions, ...] = Field(default=(), description="what is traced")
    azimuths: str = Field(default="0:360:10", description="start:stop:step (stop excluded) or a,b,c; degrees")
    depressions: tuple[float, ...] = Field(default=(30.0,), min_length=1, description="degrees")
    polarisations: tuple[str, ...] = Field(default=("HH",), min_length=1, description="HH, HV, VH, VV")
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1, description="of clutter and noise; one chip for each")
    radar: str = Field(default="uav-ku", description="preset or .toml file; see `geodiff-sar list radars`")
    radar_set: tuple[str, ...] = Field(default=(), description="key=value overrides of the radar")
    prior: PriorOptions = PriorOptions()


@dataclass(frozen=True)
class Target:
    """A target that is ready to be traced.

    Attributes:
        label: its name in captions.
        slug: its name in file names.
        mesh: its triangles.
        report: sentences about the mesh, for the user.
    """

    label: str
    slug: str
    mesh: TriangleMesh
    report: tuple[str, ...]


@dataclass(frozen=True)
class View:
    """One trace: a target from one direction."""

    target: Target
    pose: Pose

    def stem(self, polarisation: str) -> str:
        """First part of the names of this view's files: target, polarisation, depression, azimuth."""
        depression = f"{self.pose.depression_deg:g}"
        return f"{self.target.slug}_{polarisation}_dep{depression}_az{format_azimuth(self.pose.azimuth_deg)}"


@dataclass(frozen=True)
class Plan:
    """Checked settings of a workflow that traces.

    Attributes:
        config: as given.
        radar: the radar.
        targets: the targets.
        views: what is to be traced.
        fingerprint: hash of everything that the results depend on.
    """

    config: TraceConfig
    radar: RadarOptions
    targets: tuple[Target, ...]
    views: tuple[View, ...]
    fingerprint: str

    def tracer(self, target: Target) -> PriorTracer:
        """A tracer of one of the targets."""
        return PriorTracer(target.mesh, self.radar, self.config.prior)

    def caption(self, view: View, polarisation: str) -> Caption:
        """Caption of a chip."""
        return Caption(
            view.target.label, self.radar.band, self.radar.resolution_name, polarisation, view.pose.azimuth_deg
        )


def make_plan(config: TraceConfig) -> Plan:
    """Check everything before the first ray: radar, targets, angles, names.

    Raises:
        GeodiffError: the first thing that cannot be used.
    """
    if not config.targets:
        raise OptionError("targets", "none given", "at least one target", "name an aircraft or a mesh file")
    radar = load_radar(config.radar, list(config.radar_set))
    for option, values in (
        ("polarisations", config.polarisations),
        ("depressions", config.depressions),
        ("seeds", config.seeds),
    ):
        if len(set(values)) != len(values):
            raise OptionError(option, ", ".join(map(str, values)), "every value once", "remove the repeated ones")
    for name in config.polarisations:
        require_polarisation(name, "polarisations")
    poses = [Pose(azimuth, d) for d in config.depressions for azimuth in parse_azimuths(config.azimuths)]
    if len(set(poses)) != len(poses):
        raise OptionError("azimuths", config.azimuths, "every azimuth once", "remove the repeated ones")
    targets = tuple(resolve_target(options, radar.wavelength_m) for options in config.targets)
    slugs = [target.slug for target in targets]
    if len(set(slugs)) != len(slugs):
        raise OptionError(
            "targets", ", ".join(slugs), "names in file names differ", "give the targets different labels"
        )
    fingerprint = sha256_json(
        {
            "prior": config.prior.model_dump(mode="json"),
            "radar": radar.model_dump(mode="json"),
            "targets": [[target.label, target.mesh.content_hash] for target in targets],
        }
    )
    views = tuple(View(target, pose) for target in targets for pose in poses)
    return Plan(config, radar, targets, views, fingerprint)


def resolve_target(options: TargetOptions, wavelength_m: float) -> Target:
    """The target of a name or of a mesh file.

    Raises:
        OptionError: neither a known name nor a mesh file; mesh options given for a parametric model.
    """
    path = Path(options.source)
    if path.suffix.lower() in MESH_ENDINGS or path.exists() or "/" in options.source:
        mesh, report = load_mesh(path, options.mesh, wavelength_m)
        label = options.label or path.stem
    else:
        try:
            label = options.label or canonical_name(options.source)
        except OptionError as error:
            raise OptionError(
                "target",
                repr(options.source),
                f"a model ({', '.join(target_names())}, vehicle:<seed>, composite:<seed>) or a mesh file"
                f" ({', '.join(MESH_ENDINGS)})",
                "choose one of these, or check the path",
            ) from error
        given = [key for key in MeshOptions.model_fields if getattr(options.mesh, key) != getattr(MeshOptions(), key)]
        if given:
            raise OptionError(
                ", ".join(f"mesh.{key}" for key in given),
                f"given for the parametric model {label}",
                "mesh options are for mesh files",
                "leave them out",
            )
        mesh = build_target(options.source)
        report = [f"{label}: parametric model of {len(mesh.faces)} triangles"]
    slug = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if not slug:
        raise OptionError("label", repr(label), "letters or digits for file names", "give the target a label")
    return Target(label, slug, mesh, tuple(report))


def warm_up(plan: Plan) -> None:
    """Compile the ray tracer if this machine has not done so, and say so; a second call costs nothing."""
    announced = not is_compiled(follow_rays)
    if announced:
        say("compiling the ray tracer for this machine, once; this takes about half a minute")
    start = time.perf_counter()
    small = plan.config.prior.model_copy(
        update={"trace": plan.config.prior.trace.model_copy(update={"rays": 1000, "spacing_m": None})}
    )
    wall = TriangleMesh(np.array([[0.0, -1, 0], [0, 1, 0], [0, 0, 2]]), np.array([[0, 1, 2]]))
    PriorTracer(wall, plan.radar, small).products(Pose(0.0, 30.0), ["HH"])
    if announced:
        say(f"compiled in {time.perf_counter() - start:.0f} s")


def worker_count(workers: int | None) -> int:
    """As asked for, or one per processor."""
    if workers is not None and workers < 1:
        raise OptionError("--workers", str(workers), "at least 1", "leave it out for one per processor")
    return workers or processors()


def overridden(config: TraceConfig, **values: Any) -> TraceConfig:
    """Copy with those values that are not None."""
    return config.model_copy(update={key: value for key, value in values.items() if value is not None})
