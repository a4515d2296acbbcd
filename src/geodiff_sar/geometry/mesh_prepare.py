"""From a mesh file to a mesh ready for the ray tracer: unit, axes, parts, ground, mending, facet density, report."""

from math import log
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from jaxtyping import Float
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.geometry.mesh_density import check_density, subdivide
from geodiff_sar.geometry.mesh_parts import describe_parts, drop_parts, read_parts
from geodiff_sar.geometry.mesh_repair import repair
from geodiff_sar.geometry.triangles import TriangleMesh

METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "ft": 0.3048}
"""Length of the units, m."""

_PLAUSIBLE_M = (2.0, 80.0)
_TYPICAL_M = 9.0
_EXTENT_M = (0.5, 200.0)
_FARTHEST_M = 1000.0
_CREASE_DEG = 30.0
_FEW = 0.01  # of the edges before subdivision

Factor = Annotated[float, Field(ge=0.01, le=100.0)]


class MeshOptions(Options):
    """How to turn a mesh file into the body frame: x nose, y port, z up, metres, ground at z = 0."""

    unit: Literal["m", "cm", "mm", "in", "ft", "auto"] = Field(
        default="auto", description="unit of the file's coordinates; auto guesses it from the model's extent"
    )
    nose: str = Field(default="+x", pattern=r"^[+-][xyz]$", description="axis of the file that points to the nose")
    up: str = Field(default="+z", pattern=r"^[+-][xyz]$", description="axis of the file that points up")
    scale: tuple[Factor, Factor, Factor] = Field(
        default=(1.0, 1.0, 1.0), description="extra factors along nose, port and up, for models of wrong proportions"
    )
    drop: tuple[str, ...] = Field(
        default=(),
        description="parts to remove, by name, with * and ?, in any case: *glass*, piece 7; discs: flat propeller discs",
    )
    add: tuple[Path, ...] = Field(
        default=(), description="further mesh files in the same frame and unit, for one target in several files"
    )
    ground: bool = Field(default=True, description="lowest point to z = 0, middle of the ground plan to x = y = 0")
    smooth_angle_deg: float = Field(
        default=30.0, ge=0.0, le=90.0, description="faces that differ by less are one smooth surface; 0: no subdivision"
    )
    max_faces: int = Field(default=2_000_000, ge=1, description="most triangles, in the file and after subdivision")


def load_mesh(path: Path, options: MeshOptions, wavelength_m: float) -> tuple[TriangleMesh, list[str]]:
    """Read, orient, mend and subdivide a mesh.

    Args:
        path: mesh file, see ``mesh_file.SUFFIXES``.
        options: unit, axes, parts and so on.
        wavelength_m: for the facet-density rule.

    Returns:
        The mesh in the body frame, and the report: what was found and done, in sentences.

    Raises:
        FileError: a file cannot be read or is too large.
        OptionError: nose and up are not perpendicular, a pattern of ``drop`` matches nothing, no unit fits.
        DataError: coordinates that are not finite, no face with an area, a size outside 0.5 to 200 m.
    """
    turn = body_axes(options.nose, options.up)
    whole, report = read_parts((path, *options.add), options.max_faces)
    whole = whole.transformed(turn)
    mesh, sentences = drop_parts(whole, options.drop)
    report += sentences
    with np.errstate(over="ignore"):  # an extent beyond all numbers is refused
        extent = float(np.max(mesh.bounds[1] - mesh.bounds[0]))
    unit, sentence = choose_unit(path, extent, options.unit)
    report.append(sentence)
    port = "+-"[int(turn[1].sum() < 0)] + "xyz"[int(np.argmax(np.abs(turn[1])))]
    report.append(f"Axes of the file: nose {options.nose}, up {options.up}, port {port}.")
    if options.scale != (1.0, 1.0, 1.0):
        report.append("Scaled along nose, port and up by {:g}, {:g} and {:g}.".format(*options.scale))
    in_metres = METRES[unit] * np.diag(options.scale)
    mesh = mesh.transformed(in_metres)
    _require_plausible_place(path, mesh, unit, options.ground)
    report += describe_parts(whole.transformed(in_metres), mesh)
    size = mesh.bounds[1] - mesh.bounds[0]
    if size[2] > max(size[0], size[1]):
        report.append(f"The model stands {size[2]:.2f} m tall, more than its length and width: check --up.")
    mesh, sentences = repair(mesh)
    report += sentences
    mesh, sentences = _with_smooth_facets(mesh, options, wavelength_m)
    report += sentences
    if options.ground:
        mesh, sentence = place_on_ground(mesh)
        report.append(sentence)
    low, high = mesh.bounds
    report.append(
        f"Result: {len(mesh.faces):,} triangles; {high[0] - low[0]:.2f} m long, {high[1] - low[1]:.2f} m wide, "
        f"{high[2] - low[2]:.2f} m high, z from {low[2]:.2f} to {high[2]:.2f} m."
    )
    return mesh, report


