"""Where on a measured chip its target lies, found by the maps of its prior.

Chip and prediction are put in decibels over the ground clutter and split into two bands: the dark band (shadow against
ground) and the bright band (target against ground). Each band is clipped, smoothed by a Gaussian, and compared by
normalised correlation, which takes no notice of gain and contrast; the score is the weighted sum of the two, and the
shift with the highest score is taken. The same score names the azimuth of real chips in docs/mstar.md.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from jaxtyping import Complex, Float
from scipy.ndimage import binary_dilation, gaussian_filter

from geodiff_sar.core.errors import DataError
from geodiff_sar.geometry.maps import ENERGY_FLOOR_DBSM, ENERGY_RANGE_DB, MAP_NAMES

FLOOR = 1e-3
SKIN_DB, RESPONSE_PIXELS = 6.0, 0.7
"""Least power of what the radar sees of the target, dB over the clutter; standard deviation of the system response."""


@dataclass(frozen=True)
class Bands:
    """The knobs of the similarity.

    Attributes:
        low_db, middle_db, high_db: limits of the dark band and the bright band, over the clutter's mean power.
        dark_pixels, bright_pixels: standard deviation of the smoothing.
        dark_share: weight of the dark band; the bright band has the rest.
    """

    low_db: float = -13.0
    middle_db: float = 3.0
    high_db: float = 30.0
    dark_pixels: float = 0.7
    bright_pixels: float = 0.5
    dark_share: float = 0.35


@dataclass(frozen=True)
class Alignment:
    """How a prior's maps are moved to lie on a chip.

    Attributes:
        rows: towards larger cross-range, pixels.
        columns: towards larger slant range, pixels.
        score: similarity after the move, at most 1.
        unmoved: similarity before it.
        limit: largest move in rows or columns that was looked at, pixels.
    """

    rows: int
    columns: int
    score: float
    unmoved: float
    limit: int

    @property
    def at_border(self) -> bool:
        """Whether the best move is one of the largest: the true one may lie beyond."""
        return max(abs(self.rows), abs(self.columns)) == self.limit


def align(
    amplitude: Float[np.ndarray, "row column"],
    maps: Float[np.ndarray, "map height width"],
    clutter_m2: float,
    limit: int,
    name: str,
) -> Alignment:
    """The move, in whole pixels, of a prior's maps that fits a chip best.

    Args:
        amplitude: the chip, proportional to amplitude, rows cross-range, columns slant range.
        maps: the maps of its prior (``geometry.maps.MAP_NAMES``), on the grid of the chip.
        clutter_m2: mean clutter cross-section of a pixel, m^2.
        limit: largest move, pixels.
        name: of the chip, for messages.

    Raises:
        DataError: maps on another grid, a limit beyond the chip, or a chip without clutter round the target.
    """
    if maps.shape[1:] != amplitude.shape:
        raise DataError(
            name,
            f"{amplitude.shape[0]} x {amplitude.shape[1]} pixels beside maps of {maps.shape[1]} x {maps.shape[2]}",
            "maps lie on the grid of their chip",
            "trace the prior with the rows and columns of the chip",
        )
    if not 1 <= limit <= min(amplitude.shape) // 4:
        raise DataError(
            name, f"a search of {limit} pixels", f"1 to {min(amplitude.shape) // 4}, a quarter of the chip", "lower it"
        )
    power = power_over_clutter(amplitude, maps, limit, name)
    chip, prediction = (band_spectra(image[None], Bands()) for image in (power, predicted_power(maps, clutter_m2)))
    product = sum(one[0] * np.conj(other[0]) for one, other in zip(chip, prediction, strict=True))
    plane = np.asarray(scipy.fft.irfft2(product, s=amplitude.shape))
    near = np.arange(-limit, limit + 1)
    scores = plane[np.ix_(near, near)]
    row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
    return Alignment(
        int(row) - limit, int(column) - limit, float(scores[row, column]), float(scores[limit, limit]), limit
    )


def power_over_clutter(
    amplitude: Float[np.ndarray, "row column"], maps: Float[np.ndarray, "map row column"], limit: int, name: str
) -> Float[np.ndarray, "row column"]:
    """A chip's power over that of its clutter: the pixels that neither target nor shadow can reach by a move."""
    illumination, shadow = (maps[MAP_NAMES.index(key)] > 0 for key in ("illumination", "shadow"))
    reach = np.ones((2 * limit + 1, 2 * limit + 1), dtype=bool)
    clutter = np.logical_not(binary_dilation(illumination | shadow, reach))
    power = np.square(amplitude.astype(np.float64))
    level = float(power[clutter].mean()) if clutter.any() else 0.0
    if not level > 0:
        raise DataError(
            name,
            "no clutter round target and shadow" if not clutter.any() else "black round target and shadow",
            "the level of the ground is measured there",
            "use larger chips, or align over fewer pixels",
        )
    return power / level


def predicted_power(maps: Float[np.ndarray, "map row column"], clutter_m2: float) -> Float[np.ndarray, "row column"]:
    """Mean power over that of the clutter which a prior's maps foretell: ground where it is lit, the energies through the
    system response, and SKIN_DB wherever the target is seen."""
    plane: dict[str, np.ndarray] = dict(zip(MAP_NAMES, maps.astype(np.float64), strict=True))
    levels = np.stack([level for name, level in plane.items() if name.startswith("energy_")])
    energy = np.where(levels > 0, 10 ** ((levels * ENERGY_RANGE_DB + ENERGY_FLOOR_DBSM) / 10), 0.0).sum(axis=0)
    target = energy / clutter_m2 + 10 ** (SKIN_DB / 10) * plane["illumination"]
    return 1.0 - plane["shadow"] + gaussian_filter(target, RESPONSE_PIXELS)


def band_spectra(
    power: Float[np.ndarray, "image row column"], bands: Bands
) -> tuple[Complex[np.ndarray, "image row half"], Complex[np.ndarray, "image row half"]]:
    """Dark and bright band of powers over the clutter, each with mean 0 and norm 1 times the root of its weight, as half
    spectra: the inverse transform of one image's times another's conjugate is their score at every shift."""
    level = 10 * np.log10(power + FLOOR)
    limits = (
        (bands.low_db, bands.middle_db, bands.dark_pixels, bands.dark_share),
        (bands.middle_db, bands.high_db, bands.bright_pixels, 1 - bands.dark_share),
    )
    spectra = []
    for low, high, pixels, share in limits:
        band = gaussian_filter(np.clip(level, low, high), (0, pixels, pixels))
        band -= band.mean((1, 2), keepdims=True)
        norm = np.sqrt(np.square(band).sum((1, 2), keepdims=True))
        spectra.append(scipy.fft.rfft2((np.sqrt(share) * band / np.maximum(norm, 1e-9)).astype(np.float32)))
    return spectra[0], spectra[1]
