"""Parts of a mesh: reading them from one or several files, removing them by name, saying what they are."""

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.mesh_count import require_face_limit
from geodiff_sar.geometry.mesh_file import read_mesh
from geodiff_sar.geometry.mesh_pieces import find_discs, split_pieces
from geodiff_sar.geometry.triangles import TriangleMesh, merge

DISCS = "discs"
"""The pattern that removes what ``find_discs`` finds."""

_LISTED = 40
_LARGE = 8
_FLAT = 0.01
_FLAT_SIZE = 0.02


def read_parts(paths: Sequence[Path], max_faces: int) -> tuple[TriangleMesh, list[str]]:
    """One mesh of several files in the same frame; files that name no parts are split into connected pieces.

    Names of parts from the second file on begin with the file's name without ending: "wheels/piece 1".

    Returns:
        The mesh in the files' unit and axes, named after the first file, and what was found, in sentences.

    Raises:
        FileError, DataError: as ``mesh_file.read_mesh``; more than ``max_faces`` triangles in all.
    """
    meshes, report, total = [], [], 0
    for index, path in enumerate(paths):
        mesh, sentences = read_mesh(path, max_faces)
        total += len(mesh.faces)
        require_face_limit(path, total, max_faces)
        if len(mesh.parts) == 1:
            mesh = split_pieces(mesh)
            if len(mesh.parts) > 1:
                sentences[-1] = f"{path.name} names no parts: split into {len(mesh.parts)} connected pieces."
        if index:
            mesh = replace(mesh, parts=tuple(f"{path.stem}/{part}" for part in mesh.parts))
        meshes.append(mesh)
        report += sentences
    return (merge(meshes, meshes[0].name) if len(meshes) > 1 else meshes[0]), report


def drop_parts(mesh: TriangleMesh, patterns: Sequence[str]) -> tuple[TriangleMesh, list[str]]:
    """Remove the parts whose names match one of ``patterns`` (``*`` and ``?``; upper and lower case are the same).

    The pattern "discs" removes the discs and sectors that stand for turning propellers, see ``find_discs``, unless a
    part has that name.

    Args:
        mesh: x to the nose, in any unit.
        patterns: names.

    Raises:
        OptionError: a pattern that matches no part, or no part is left.
    """
    if not patterns:
        return mesh, []
    gone = np.zeros(len(mesh.faces), dtype=bool)
    for pattern in patterns:
        matches = [i for i, part in enumerate(mesh.parts) if fnmatchcase(part.lower(), pattern.lower())]
        chosen = np.isin(mesh.part_of_face, matches)
        if pattern.lower() == DISCS and not matches:
            chosen = find_discs(mesh)
        if not chosen.any():
            what = "no disc or sector of a turning propeller was found" if pattern.lower() == DISCS else ""
            raise OptionError(
                "--drop",
                f"{pattern!r} matches no part" + (f": {what}" if what else ""),
                f"one of the parts: {listed(mesh.parts)}",
                "leave it out, or name the parts" if what else "correct the name",
            )
        gone |= chosen
    counts = np.bincount(mesh.part_of_face[gone], minlength=len(mesh.parts))
    names = [f"{part} ({count:,})" for part, count in zip(mesh.parts, counts, strict=True) if count]
    if gone.all():
        raise OptionError("--drop", ", ".join(patterns), "at least one part stays", "drop fewer parts")
    kept = mesh.with_faces(~gone)
    left, number = np.unique(kept.part_of_face, return_inverse=True)
    kept = replace(kept, part_of_face=number.reshape(-1), parts=tuple(mesh.parts[index] for index in left))
    return kept, [f"Removed parts (with triangles): {', '.join(names[:_LISTED])}{_more(names)}."]


def listed(names: Sequence[str]) -> str:
    """Names in a row, a run of numbered pieces as "piece 1 to piece 9", long lists cut off."""
    rows: list[list[str]] = []
    for name in names:
        if rows and _follows(rows[-1][-1], name):
            rows[-1].append(name)
        else:
            rows.append([name])
    short = [part for row in rows for part in ([f"{row[0]} to {row[-1]}"] if len(row) > 2 else row)]
    return ", ".join(short[:_LISTED]) + _more(short)


