"""From hits to a complex image: deposit on a fine grid, window the spectrum, decimate to pixels.

For small apertures this is polar-format imaging with the amplitude frozen at mid-aperture; phases are exact. The image is
calibrated: a point of radar cross-section s has the peak magnitude sqrt(s).
"""

from functools import lru_cache
from typing import no_type_check

import numpy as np
from jaxtyping import Complex64, Float, Float32
from numba import njit

from geodiff_sar.core.types import SPEED_OF_LIGHT_M_S
from geodiff_sar.geometry.hits import Hits
from geodiff_sar.geometry.radar import RadarOptions

OVERSAMPLING = 2
TAPS = 4
BETA = float(np.pi * np.sqrt((TAPS / OVERSAMPLING * (OVERSAMPLING - 0.5)) ** 2 - 0.8))
"""Fine cells per pixel, and the Kaiser-Bessel kernel over which a hit is spread: Beatty, Nishimura and Pauly 2005,
equation 5.
Aliases stay 60 dB below the peak; bilinear weights leave -40 dB, which shows as a lattice beside strong flashes."""

TABLE_STEPS = 8192
PHASE_SEED = 20
"""Of the phase error along the aperture: one radar has one."""


def taylor_window(position: Float[np.ndarray, " n"], sidelobe_db: float, nbar: int) -> Float[np.ndarray, " n"]:
    """Taylor's window at positions in units of its support, [-1/2, 1/2]; zero outside; mean 1 over the support.

    Taylor 1955; coefficients as in Carrara, Goodman and Majewski, Spotlight Synthetic Aperture Radar, 1995, appendix D.2.
    """
    a = np.arccosh(10 ** (sidelobe_db / 20)) / np.pi
    stretch = nbar**2 / (a**2 + (nbar - 0.5) ** 2)
    orders = np.arange(1, nbar)
    window = np.ones(len(position))
    for m in orders:
        above = (-1.0) ** (m + 1) * np.prod(1 - m**2 / stretch / (a**2 + (orders - 0.5) ** 2))
        below = 2 * np.prod([1 - m**2 / j**2 for j in orders if j != m])
        window = window + 2 * above / below * np.cos(2 * np.pi * m * position)
    return np.where(np.abs(position) <= 0.5, window, 0.0)


