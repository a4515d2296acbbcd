"""What the workflows that trace 3D models share: their settings, targets by name or by file, warming up."""

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field, NonNegativeInt

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import say
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, format_azimuth
from geodiff_sar.geometry.engines import ENGINES
from geodiff_sar.geometry.engines.fused import follow_rays
from geodiff_sar.geometry.kernel_cache import is_compiled
from geodiff_sar.geometry.mesh_file import SUFFIXES
from geodiff_sar.geometry.mesh_prepare import MeshOptions, load_mesh
from geodiff_sar.geometry.options import TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import RadarOptions, load_radar, require_polarisation
from geodiff_sar.geometry.targets import build_target, canonical_name
from geodiff_sar.geometry.triangles import TriangleMesh
from geodiff_sar.sampling.prompts import parse_azimuths
from geodiff_sar.workflows.trace_checks import pose_bytes, require_above_ground, require_label, require_poses

MODEL_ENDINGS = (*SUFFIXES, ".3mf", ".dae", ".fbx", ".blend", ".step", ".stp", ".iges", ".igs")
"""A target with such an ending is meant as a file; only SUFFIXES are read."""


class TargetOptions(Options):
    """One target: a parametric model by its name, or a mesh file."""

    source: str = Field(min_length=1, description="aircraft, vehicle:<seed>, composite:<seed>, or a mesh file")
    label: str | None = Field(
        default=None, min_length=1, description="name in captions; default: the model's or file's name"
    )
    mesh: MeshOptions = MeshOptions()


class TraceConfig(Options):
    """Everything ``geodiff-sar prior`` and ``geodiff-sar simulate`` read."""

    remedy: ClassVar[str] = "correct these keys; `geodiff-sar list tracing` prints all of them"

    targets: tuple[TargetOptions, ...] = Field(default=(), description="what is traced")
    azimuths: str = Field(default="0:360:10", description="start:stop:step (stop excluded) or a,b,c; degrees")
    depressions: tuple[float, ...] = Field(default=(30.0,), min_length=1, description="degrees")
    polarisations: tuple[str, ...] = Field(default=("HH",), min_length=1, description="HH, HV, VH, VV")
    seeds: tuple[NonNegativeInt, ...] = Field(
        default=(0,), min_length=1, description="of clutter and noise; one chip for each"
    )
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
        pose_bytes: about how much memory one pose needs.
    """

    config: TraceConfig
    radar: RadarOptions
    targets: tuple[Target, ...]
    views: tuple[View, ...]
    fingerprint: str
    pose_bytes: int

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
        raise OptionError(
            "targets", "none given", "at least one target", "name an aircraft or a mesh file: --target NAME"
        )
    ENGINES.get(config.prior.engine)
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
    # adding zero makes -0.0 a plain 0
    poses = [Pose(azimuth + 0.0, d) for d in config.depressions for azimuth in parse_azimuths(config.azimuths)]
    require_poses(poses, config.azimuths)
    targets = tuple(resolve_target(options, radar.wavelength_m) for options in config.targets)
    for target in targets:
        require_above_ground(target.label, target.mesh, config.prior)
    slugs = [target.slug for target in targets]
    if len(set(slugs)) != len(slugs):
        raise OptionError(
            "targets",
            ", ".join(slugs),
            "names in file names, of small letters and digits, differ",
            "give the targets different labels: label = ... under [[targets]] of the configuration",
        )
    per_pose = max(pose_bytes(target.mesh, poses, radar, config.prior, len(config.polarisations)) for target in targets)
    fingerprint = sha256_json(
        {
            "prior": config.prior.model_dump(mode="json"),
            "radar": radar.model_dump(mode="json"),
            "targets": [[target.label, target.mesh.content_hash] for target in targets],
        }
    )
    views = tuple(View(target, pose) for target in targets for pose in poses)
    return Plan(config, radar, targets, views, fingerprint, per_pose)


def resolve_target(options: TargetOptions, wavelength_m: float) -> Target:
    """The target of a name or of a mesh file.

    Raises:
        OptionError: neither a known name nor a mesh file; mesh options given for a parametric model.
    """
    path = Path(options.source)
    if path.suffix.lower() in MODEL_ENDINGS or os.path.lexists(path) or "/" in options.source:
        label = require_label(options.label or path.stem)
        mesh, report = load_mesh(path, options.mesh, wavelength_m)
    else:
        try:
            name = canonical_name(options.source)
        except OptionError as error:
            raise OptionError(
                "target",
                repr(options.source),
                f"{error.rule}; or a mesh file ({', '.join(SUFFIXES)})",
                "choose one of these, or check the path; seeds are whole numbers from 0",
            ) from error
        label = require_label(options.label or name)
        given = [key for key in MeshOptions.model_fields if getattr(options.mesh, key) != getattr(MeshOptions(), key)]
        if given:
            raise OptionError(
                f"mesh options {', '.join(given)}",
                f"given for the parametric model {options.source}",
                "mesh options are for mesh files",
                "leave them out",
            )
        mesh = build_target(options.source)
        report = [f"{label}: parametric model of {len(mesh.faces)} triangles"]
    slug = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if not slug:
        raise OptionError(
            "label", repr(label), "holds letters a to z or digits, which file names are made of", "give another label"
        )
    return Target(label, slug, mesh, tuple(report))


def warm_up(radar: RadarOptions, prior: PriorOptions) -> None:
    """Compile the ray tracer if this machine has not done so, and say so; a second call costs nothing."""
    announced = not is_compiled(follow_rays)
    if announced:
        say("compiling the ray tracer for this machine, once; this takes about half a minute")
    start = time.perf_counter()
    small = prior.model_copy(update={"trace": TraceOptions(rays=1000)})
    radar = radar.model_copy(update={"rows": 16, "columns": 16})
    wall = TriangleMesh(np.array([[0.0, -1, 0], [0, 1, 0], [0, 0, 2]]), np.array([[0, 1, 2]]))
    PriorTracer(wall, radar, small).products(Pose(0.0, 30.0), ["HH"])
    if announced:
        say(f"compiled in {time.perf_counter() - start:.0f} s")
