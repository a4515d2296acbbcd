"""Fields and phases for arrays of rays: reflection, physical optics and incoherent scattering (see ``wavefront``)."""

import numpy as np
from jaxtyping import Complex, Float, Int

from geodiff_sar.geometry.options import GroundOptions, SurfaceOptions

FLAT = np.array([1.0, 1.0, -1.0])  # mirrors a vector at the ground


def dot(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Scalar products of (ray, 3) arrays, not conjugated."""
    return np.einsum("ri,ri->r", x, y)


def along(vectors: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Scalar products of (ray, n, 3) vectors with (ray, 3) directions, (ray, n), not conjugated."""
    return np.einsum("rni,ri->rn", vectors, direction)


def mirror(vectors: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """(ray, n, 3) vectors, mirrored at the planes with these (ray, 3) unit normals."""
    return vectors - 2 * along(vectors, normal)[:, :, None] * normal[:, None]


def at_ground(
    field: Complex[np.ndarray, "ray 2 3"], k: Float[np.ndarray, "ray 3"], ground: GroundOptions, wavenumber: float
) -> Complex[np.ndarray, "ray 2 3"]:
    """Field after Fresnel's reflection at z = 0 of waves that travel downwards along k: Gs (E.s) s + Gp (E.p) p'."""
    cosine = -k[:, 2]
    if ground.metal:
        gs, gp = -np.ones(len(k)), np.ones(len(k))
    else:
        permittivity = complex(ground.permittivity, -ground.loss)
        q = np.sqrt(permittivity - (1 - cosine**2))
        gs, gp = (cosine - q) / (cosine + q), (permittivity * cosine - q) / (permittivity * cosine + q)
    s = np.cross(k, [0.0, 0.0, 1.0])
    length = np.linalg.norm(s, axis=1, keepdims=True)
    s = np.where(length > 1e-9, s / np.maximum(length, 1e-9), [1.0, 0.0, 0.0])
    p_in, p_out = np.cross(s, k), np.cross(s, k * FLAT)
    loss = np.exp(-2 * (wavenumber * ground.roughness_m * cosine) ** 2)
    along_s, along_p = along(field, s) * (loss * gs)[:, None], along(field, p_in) * (loss * gp)[:, None]
    return along_s[:, :, None] * s[:, None] + along_p[:, :, None] * p_out[:, None]


def scattered(
    field: Complex[np.ndarray, "ray 2 3"],
    axes: Float[np.ndarray, "ray 2 3"],
    k: Float[np.ndarray, "ray 3"],
    n: Float[np.ndarray, "ray 3"],
    toward: Float[np.ndarray, "3"],
    receive: Complex[np.ndarray, "2 3"],
    share: float,
) -> Complex[np.ndarray, "ray 4"]:
    """F S of physical optics for HH, HV, VH, VV, per unit of tube area; ``share`` is tube width over wavelength."""
    c = dot(n, k)[:, None]
    current = np.einsum("rti,qi->rtq", field, receive)
    current -= (along(field, n) / c)[:, :, None] * (k @ receive.T)[:, None]
    # change of the path across the tube, along its two edges projected on the face
    edges = axes - (along(axes, n) / c)[:, :, None] * k[:, None]
    taper = np.sinc(along(edges, k - toward) * share).prod(axis=1)
    return current.reshape(-1, 4) * taper[:, None]


def incoherent_rcs(
    k: Float[np.ndarray, "ray 3"],
    n: Float[np.ndarray, "ray 3"],
    toward: Float[np.ndarray, "3"],
    surface: SurfaceOptions,
    wavenumber: float,
    area: float,
) -> Float[np.ndarray, " ray"]:
    """Cross-section in m^2 of Lambert's law plus Kirchhoff's rough surface in the geometrical-optics limit."""
    cos_in, cos_out = -dot(n, k), n @ toward
    rcs = 4 * surface.diffuse * cos_out * area
    if surface.rms_slope > 0:
        between = toward - k
        cosine = dot(between, n) / np.maximum(np.linalg.norm(between, axis=1), 1e-9)
        variance, square = surface.rms_slope**2, np.maximum(cosine, 1e-3) ** 2
        sigma0 = np.exp(-(1 - square) / square / (2 * variance)) / (2 * variance * square**2)
        lost = 1 - np.exp(-((wavenumber * surface.roughness_m * (cos_in + cos_out)) ** 2))
        rcs += np.where(cosine > 1e-3, sigma0 * lost * area / cos_in, 0.0)
    return rcs


def random_phase(
    row: Int[np.ndarray, " ray"], column: Int[np.ndarray, " ray"], number: int, seed: int
) -> Float[np.ndarray, " ray"]:
    """Phase in [0, 2 pi) that depends on ray, event and seed alone: 32-bit integers, mixed twice."""
    low = np.uint64(0xFFFFFFFF)
    event = (number * 277803737 + seed * 3266489917) & 0xFFFFFFFF
    x = row.astype(np.uint64) * np.uint64(747796405) + column.astype(np.uint64) * np.uint64(2891336453)
    x = (x + np.uint64(event)) & low
    for _ in range(2):
        x = (((x >> np.uint64(16)) ^ x) * np.uint64(0x45D9F3B)) & low
    return 2 * np.pi * ((x >> np.uint64(16)) ^ x).astype(np.float64) / 2.0**32
