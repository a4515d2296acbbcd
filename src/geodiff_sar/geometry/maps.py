"""Maps for spatial conditioning, on the chip's pixel grid; all values in [0, 1]."""

from typing import no_type_check

import numpy as np
from jaxtyping import Complex64, Float32
from numba import njit

from geodiff_sar.geometry.hits import POLARISATION_COLUMN, Hits
from geodiff_sar.geometry.look import Look
from geodiff_sar.geometry.radar import RadarOptions, pixel_coordinates
from geodiff_sar.geometry.visibility import Visibility

MAP_NAMES = (
    "illumination", "shadow", "energy_1", "energy_2", "energy_3", "height", "centres", "body_x", "body_y",
)  # fmt: skip
"""What the maps hold.

illumination: 1 where a lit piece of the target is imaged. shadow: share of the ground that is hidden. energy_1, energy_2,
energy_3: incoherent power of one, two, three and more reflections in the prior's polarisation, -40 to +20 dBsm per pixel.
height: of the highest lit piece, 0 to 10 m. centres: local maxima of the noise-free image, down to 30 dB under the strongest.
body_x, body_y: where on the target that piece is, towards nose and port, -10 m as 0 to +10 m as 1; 0 off the target. They
say where the nose is when the outline does not.
"""

ENERGY_FLOOR_DBSM, ENERGY_RANGE_DB = -40.0, 60.0
HEIGHT_SCALE_M = 10.0
BODY_RANGE_M = 20.0
CENTRES_RANGE_DB = 30.0


def prior_maps(
    hits: Hits,
    image: Complex64[np.ndarray, "row column"],
    seen: Visibility,
    look: Look,
    radar: RadarOptions,
    polarisation: str,
) -> Float32[np.ndarray, "map row column"]:
    """The maps named in MAP_NAMES; ``image`` is the target alone, without clutter and noise."""
    energy = np.zeros((3, radar.rows, radar.columns))
    _collect_energy(
        hits.position,
        hits.amplitude,
        hits.order,
        POLARISATION_COLUMN[polarisation],
        radar.pixel_cross_range_m,
        radar.pixel_range_m,
        energy,
    )
    level = (10 * np.log10(np.maximum(energy, 1e-12)) - ENERGY_FLOOR_DBSM) / ENERGY_RANGE_DB
    return np.concatenate(
        [
            seen.illumination[None],
            1.0 - seen.lit[None],
            np.clip(level, 0.0, 1.0),
            np.clip(seen.height[None] / HEIGHT_SCALE_M, 0.0, 1.0),
            dominant_centres(image)[None],
            body_position(seen, look, radar),
        ]
    ).astype(np.float32)


def body_position(seen: Visibility, look: Look, radar: RadarOptions) -> Float32[np.ndarray, "2 row column"]:
    """Where on the target the highest lit piece of each pixel is: x (nose) and y (port) of the body frame as shares of
    BODY_RANGE_M around the origin; 0 where no lit piece is imaged.

    A piece at cross-range s, slant range r and height h is s a + t v - r u with h = t v_z - r u_z (a, u, v: see Look).
    """
    cross, slant = pixel_coordinates(radar)
    s, w = cross[:, None, None], -slant[None, :, None]
    t = (seen.height[..., None] - w * look.toward[2]) / look.above[2]
    place = (s * look.across + t * look.above + w * look.toward)[..., :2]
    share = np.where(seen.illumination[..., None] > 0, np.clip(place / BODY_RANGE_M + 0.5, 0.0, 1.0), 0.0)
    return np.moveaxis(share, -1, 0).astype(np.float32)


def dominant_centres(image: Complex64[np.ndarray, "row column"]) -> Float32[np.ndarray, "row column"]:
    """1 at the strongest pixel, falling to 0 at 30 dB below, at pixels that no neighbour exceeds; 0 elsewhere."""
    magnitude = np.abs(image)
    peak = float(magnitude.max())
    if peak == 0.0:
        return np.zeros(image.shape, dtype=np.float32)
    padded = np.pad(magnitude, 1, constant_values=-1.0)
    rows, columns = magnitude.shape
    neighbours = [
        padded[1 + i : 1 + i + rows, 1 + j : 1 + j + columns]
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0)
    ]
    highest = np.maximum.reduce(neighbours)
    level = 1.0 + 20 * np.log10(np.maximum(magnitude, 1e-30) / peak) / CENTRES_RANGE_DB
    return np.where(magnitude >= highest, np.clip(level, 0.0, 1.0), 0.0).astype(np.float32)


@njit(cache=True, nogil=True)
@no_type_check
def _collect_energy(position, amplitude, order, column, cross_pixel, range_pixel, energy):
    """Add every hit's squared magnitude to the pixel it falls in; orders above 3 count as 3."""
    rows, columns = energy.shape[1], energy.shape[2]
    for i in range(len(order)):
        y = int(np.floor(position[i, 1] / cross_pixel + rows // 2 + 0.5))
        x = int(np.floor(position[i, 0] / range_pixel + columns // 2 + 0.5))
        if 0 <= y < rows and 0 <= x < columns:
            value = amplitude[i, column]
            energy[min(order[i], 3) - 1, y, x] += np.float64(value.real) ** 2 + np.float64(value.imag) ** 2
