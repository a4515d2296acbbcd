"""A triangle mesh in the body frame, and the few operations that builders and engines need."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_bytes


@dataclass(frozen=True)
class TriangleMesh:
    """Triangles in the body frame: x nose, y port (left), z up, metres; the ground is z = 0.

    Attributes:
        vertices: (V, 3) float64, metres.
        faces: (F, 3) int64, rows of ``vertices``.
        part_of_face: (F,) int64, index into ``parts``.
        parts: names of the parts ("wing", "propeller"), one or more.
        name: what the mesh shows.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    part_of_face: Int[np.ndarray, " face"] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    parts: tuple[str, ...] = ("body",)
    name: str = "mesh"

    def __post_init__(self) -> None:
        if len(self.faces) == 0 or len(self.vertices) == 0:
            raise DataError(self.name, "has no triangles", "a mesh with at least one triangle", "check the model")
        object.__setattr__(self, "vertices", np.ascontiguousarray(self.vertices, dtype=np.float64))
        object.__setattr__(self, "faces", np.ascontiguousarray(self.faces, dtype=np.int64))
        parts = self.part_of_face if len(self.part_of_face) else np.zeros(len(self.faces), dtype=np.int64)
        object.__setattr__(self, "part_of_face", np.ascontiguousarray(parts, dtype=np.int64))
        if not np.isfinite(self.vertices).all():
            raise DataError(
                self.name, "has vertices that are NaN or infinite", "finite coordinates", "export the model again"
            )
        if self.faces.min() < 0 or self.faces.max() >= len(self.vertices):
            raise DataError(
                self.name,
                f"faces name vertex {int(self.faces.max())} of {len(self.vertices)}",
                "faces name existing vertices",
                "export the model again",
            )

    @property
    def corners(self) -> Float[np.ndarray, "face 3 3"]:
        """Corner positions of every face."""
        return self.vertices[self.faces]

    @property
    def bounds(self) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
        """Lowest and highest coordinate of the vertices in use."""
        used = self.corners.reshape(-1, 3)
        return used.min(axis=0), used.max(axis=0)

    @property
    def face_areas(self) -> Float[np.ndarray, " face"]:
        """Area of every face, m^2."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)

    @property
    def face_normals(self) -> Float[np.ndarray, "face 3"]:
        """Unit normals by the right-hand rule; zero for faces without area."""
        a, b, c = np.moveaxis(self.corners, 1, 0)
        normal = np.cross(b - a, c - a)
        length = np.linalg.norm(normal, axis=1, keepdims=True)
        return normal / np.where(length > 0, length, 1.0)

    @property
    def content_hash(self) -> str:
        """SHA-256 of vertices and faces."""
        return sha256_bytes(self.vertices.tobytes(), self.faces.tobytes())

    def transformed(
        self, matrix: Float[np.ndarray, "3 3"], offset: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> "TriangleMesh":
        """Every vertex p becomes ``matrix @ p + offset``; a mirroring matrix also turns the faces round."""
        vertices = self.vertices @ np.asarray(matrix, dtype=np.float64).T + np.asarray(offset, dtype=np.float64)
        faces = self.faces if np.linalg.det(matrix) > 0 else self.faces[:, ::-1]
        return replace(self, vertices=vertices, faces=faces)

    def moved(self, offset: Sequence[float]) -> "TriangleMesh":
        """Every vertex moved by ``offset``, m."""
        return self.transformed(np.eye(3), offset)

    def with_faces(self, keep: np.ndarray) -> "TriangleMesh":
        """Only the faces that ``keep`` (mask or indices) selects; vertices no longer in use are dropped."""
        faces, part = self.faces[keep], self.part_of_face[keep]
        if len(faces) == 0:
            raise DataError(self.name, "has no triangles left", "at least one triangle", "remove fewer parts")
        used, renumbered = np.unique(faces, return_inverse=True)
        return replace(self, vertices=self.vertices[used], faces=renumbered.reshape(-1, 3), part_of_face=part)


def merge(meshes: Sequence[TriangleMesh], name: str) -> TriangleMesh:
    """One mesh of several; parts of the same name become one part."""
    names = tuple(dict.fromkeys(part for mesh in meshes for part in mesh.parts))
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])[:-1]
    renumbered = [np.array([names.index(part) for part in mesh.parts])[mesh.part_of_face] for mesh in meshes]
    return TriangleMesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.faces + offset for mesh, offset in zip(meshes, offsets, strict=True)]),
        np.concatenate(renumbered),
        names,
        name,
    )
