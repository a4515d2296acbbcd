"""What is checked before the first ray: names, viewing angles, ray grids, and the memory that the poses will need."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.core.work import memory_bytes, processors
from geodiff_sar.data.caption import Caption, format_azimuth, parse_caption
from geodiff_sar.geometry.look import look_from
from geodiff_sar.geometry.prior import PriorOptions
from geodiff_sar.geometry.radar import RadarOptions
from geodiff_sar.geometry.raster import MAX_RAYS
from geodiff_sar.geometry.triangles import TriangleMesh

DEPRESSIONS = (0.1, 89.9)
FEWEST_RAYS = 1000
LONGEST_LABEL = 100
MOST_SCATTERERS = 5_000_000

BYTES = {"ray": 220, "pixel": 180, "pixel and polarisation": 60, "sample": 10, "scatterer": 300}
"""Memory at the peak of one pose, measured and rounded up: rays over the target, pixels of the chip, samples of the depth
buffer of the maps, random scatterers."""

SHARE = 0.8
"""Share of the memory that may be used."""


def require_label(label: str) -> str:
    """The label, if a caption can carry it.

    Raises:
        OptionError: it holds a separator of captions, or is too long for file names.
    """
    try:
        fits = parse_caption(str(Caption(label, "Ku", "High", "HH", 0.0))).target == label
    except DataError:
        fits = False
    if not fits or len(label) > LONGEST_LABEL:
        raise OptionError(
            "label",
            repr(label) if len(label) <= LONGEST_LABEL else f"{len(label)} characters",
            f"fields of captions are separated by commas: a name without commas, '|||', ';;;', control characters and"
            f" spaces at its ends, of at most {LONGEST_LABEL} characters",
            "give another name: --label NAME, or label = ... under [[targets]] of the configuration",
        )
    return label


def require_poses(poses: list[Pose], azimuths: str) -> None:
    """Refuse angles that the ray tracer cannot use, or that file names and captions cannot tell apart."""
    low, high = DEPRESSIONS
    for pose in poses:
        if not low <= (pose.depression_deg or 0.0) <= high:
            raise OptionError(
                "depression", f"{pose.depression_deg} degrees", f"{low} to {high} degrees", "choose another angle"
            )
        if float(format_azimuth(pose.azimuth_deg)) >= 360:
            raise OptionError(
                "azimuths", azimuths, "below 360 with the three decimals that captions keep", "write 0 in place of it"
            )
    if len(set(poses)) != len(poses):
        raise OptionError("azimuths", azimuths, "every azimuth once", "remove the repeated ones")
    named = {(format_azimuth(pose.azimuth_deg), f"{pose.depression_deg:g}") for pose in poses}
    if len(named) != len(poses):
        raise OptionError(
            "azimuths and depressions",
            f"{len(poses)} poses with {len(named)} names",
            "file names keep three decimals of an azimuth and six digits of a depression, and all differ",
            "take angles that differ by more",
        )


def pose_bytes(
    mesh: TriangleMesh, poses: list[Pose], radar: RadarOptions, options: PriorOptions, polarisations: int
) -> int:
    """About how much memory one pose of this target needs at its peak.

    Raises:
        OptionError: a ray spacing or pixels for which there would be too many rays, or hardly any.
    """
    corners = _corners(mesh)
    trace, pixel = options.trace, min(radar.pixel_cross_range_m, radar.pixel_range_m)
    rays = trace.rays if trace.spacing_m is None else _most_rays(corners, poses, trace.spacing_m, trace.ground.enabled)
    if trace.spacing_m is not None and not FEWEST_RAYS <= rays <= MAX_RAYS:
        raise OptionError(
            "trace.spacing_m",
            f"{trace.spacing_m:.4g} m makes {rays:.3g} rays over {mesh.name!r}, which need {_gib(rays * BYTES['ray'])}",
            f"{FEWEST_RAYS:,} to {MAX_RAYS:,} rays",
            f"use a {'larger' if rays > MAX_RAYS else 'smaller'} spacing, or set trace.rays instead",
        )
    samples = _most_rays(corners, poses, pixel / 2, False)
    if samples > MAX_RAYS:
        raise OptionError(
            "radar.pixel_cross_range_m, radar.pixel_range_m",
            f"{pixel:.4g} m: the depth buffer over {mesh.name!r} would have {samples:.3g} samples, which need"
            f" {_gib(samples * BYTES['sample'])}",
            f"at most {MAX_RAYS:,} samples, two per pixel in either direction",
            "use larger pixels",
        )
    factors = np.array([options.details.factor(part) for part in mesh.parts])[mesh.part_of_face]
    scatterers = options.details.per_m2 * float(mesh.face_areas @ factors)
    if scatterers > MOST_SCATTERERS:
        raise OptionError(
            "details.per_m2",
            f"{options.details.per_m2:g} on {mesh.face_areas.sum():,.0f} m^2 of {mesh.name!r} makes {scatterers:.3g}"
            " scatterers, which need"
            f" {_gib(scatterers * BYTES['scatterer'])}",
            f"at most {MOST_SCATTERERS:,} scatterers",
            "lower it, or the factors of parts",
        )
    pixels = radar.rows * radar.columns
    total = rays * BYTES["ray"] + samples * BYTES["sample"] + scatterers * BYTES["scatterer"]
    return round(total + pixels * (BYTES["pixel"] + polarisations * BYTES["pixel and polarisation"]))


def fitting_workers(workers: int | None, poses: int, per_pose: int) -> int:
    """Poses at the same time: as asked for, or as many as processors and memory allow.

    Raises:
        OptionError: below 1, or more than the memory allows.
    """
    if workers is not None and workers < 1:
        raise OptionError("--workers", str(workers), "at least 1", "leave it out for one per processor")
    if poses == 0:
        return 1
    memory = memory_bytes()
    room = poses if memory is None else int(SHARE * memory) // max(per_pose, 1)
    together = max(1, min(workers or processors(), poses))
    if workers is None:
        together = max(1, min(together, room))
    if together > room and memory is not None:
        several = f" each for {together} poses at the same time" if together > 1 else ""
        raise OptionError(
            "memory",
            f"a pose needs about {_gib(per_pose)}{several}",
            f"at most {SHARE:.0%} of the {_gib(memory)} that this machine has",
            "fewer rays (trace.rays, trace.spacing_m), pixels (rows, columns) or random scatterers (details.per_m2)"
            + (", or fewer --workers" if together > 1 else ""),
        )
    return together


@contextmanager
def naming(label: str, pose: Pose) -> Iterator[None]:
    """Say at which pose of which target something is wrong with the data."""
    try:
        yield
    except DataError as error:
        place = f" at azimuth {format_azimuth(pose.azimuth_deg)}, depression {pose.depression_deg:g}"
        found = error.found if "azimuth" in error.found else error.found + place
        raise DataError(label, found, error.rule, f"{error.remedy}; or leave this pose out") from error


def require_above_ground(label: str, mesh: TriangleMesh, options: PriorOptions) -> None:
    """Refuse a target that lies wholly under the ground; say so where a part of it does.

    Raises:
        DataError: nothing of it can be seen.
    """
    low, high = float(mesh.bounds[0][2]), float(mesh.bounds[1][2])
    if not options.trace.ground.enabled or low > -0.01:
        return
    if high < 1e-3:
        raise DataError(
            label,
            f"lies wholly below the ground: z from {low:.2f} to {high:.2f} m",
            "the ground is at z = 0, and what lies below it cannot be seen",
            "let the mesh be placed on the ground (mesh.ground = true), or trace without one"
            " (trace.ground.enabled = false)",
        )
    warn(f"{label}: what lies below the ground, z from {low:.2f} m to 0, cannot be seen")


def _corners(mesh: TriangleMesh) -> Float[np.ndarray, "8 3"]:
    low, high = mesh.bounds
    return np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])


def _most_rays(corners: Float[np.ndarray, "8 3"], poses: Iterable[Pose], spacing: float, mirror: bool) -> float:
    """Rays over the box round a target, and round its mirror image, at the pose that needs most."""
    points = np.concatenate([corners, corners * [1, 1, -1]]) if mirror else corners
    most = 0.0
    for pose in poses:
        look = look_from(pose)
        width, height = np.ptp(points @ look.across), np.ptp(points @ look.above)
        most = max(most, max(float(width) / spacing, 1.0) * max(float(height) / spacing, 1.0))
    return most


def _gib(size: int | float) -> str:
    return f"{size / 2**30:,.1f} GiB"
