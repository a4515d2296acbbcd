"""How alike a real chip and a predicted mean power are, from image intensity alone; used by ``mstar_azimuth.py``.

The score is that of ``geodiff_sar.data.alignment`` at the shift where it is highest, both bands shifted together. A chip's
azimuth, mask or class takes no part.
"""

import numpy as np
import scipy.fft

CROP = slice(16, 112)
"""The part of a chip's 128 rows and columns that is compared."""
SHIFT = 10


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
