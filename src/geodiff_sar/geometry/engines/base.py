"""What an engine is: it is built for a scene once, and traces one pose after another."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.core.registry import Registry
from geodiff_sar.geometry.bvh import Bvh, build_bvh
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.options import TraceOptions
from geodiff_sar.geometry.triangles import TriangleMesh


class Scene:
    """A target, prepared for tracing.

    Attributes:
        vertices: (V, 3) m, body frame; only those that faces use.
        faces: (F, 3) faces that have an area.
        planes: (F, 4) unit normal n and distance c of every face's plane n.p = c, float64.
        part_of_face: (F,) index into ``parts``.
        parts: names of the target's parts.
        offset_m: how far rays start above the face they leave, against finding it again; far above float32 rounding.
    """

    vertices: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    planes: Float[np.ndarray, "face 4"]
    part_of_face: Int[np.ndarray, " face"]
    parts: tuple[str, ...]
    offset_m: float

    def __init__(self, mesh: TriangleMesh):
        mesh = mesh.with_faces(mesh.face_areas > 0.0)
        self.vertices, self.faces = mesh.vertices, mesh.faces
        self.part_of_face, self.parts = mesh.part_of_face, mesh.parts
        normals = mesh.face_normals
        self.planes = np.ascontiguousarray(
            np.column_stack([normals, np.einsum("fi,fi->f", normals, self.vertices[self.faces[:, 0]])])
        )
        self.offset_m = max(2e-4, 1e-5 * float(np.abs(self.vertices).max()))

    @cached_property
    def bvh(self) -> Bvh:
        """The tree over the faces."""
        return build_bvh(self.vertices[self.faces])


@dataclass(frozen=True)
class TraceRequest:
    """One pose to trace.

    Attributes:
        look: the radar's frame.
        wavelength_m: carrier wavelength, m.
        options: rays, bounces, ground, surfaces.
    """

    look: Look
    wavelength_m: float
    options: TraceOptions


class Engine(Protocol):
    """Traces poses of one scene."""

    def __init__(self, scene: Scene): ...

    def trace(self, request: TraceRequest, threads: int = 1) -> Hits:
        """All hits of one pose; the same bits for any number of threads."""
        ...


ENGINES: Registry[type[Engine]] = Registry("ray engine", "engine", "geodiff_sar.geometry.engines")
