"""Corner reflectors: the open shapes whose radar cross-section textbooks give."""

import numpy as np

from geodiff_sar.geometry.targets.basics import as_mesh
from geodiff_sar.geometry.targets.primitives import plate
from geodiff_sar.geometry.triangles import TriangleMesh, merge


def dihedral(width_m: float, height_m: float, part: str = "dihedral") -> TriangleMesh:
    """Two plates at a right angle with their common edge on the y axis, open towards +x and +z.

    Args:
        width_m: length of the common edge, from -width/2 to width/2.
        height_m: depth of each plate.
        part: name of the part.
    """
    half = width_m / 2
    floor = np.array([[0, -half, 0], [height_m, -half, 0], [height_m, half, 0], [0, half, 0]])
    wall = np.array([[0, -half, 0], [0, half, 0], [0, half, height_m], [0, -half, height_m]])
    return merge([plate(floor, part), plate(wall, part)], part)


def square_trihedral(side_m: float, part: str = "trihedral") -> TriangleMesh:
    """Three square plates on the coordinate planes, open towards (1, 1, 1), with the apex at the origin."""
    s = side_m
    sides = [
        [[0, 0, 0], [s, 0, 0], [s, s, 0], [0, s, 0]],
        [[0, 0, 0], [0, s, 0], [0, s, s], [0, 0, s]],
        [[0, 0, 0], [0, 0, s], [s, 0, s], [s, 0, 0]],
    ]
    return merge([plate(np.array(side, dtype=np.float64), part) for side in sides], part)


def triangular_trihedral(side_m: float, part: str = "trihedral") -> TriangleMesh:
    """Three right-angled triangles on the coordinate planes, open towards (1, 1, 1), with the apex at the origin."""
    vertices = side_m * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float64)
    return as_mesh(vertices, np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1]]), part)
