"""Random heaps of primitives for pre-training: shapes that scatter in every way an engine knows."""

from collections.abc import Callable

import numpy as np

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets.basics import rotation
from geodiff_sar.geometry.targets.primitives import box, prism, slab, sphere, tube
from geodiff_sar.geometry.targets.reflectors import dihedral, square_trihedral, triangular_trihedral
from geodiff_sar.geometry.triangles import TriangleMesh, merge

SMALLEST_EXTENT_M, LARGEST_EXTENT_M = 3.0, 14.0


def _box(rng: np.random.Generator) -> TriangleMesh:
    size = rng.uniform(0.3, 3.0, 3) * [1.0, 0.8, 0.6]
    return box(list(-size / 2), list(size / 2), "box")


def _plate(rng: np.random.Generator) -> TriangleMesh:
    size = (float(rng.uniform(0.5, 3.0)), float(rng.uniform(0.5, 2.5)), 0.02)
    return slab((0.0, 0.0, 0.0), size, float(rng.uniform(-90, 90)), part="plate")


def _cylinder(rng: np.random.Generator) -> TriangleMesh:
    direction = rng.normal(size=3) * [1.0, 1.0, 0.8]
    if rng.random() < 0.6:
        direction = np.eye(3)[int(rng.integers(3))]
    half = direction / np.linalg.norm(direction) * rng.uniform(0.4, 2.0)
    return tube(list(-half), list(half), float(rng.uniform(0.05, 0.6)), part="cylinder")


def _sphere(rng: np.random.Generator) -> TriangleMesh:
    return sphere(float(rng.uniform(0.1, 0.5)), segments=80, part="sphere")


def _dihedral(rng: np.random.Generator) -> TriangleMesh:
    shape = dihedral(float(rng.uniform(0.3, 2.0)), float(rng.uniform(0.2, 1.2)))
    return shape.transformed(rotation("x", float(rng.choice([0.0, 0.0, 45.0, 22.5]))))


def _trihedral(rng: np.random.Generator) -> TriangleMesh:
    side = float(rng.uniform(0.15, 0.9))
    build = square_trihedral if rng.random() < 0.5 else triangular_trihedral
    facing = rotation("z", -45.0)
    return build(side).transformed(rotation("y", float(rng.uniform(-15, 15))) @ facing)


def _wedge(rng: np.random.Generator) -> TriangleMesh:
    length, height, half = rng.uniform(0.5, 3.0), rng.uniform(0.3, 1.5), rng.uniform(0.2, 1.2)
    outline = np.array([(-length / 2, 0.0), (length / 2, 0.0), (-length / 2, height)])
    return prism(outline, -float(half), float(half), "wedge")


MAKERS: tuple[Callable[[np.random.Generator], TriangleMesh], ...] = (
    _box,
    _plate,
    _cylinder,
    _sphere,
    _dihedral,
    _trihedral,
    _wedge,
)


def build_composite(seed: int) -> TriangleMesh:
    """A composite of 5 to 18 primitives that stands on the ground, its plan 3 to 14 m long.

    The primitives may overlap; most stand on the ground, some are stacked above it. The same seed gives the same mesh,
    bit for bit.

    Args:
        seed: 0 or above.

    Raises:
        OptionError: the seed is negative.
    """
    if seed < 0:
        raise OptionError("seed", str(seed), "a whole number from 0", "use another seed")
    rng = np.random.default_rng([seed, 7])
    extent = rng.uniform(SMALLEST_EXTENT_M + 1.0, LARGEST_EXTENT_M - 1.0)
    spread = np.array([extent / 2, extent / 2 * rng.uniform(0.2, 1.0)])
    parts = []
    for _ in range(int(rng.integers(5, 19))):
        shape = MAKERS[int(rng.integers(len(MAKERS)))](rng)
        turned = shape.transformed(rotation("z", float(rng.uniform(-180, 180))))
        x, y = rng.uniform(-spread, spread)
        lift = float(rng.uniform(0.2, 2.0)) if rng.random() < 0.3 else 0.0
        parts.append(turned.moved((float(x), float(y), lift - float(turned.bounds[0][2]))))
    return _fitted(merge(parts, "composite"), float(extent))


def _fitted(mesh: TriangleMesh, extent_m: float) -> TriangleMesh:
    """The composite scaled so that its plan is ``extent_m`` long, centred, on the ground."""
    low, high = mesh.bounds
    scale = extent_m / float(max(high[0] - low[0], high[1] - low[1]))
    middle = 0.5 * scale * (low + high)
    return mesh.transformed(scale * np.eye(3), (-middle[0], -middle[1], -scale * low[2]))
