"""How alike a real chip and a predicted mean power are, from image intensity alone; used by ``mstar_azimuth.py``.

Both are put in decibels over the ground clutter and split into two bands: the dark band (shadow against ground) and the
bright band (target against ground). Each band is clipped, smoothed by a Gaussian, and compared by normalised
correlation, which takes no notice of gain and contrast. The score is the weighted sum of the two at the shift where it
is highest, both bands shifted together. A chip's azimuth, mask or class takes no part.
"""

from dataclasses import dataclass

import numpy as np
import scipy.fft
from scipy.ndimage import gaussian_filter

CROP = slice(16, 112)
"""The part of a chip's 128 rows and columns that is compared."""
SHIFT = 10
FLOOR = 1e-3


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


def chip_power(linear: np.ndarray, enhanced: np.ndarray) -> np.ndarray:
    """Power over the mean clutter power, cropped, from the two 8-bit renderings of one chip.

    The enhanced rendering is the linear one times a gain, clipped: it resolves shadow and ground, the linear one the
    target. The gain is fitted to this chip; the clutter is measured at the chip's rim.
    """
    linear, enhanced = linear.astype(np.float32), enhanced.astype(np.float32)
    both = (enhanced > 40) & (enhanced < 190)
    gain = (enhanced[both] * linear[both]).sum() / np.square(linear[both]).sum()
    share = np.clip((enhanced - 150) / 80, 0, 1)
    power = np.square((1 - share) * enhanced / gain + share * linear)
    rim = np.ones(power.shape, dtype=bool)
    rim[24:104, 24:104] = False
    return (power / power[rim].mean())[CROP, CROP]


def features(power: np.ndarray, bands: Bands) -> tuple[np.ndarray, np.ndarray]:
    """Dark and bright band of (image, row, column) powers, each with mean 0 and norm 1, as half spectra."""
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


def scores(
    chips: tuple[np.ndarray, np.ndarray], templates: tuple[np.ndarray, np.ndarray], threads: int = 1
) -> np.ndarray:
    """(chip, template) highest score over shifts of at most SHIFT pixels each way."""
    side = chips[0].shape[1]
    near = np.r_[0 : SHIFT + 1, side - SHIFT : side]
    conjugate = [np.conj(spectrum) for spectrum in templates]
    result = np.empty((len(chips[0]), len(templates[0])), dtype=np.float32)
    for number in range(len(chips[0])):
        product = sum(chip[number] * template for chip, template in zip(chips, conjugate, strict=True))
        rows = scipy.fft.ifft(product, axis=1, workers=threads)[:, near]
        result[number] = scipy.fft.irfft(rows, n=side, axis=2, workers=threads)[:, :, near].max((1, 2))
    return result
