"""A second engine: numpy, with ray casts by Embree; it checks the default one, and suits very large models."""

import numpy as np
from jaxtyping import Bool, Float, Int

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.engines.base import ENGINES, Scene, TraceRequest
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.wavefront import Wavefront


class EmbreeCaster:
    """Ray casts by the optional package embreex: float32, watertight.

    Raises:
        OptionError: embreex is not installed.
    """

    def __init__(self, scene: Scene):
        try:
            from embreex.mesh_construction import TriangleMesh
            from embreex.rtcore_scene import EmbreeScene
        except ImportError as error:
            raise OptionError(
                "engine",
                "'embree', but the package embreex is not installed",
                "the engine 'embree' needs embreex; the default engine 'fused' does not",
                'pip install "geodiff-sar[embree]"',
            ) from error
        self.tree = EmbreeScene(robust=True)
        # a mesh belongs to its tree, and is numbered by its faces
        self.mesh = TriangleMesh(self.tree, scene.vertices.astype(np.float32), scene.faces.astype(np.int32))
        # the first cast builds the tree: here, before threads share it
        self.closest(np.zeros((1, 3)), np.ones((1, 3)))

    def closest(
        self, origins: Float[np.ndarray, "ray 3"], directions: Float[np.ndarray, "ray 3"]
    ) -> Int[np.ndarray, " ray"]:
        """Number of the face that each ray meets first, or -1."""
        return self.tree.run(_single(origins), _single(directions))

    def blocked(
        self,
        origins: Float[np.ndarray, "ray 3"],
        directions: Float[np.ndarray, "ray 3"],
        limit_m: Float[np.ndarray, " ray"] | None = None,
    ) -> Bool[np.ndarray, " ray"]:
        """Whether each ray meets any face, nearer than ``limit_m`` where that is given."""
        # embreex overwrites the limits in some queries, so it gets its own copy
        limits = None if limit_m is None else limit_m.astype(np.float32)
        return self.tree.run(_single(origins), _single(directions), dists=limits, query="OCCLUDED") >= 0


@ENGINES.register("embree")
class EmbreeEngine:
    """Rays as numpy arrays, cast by Embree: a few times slower than ``fused`` on small models, and independent of it.

    Raises:
        OptionError: embreex is not installed.
    """

    def __init__(self, scene: Scene):
        self.scene, self.caster = scene, EmbreeCaster(scene)

    def trace(self, request: TraceRequest, threads: int = 1) -> Hits:
        """All hits of one pose; the same bits for any number of threads."""
        return Wavefront(self.scene, self.caster, request).trace(threads)


def _single(vectors: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(vectors, dtype=np.float32)