def body_axes(nose: str, up: str) -> Float[np.ndarray, "3 3"]:
    """Rotation from the file's axes to the body frame; port is up x nose.

    Raises:
        OptionError: nose and up lie on the same axis.
    """
    x, z = (_axis(name) for name in (nose, up))
    if abs(x @ z) > 0:
        raise OptionError(
            "--nose and --up",
            f"nose {nose}, up {up}",
            "two axes that are perpendicular",
            "name two different axes, for example --nose +x --up +z",
        )
    return np.stack([x, np.cross(z, x), z])


def choose_unit(path: Path, extent: float, unit: str) -> tuple[str, str]:
    """The unit to use and why: the given one, or a guess from the largest extent in the file's unit.

    Metres are taken where they give a plausible vehicle, 2 to 80 m; otherwise, of the units that do, the one whose
    extent comes closest to 9 m by ratio.

    Raises:
        OptionError: no unit gives a plausible vehicle.
    """
    if unit != "auto":
        return unit, f"Unit: {unit}, as given; the largest extent of {extent:g} is {extent * METRES[unit]:.2f} m."
    low, high = _PLAUSIBLE_M
    fitting = [name for name, length in METRES.items() if low <= extent * length <= high]
    if not fitting:
        raise OptionError(
            path,
            f"the largest extent is {extent:g}, no vehicle of {low:g} to {high:g} m in any of {', '.join(METRES)}",
            "a model whose unit can be guessed",
            "name the unit with --unit (m, cm, mm, in, ft)",
        )
    best = "m" if "m" in fitting else min(fitting, key=lambda name: abs(log(extent * METRES[name] / _TYPICAL_M)))
    others = [f"{name} ({extent * METRES[name]:.2f} m)" for name in fitting if name != best]
    reason = "metres make a plausible vehicle" if best == "m" else f"closest to a typical {_TYPICAL_M:g} m"
    also = f"; {', '.join(others)} would be possible too, set --unit if so" if others else ""
    return best, (
        f"Unit: guessed {best}: the largest extent of {extent:g} is then {extent * METRES[best]:.2f} m, {reason}{also}."
    )


def place_on_ground(mesh: TriangleMesh) -> tuple[TriangleMesh, str]:
    """Lowest point to z = 0 and the middle of the bounding box in x and y to the origin."""
    low, high = mesh.bounds
    offset = 0.0 - np.array([*((low + high) / 2)[:2], low[2]])
    moved = "Placed on the ground: moved by {:.3f}, {:.3f}, {:.3f} m (nose, port, up).".format(
        *(np.round(offset, 3) + 0.0)
    )
    return mesh.moved(offset.tolist()), moved


def _axis(name: str) -> np.ndarray:
    vector = np.zeros(3)
    vector["xyz".index(name[1])] = -1.0 if name[0] == "-" else 1.0
    return vector


def _require_plausible_place(path: Path, mesh: TriangleMesh, unit: str, ground: bool) -> None:
    low, high = mesh.bounds
    extent = float(np.max(high - low))
    if not _EXTENT_M[0] <= extent <= _EXTENT_M[1]:
        raise DataError(
            path,
            f"in {unit} the model is {extent:.3g} m large",
            f"between {_EXTENT_M[0]:g} and {_EXTENT_M[1]:g} m",
            "give the right unit with --unit (m, cm, mm, in, ft), or remove stray parts with --drop",
        )
    farthest = float(np.max(np.abs([low, high])))
    if not ground and farthest > _FARTHEST_M:
        raise DataError(
            path,
            f"in {unit} the model reaches {farthest:,.0f} m from the origin of its file",
            f"at most {_FARTHEST_M:,.0f} m",
            "give the right unit with --unit, or let it be placed on the ground",
        )


def _with_smooth_facets(
    mesh: TriangleMesh, options: MeshOptions, wavelength_m: float
) -> tuple[TriangleMesh, list[str]]:
    crease = options.smooth_angle_deg or _CREASE_DEG
    rule = f"facet length along curvature <= 0.3 sqrt(lambda R / 2) at lambda = {100 * wavelength_m:.2f} cm"
    if options.smooth_angle_deg == 0:
        bad, count = check_density(mesh, wavelength_m, crease)
        done = "facets were left as they are (smooth_angle_deg = 0)" if bad else "the facets are fine enough"
        return mesh, [f"Facet density: {bad:,} of {count:,} edges break the rule, {rule}; {done}."]
    mesh, density = subdivide(mesh, wavelength_m, crease, max(options.max_faces, len(mesh.faces)))
    found = f"Facet density: {density.too_long_before:,} of {density.edges:,} edges break the rule, {rule}"
    if not density.too_long_before:
        return mesh, [f"{found}; the facets are fine enough."]
    report = [
        f"{found}; subdivision with smooth normals (creases above {crease:g} degrees) made "
        f"{density.faces_after:,} faces of {density.faces_before:,}."
    ]
    if density.too_long_after:
        why = (
            f"the limit of {options.max_faces:,} faces was reached"
            if density.budget_reached
            else "splitting stopped after 12 rounds"
        )
        few = not density.budget_reached and density.too_long_after < _FEW * density.edges
        effect = "Too few to matter" if few else "Expect false glints from facets"
        report.append(f"{density.too_long_after:,} edges still break the rule: {why}. {effect}.")
    return mesh, report