def describe_parts(mesh: TriangleMesh, kept: TriangleMesh) -> list[str]:
    """What stands out among the parts: the large pieces, discs of propellers, flat pieces.

    Args:
        mesh: body frame, metres, before parts were removed.
        kept: the same after that.
    """
    report = []
    pieces = [index for index, part in enumerate(mesh.parts) if part.rpartition("/")[2].startswith("piece ")]
    discs = find_discs(mesh)
    is_disc = np.bincount(mesh.part_of_face, discs, len(mesh.parts)) > 0
    if pieces:
        area = np.bincount(mesh.part_of_face, mesh.face_areas, len(mesh.parts))
        solid = [index for index in pieces if not is_disc[index]]
        largest = sorted(solid, key=lambda index: -float(f"{area[index]:.4g}"))[:_LARGE]  # mirrored ones in order
        rows = [f"{mesh.parts[i]} ({_size(mesh, i)}, {area[i]:.3g} m2)" for i in largest]
        report.append(f"The largest pieces, length x width x height, area: {', '.join(rows)}.")
    if discs.any():
        names = listed([part for part, disc in zip(mesh.parts, is_disc, strict=True) if disc])
        advice = f"A real propeller does not glint like that: remove them with --drop {DISCS}"
        report.append(
            f"Discs or sectors that stand for a turning propeller, {int(discs.sum()):,} triangles: {names}. "
            f"{advice if find_discs(kept).any() else 'They were removed'}."
        )
    flat = [i for i in pieces if not is_disc[i] and mesh.parts[i] in kept.parts and _is_flat(mesh, i)]
    if flat:
        low, high = mesh.bounds
        middle = np.array([*((low + high) / 2)[:2], low[2]])
        rows = [f"{mesh.parts[i]} ({_size(mesh, i)}, {_place(_corners(mesh, i), middle)})" for i in flat[:_LARGE]]
        report.append(
            f"Flat pieces, thinner than 1 % of their length: {', '.join(rows)}{_more(flat, _LARGE)}. Doors, fins and "
            f"flaps are real: look before you remove one, such as with --drop '{mesh.parts[flat[0]]}'."
        )
    return report


def _more(names: Sequence[object], shown: int = _LISTED) -> str:
    return f" and {len(names) - shown} more" if len(names) > shown else ""


def _follows(name: str, following: str) -> bool:
    stem, _, number = name.rpartition(" ")
    return number.isdecimal() and following == f"{stem} {int(number) + 1}"


def _corners(mesh: TriangleMesh, part: int) -> Float[np.ndarray, "corner 3"]:
    return mesh.vertices[np.unique(mesh.faces[mesh.part_of_face == part])]


def _size(mesh: TriangleMesh, part: int) -> str:
    return " x ".join(f"{length:.2f}" for length in np.ptp(_corners(mesh, part), axis=0)) + " m"


def _place(corners: Float[np.ndarray, "corner 3"], middle: Float[np.ndarray, "3"]) -> str:
    """Where a piece is, from the middle of the whole model on the ground."""
    x, y, z = (corners.min(axis=0) + corners.max(axis=0)) / 2 - middle
    side = f"{abs(y):.1f} m to {'port' if y > 0 else 'starboard'}" if abs(y) >= 0.05 else "in the middle"
    return f"{abs(x):.1f} m {'ahead' if x > 0 else 'behind'}, {side}, {z:.1f} m up"


def _is_flat(mesh: TriangleMesh, part: int) -> bool:
    """Whether the piece is large enough to matter and thinner than 1 % of its length."""
    offset = _corners(mesh, part)
    offset = offset - offset.mean(axis=0)
    extent = np.ptp(offset @ np.linalg.svd(offset.T @ offset)[2].T, axis=0)
    model = float(np.max(mesh.bounds[1] - mesh.bounds[0]))
    return bool(extent[0] > _FLAT_SIZE * model and extent[2] < _FLAT * extent[0])
