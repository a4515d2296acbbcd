"""What every shape needs: facet sizes, volumes, orientation, mirror images."""

import numpy as np
from jaxtyping import Float, Int

from geodiff_sar.geometry.triangles import TriangleMesh

SMALLEST_AREA_M2 = 1e-10  # faces below this are slivers that a loft closes to a point or an edge
WAVELENGTH_M = 0.02
FACET_FRACTION = 0.3  # wings, tail and simple solids
BODY_FRACTION = 0.4  # fuselages, nacelles and pods: sagitta 0.01 wavelengths


def facet_length_m(radius_m: float, wavelength_m: float = WAVELENGTH_M, fraction: float = FACET_FRACTION) -> float:
    """Longest facet along a curve of the given radius: ``fraction * sqrt(wavelength radius / 2)``, m.

    The sagitta of a facet is ``fraction^2 / 16`` wavelengths (0.0056 for 0.3), so a faceted curve radiates like the
    smooth one.
    """
    return fraction * float(np.sqrt(wavelength_m * radius_m / 2))


def segments_around(radius_m: float, least: int = 12, fraction: float = FACET_FRACTION) -> int:
    """Number of facets round a circle by the rule of `facet_length_m`; a multiple of four."""
    needed = 2 * np.pi * radius_m / facet_length_m(radius_m, fraction=fraction)
    return max(least, 4 * int(np.ceil(needed / 4)))


def as_mesh(
    vertices: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"], part: str = "body"
) -> TriangleMesh:
    """A mesh of one part, without the faces that have no area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    area = 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1)
    return TriangleMesh(vertices, faces[area > SMALLEST_AREA_M2], parts=(part,), name=part)


def signed_volume(mesh: TriangleMesh) -> float:
    """Volume enclosed by a closed mesh, m^3; negative where the faces point inwards."""
    a, b, c = np.moveaxis(mesh.corners, 1, 0)
    return float(np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6)


def outward(mesh: TriangleMesh) -> TriangleMesh:
    """The closed mesh with its faces turned so that the normals point outwards."""
    if signed_volume(mesh) >= 0:
        return mesh
    return TriangleMesh(mesh.vertices, mesh.faces[:, ::-1], mesh.part_of_face, mesh.parts, mesh.name)


def mirrored(mesh: TriangleMesh) -> TriangleMesh:
    """The mirror image in the plane y = 0, normals still outwards."""
    return mesh.transformed(np.diag([1.0, -1.0, 1.0]))


def rotation(axis: str, angle_deg: float) -> Float[np.ndarray, "3 3"]:
    """Rotation about the axis "x", "y" or "z" by the right-hand rule."""
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix
