"""Reading mesh files into triangles with part names, in the file's own unit and axes."""

import struct
import warnings
from pathlib import Path

import numpy as np

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import require_file
from geodiff_sar.geometry.mesh_count import require_face_limit, require_loadable
from geodiff_sar.geometry.mesh_obj import read_obj
from geodiff_sar.geometry.triangles import TriangleMesh

SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf", ".off")
"""Endings that are read. 3MF and COLLADA (.dae) need libraries that are not installed with this package; formats that
can hold programs or archives are left out on purpose."""

_BODY = "body"
_AGAIN = "export the model again as OBJ, PLY, STL or GLB"
_TRIMESH_ERRORS = (
    *(ValueError, LookupError, TypeError, AttributeError, NameError, OSError, EOFError, RuntimeError),
    *(struct.error, ArithmeticError, ImportError, AssertionError, MemoryError),
)
_Pieces = list[tuple[str, np.ndarray, np.ndarray]]


def read_mesh(path: Path, max_faces: int) -> tuple[TriangleMesh, list[str]]:
    """Read a mesh file.

    Parts are named after objects, groups and materials (OBJ) or nodes (GLB, glTF); other formats have one part, "body".
    Textures and material files are never opened. Node transforms are applied.

    Args:
        path: a file with one of the endings in SUFFIXES.
        max_faces: most triangles allowed; a file that claims more is refused before it is loaded.

    Returns:
        The mesh in the file's unit and axes, and what was found, in sentences.

    Raises:
        FileError: missing, empty, damaged, of another format, without triangles or too large.
        DataError: triangles with coordinates that are NaN or infinite.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FileError(
            path,
            f"has the ending {path.suffix!r}",
            f"one of {', '.join(SUFFIXES)}",
            "convert the model, with Blender for one (3MF and DAE too)",
        )
    require_file(path, "mesh", "check the path")
    claimed = require_loadable(path, max_faces)
    if suffix == ".obj":
        vertices, faces, names = read_obj(path)
        parts = tuple(dict.fromkeys(names))
        number = {name: index for index, name in enumerate(parts)}
        part_of_face = np.array([number[name] for name in names], dtype=np.int64)
    else:
        pieces = _read_with_trimesh(path, suffix)
        parts = tuple(dict.fromkeys(name for name, _, _ in pieces))
        offsets = np.cumsum([0, *(len(points) for _, points, _ in pieces)])
        vertices = np.concatenate([points for _, points, _ in pieces]) if pieces else np.zeros((0, 3))
        faces = [rows + offset for (_, _, rows), offset in zip(pieces, offsets[:-1], strict=True)]
        faces = np.concatenate(faces) if faces else np.zeros((0, 3), dtype=np.int64)
        part_of_face = np.repeat(
            np.array([parts.index(name) for name, _, _ in pieces], dtype=np.int64), [len(rows) for _, _, rows in pieces]
        )
    if len(faces) == 0:
        found = f"holds {len(vertices):,} points and no faces" if len(vertices) else "holds no mesh that can be read"
        raise FileError(path, found, "a mesh with at least one triangle", _AGAIN)
    if suffix == ".off" and len(faces) < claimed:
        raise FileError(
            path, f"holds {len(faces):,} faces; its header promises {claimed:,}", "a file that is whole", _AGAIN
        )
    require_face_limit(path, len(faces), max_faces)
    mesh = _without_loose_vertices(path, vertices, faces, part_of_face, parts)
    counts = np.bincount(mesh.part_of_face, minlength=len(parts))
    listed = [f"{name} ({count:,})" for name, count in zip(mesh.parts, counts, strict=True)]
    more = f" and {len(listed) - 40} more" if len(listed) > 40 else ""
    return mesh, [
        f"{path.name}: {len(mesh.faces):,} triangles, {len(mesh.vertices):,} vertices.",
        f"{len(parts)} part{'s' if len(parts) > 1 else ''} (with triangles): {', '.join(listed[:40])}{more}.",
    ]


def _read_with_trimesh(path: Path, suffix: str) -> _Pieces:
    """(part name, vertices, faces) of every mesh in the file, in the frame of the whole scene."""
    import trimesh
    from trimesh.resolvers import FilePathResolver

    try:
        with warnings.catch_warnings(), path.open("rb") as file:
            warnings.simplefilter("ignore")  # remarks on textures and the like; what is wrong is said below
            scene = trimesh.load_scene(
                file,
                file_type=suffix[1:],
                resolver=FilePathResolver(str(path)),
                process=False,
                skip_materials=True,
            )
            pieces: _Pieces = []
            for node in sorted(scene.graph.nodes_geometry):
                matrix, key = scene.graph[node]
                geometry = scene.geometry[key]
                if not isinstance(geometry, trimesh.Trimesh):
                    continue
                matrix = np.asarray(matrix, dtype=np.float64)
                with np.errstate(all="ignore"):  # coordinates that overflow are refused later
                    vertices = np.asarray(geometry.vertices, dtype=np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
                    mirrored = np.linalg.det(matrix[:3, :3]) < 0
                faces = np.asarray(geometry.faces, dtype=np.int64).reshape(-1, 3)
                name = str(node) if suffix in (".glb", ".gltf") else _BODY
                pieces.append((name, vertices.reshape(-1, 3), faces[:, ::-1] if mirrored else faces))
    except _TRIMESH_ERRORS as error:
        reason = (str(error).splitlines() or [""])[0][:120] or type(error).__name__
        raise FileError(
            path, f"cannot be read; truncated or damaged ({reason})", f"an intact {suffix} file", _AGAIN
        ) from error
    return pieces


def _without_loose_vertices(
    path: Path, vertices: np.ndarray, faces: np.ndarray, part_of_face: np.ndarray, parts: tuple[str, ...]
) -> TriangleMesh:
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise FileError(
            path,
            f"faces name vertex {int(faces.max())} of {len(vertices)}",
            "faces name existing vertices",
            _AGAIN,
        )
    parts = tuple("".join(c if c.isprintable() else "?" for c in part) for part in parts)
    used, renumbered = np.unique(faces, return_inverse=True)
    bad = int((~np.isfinite(vertices[used]).all(axis=1)).sum())
    if bad:
        raise DataError(path, f"{bad:,} of {len(used):,} vertices are NaN or infinite", "finite coordinates", _AGAIN)
    return TriangleMesh(vertices[used], renumbered.reshape(-1, 3), part_of_face, parts, path.stem)