class Focuser:
    """Image formation for one radar.

    Attributes:
        equivalent_area_m2: slant-plane area of the system response, the integral of its squared magnitude at peak 1.
    """

    def __init__(self, radar: RadarOptions):
        self.radar = radar
        params = radar.params()
        self._range, self._range_weight = _response(
            radar.columns, radar.pixel_range_m, 2 * radar.bandwidth_hz / SPEED_OF_LIGHT_M_S, radar
        )
        self._cross, self._cross_weight = _response(
            radar.rows, radar.pixel_cross_range_m, 1 / params.cross_range_resolution_m, radar
        )
        cells = float(np.mean(self._range_weight**2) * np.mean(self._cross_weight**2))
        if radar.phase_error_deg > 0:
            error = np.radians(radar.phase_error_deg) * np.random.default_rng(PHASE_SEED).standard_normal(radar.rows)
            turn = np.exp(1j * error).astype(np.complex64)
            self._cross, self._cross_weight = (self._cross[0], self._cross[1] * turn), self._cross_weight * turn
        self.equivalent_area_m2 = cells * radar.pixel_range_m * radar.pixel_cross_range_m

    def image(self, hits: Hits, columns: list[int]) -> Complex64[np.ndarray, "polarisation row column"]:
        """Complex images of the chosen amplitude columns, sqrt(m^2); hits beyond the chip are left out."""
        radar = self.radar
        fine = np.zeros((len(columns), radar.rows * OVERSAMPLING, radar.columns * OVERSAMPLING), dtype=np.complex64)
        deposit(
            hits.position,
            hits.amplitude,
            np.asarray(columns, dtype=np.int64),
            radar.pixel_cross_range_m / OVERSAMPLING,
            radar.pixel_range_m / OVERSAMPLING,
            float(radar.rows // 2 * OVERSAMPLING),
            float(radar.columns // 2 * OVERSAMPLING),
            _KERNEL,
            fine,
        )
        return np.stack([self._focus(plane) for plane in fine])

    def filtered(self, white: Complex64[np.ndarray, "row column"]) -> Complex64[np.ndarray, "row column"]:
        """A field given on the pixels, seen through the same system: a single 1 becomes the response with peak 1."""
        weight = self._cross_weight[:, None] * self._range_weight[None]
        return np.fft.ifft2(np.fft.fft2(white) * weight).astype(np.complex64)

    def _focus(self, fine: Complex64[np.ndarray, "finerow finecolumn"]) -> Complex64[np.ndarray, "row column"]:
        kept, weight = self._range
        half = np.zeros((len(fine), len(kept)), dtype=np.complex64)
        filled = np.flatnonzero(fine.any(axis=1))  # the target fills few of the rows
        half[filled] = np.fft.fft(fine[filled], axis=1)[:, kept] * weight[None]
        kept, weight = self._cross
        spectrum = np.fft.fft(half, axis=0)[kept] * weight[:, None]
        return np.fft.ifft2(spectrum).astype(np.complex64)


@lru_cache(maxsize=8)
def focuser(radar: RadarOptions) -> Focuser:
    """The image formation of a radar, made once."""
    return Focuser(radar)


def _response(
    pixels: int, pixel_m: float, support: float, radar: RadarOptions
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """Along one axis: which fine-grid frequencies are kept, and their weights; the weights for fields given on pixels."""
    kept = np.r_[0 : (pixels + 1) // 2, pixels * OVERSAMPLING - pixels // 2 : pixels * OVERSAMPLING]
    frequency = np.fft.fftfreq(pixels, pixel_m)  # cycles per metre; the same in both grids
    window = taylor_window(frequency / support, radar.sidelobe_db, radar.taylor_nbar)
    window = window / window.mean()  # a unit point has a unit peak
    argument = np.sqrt((BETA**2 - (np.pi * TAPS * frequency * pixel_m / OVERSAMPLING) ** 2).astype(np.complex128))
    spread = (TAPS * np.sinh(argument) / argument).real / np.i0(BETA)  # transform of the kernel
    fine_weight = (window / spread).astype(np.float32)
    return (kept, fine_weight), window.astype(np.float32)


def _kernel_table() -> Float32[np.ndarray, "step tap"]:
    """Kernel at the distances of the TAPS nearest cells, for every fraction of a cell."""
    fraction = np.arange(TABLE_STEPS) / TABLE_STEPS
    distance = fraction[:, None] + (TAPS // 2 - 1) - np.arange(TAPS)
    inside = np.sqrt(np.maximum(1 - (2 * distance / TAPS) ** 2, 0.0))
    return (np.i0(BETA * inside) / np.i0(BETA)).astype(np.float32)


_KERNEL = _kernel_table()


@njit(cache=True, nogil=True)
@no_type_check
def deposit(position, amplitude, columns, cross_cell, range_cell, row_centre, column_centre, kernel, grid):
    """Spread every hit over the 4 x 4 cells around it; the phase of a hit is that of its exact place."""
    planes, rows, cells = grid.shape
    steps = kernel.shape[0]
    for i in range(len(position)):
        x = position[i, 0] / range_cell + column_centre
        y = position[i, 1] / cross_cell + row_centre
        left, top = int(np.floor(x)), int(np.floor(y))
        wx, wy = kernel[int((x - left) * steps)], kernel[int((y - top) * steps)]
        left -= TAPS // 2 - 1
        top -= TAPS // 2 - 1
        if left < 0 or top < 0 or left + TAPS > cells or top + TAPS > rows:
            continue
        for p in range(planes):
            value = amplitude[i, columns[p]]
            for j in range(TAPS):
                part = value * wy[j]
                for k in range(TAPS):
                    grid[p, top + j, left + k] += part * wx[k]
