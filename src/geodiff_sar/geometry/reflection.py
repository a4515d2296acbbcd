"""Reflection of a plane wave: Fresnel's coefficients, and the reflected field and tube axes.

Time dependence e^{+jwt}; permittivity eps' - j eps''; a perfect conductor has Gs = -1, Gp = +1 (see docs/method.md).
"""

import cmath
import math
from typing import no_type_check

import numpy as np

from geodiff_sar.geometry.kernels import inner_kernel
from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.options import GroundOptions


@inner_kernel
@no_type_check
def fresnel(cos_incidence, permittivity, metal):
    """Coefficients (Gs, Gp) for the field perpendicular to and in the plane of incidence."""
    if metal:
        return complex(-1.0), complex(1.0)
    q = cmath.sqrt(permittivity - (1.0 - cos_incidence * cos_incidence))
    scaled = permittivity * cos_incidence
    return (cos_incidence - q) / (cos_incidence + q), (scaled - q) / (scaled + q)


@inner_kernel
@no_type_check
def coherent_loss(wavenumber, roughness, cos_incidence):
    """Amplitude factor exp(-2 (k s cos)^2) of specular reflection at a surface of rms height s."""
    phase = wavenumber * roughness * cos_incidence
    return math.exp(-2.0 * phase * phase)


def ground_receive_vectors(look: Look, ground: GroundOptions, wavelength_m: float) -> np.ndarray:
    """(2, 3) complex: H and V receive vectors after reflection at the ground, for rays that leave the target downwards.

    By reciprocity these are the fields that the radar would send along the reversed path.
    """
    u = look.toward
    permittivity = complex(ground.permittivity, -ground.loss)
    across_factor, plane_factor = fresnel(u[2], permittivity, ground.metal)
    loss = coherent_loss(2 * math.pi / wavelength_m, ground.roughness_m, float(u[2]))
    arriving, leaving = -u, np.array([-u[0], -u[1], u[2]])
    s = np.cross(arriving, [0.0, 0.0, 1.0])
    s = s / np.linalg.norm(s)
    p_in, p_out = np.cross(s, arriving), np.cross(s, leaving)
    vectors = np.stack([look.across, look.above])
    return loss * (
        across_factor * (vectors @ s)[:, None] * s[None] + plane_factor * (vectors @ p_in)[:, None] * p_out[None]
    )
