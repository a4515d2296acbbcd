"""What a trace returns: one row for every scattering event that the radar receives."""

from dataclasses import dataclass, fields
from typing import no_type_check

import numpy as np
from jaxtyping import Complex64, Float32, Int8
from numba import njit

POLARISATION_COLUMN = {"HH": 0, "HV": 1, "VH": 2, "VV": 3}
"""Column of the amplitudes; the first letter is transmitted, the second received."""


@dataclass(frozen=True)
class Hits:
    """Scattering events of one pose, coherent: the image is their sum.

    Attributes:
        position: (M, 3) slant range relative to the scene centre (half the path), cross-range (middle of first and last
            reflection), height of the last reflection on the target; m.
        amplitude: (M, 4) HH, HV, VH, VV; square root of the radar cross-section, m, with phase exp(-j 4 pi r / lambda).
        order: (M,) number of reflections on the path, those on the ground included.
        normal: (M, 3) unit normal at the last target reflection, body frame, turned against the arriving ray.
        cos_incidence: (M,) cosine between that normal and the direction in which the hit is observed.
    """

    position: Float32[np.ndarray, "hit 3"]
    amplitude: Complex64[np.ndarray, "hit 4"]
    order: Int8[np.ndarray, " hit"]
    normal: Float32[np.ndarray, "hit 3"]
    cos_incidence: Float32[np.ndarray, " hit"]

    def __len__(self) -> int:
        return len(self.order)

    def selected(self, keep: np.ndarray | slice) -> "Hits":
        """The hits that a mask, an index or a slice selects."""
        return Hits(*(getattr(self, f.name)[keep] for f in fields(self)))

    def reciprocal(self) -> "Hits":
        """Copy whose HV and VH are both their mean.

        Physical optics with several reflections is not exactly reciprocal (they differ by 1 to 3 dB on cavities), nature is.
        """
        amplitude = self.amplitude.copy()
        average_cross_polar(amplitude)
        return Hits(self.position, amplitude, self.order, self.normal, self.cos_incidence)

    def total(self) -> np.ndarray:
        """(4,) coherent sum, complex128; its squared magnitude is the radar cross-section in m^2."""
        return self.amplitude.astype(np.complex128).sum(axis=0)


@njit(cache=True, nogil=True)
@no_type_check
def average_cross_polar(amplitude):
    """Replace HV and VH, columns 1 and 2, by their mean, in place."""
    for i in range(len(amplitude)):
        mean = np.complex64(0.5) * (amplitude[i, 1] + amplitude[i, 2])
        amplitude[i, 1] = mean
        amplitude[i, 2] = mean


def empty_hits(room: int) -> Hits:
    """Hits whose ``room`` rows are to be filled; rows that nobody touches cost no memory."""
    return Hits(
        np.empty((room, 3), dtype=np.float32),
        np.empty((room, 4), dtype=np.complex64),
        np.empty(room, dtype=np.int8),
        np.empty((room, 3), dtype=np.float32),
        np.empty(room, dtype=np.float32),
    )


def join(parts: list[Hits]) -> Hits:
    """Hits of several parts, in their order."""
    return Hits(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Hits)))
