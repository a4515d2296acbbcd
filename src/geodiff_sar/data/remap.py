"""The one remap between amplitude and model values: a power law that is recorded and can be inverted."""

from typing import Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from geodiff_sar.core.config import Options


class AmplitudeRemap(Options):
    """Model value ``x = 2 (min(a, peak) / peak)^exponent - 1`` in [-1, 1] of an amplitude ``a >= 0``.

    The amplitude of an 8-bit chip is its grey level. With exponent 1 the model sees the grey levels as they are (the
    published scheme); 0.5 spreads the dark levels in which most of a SAR chip lies. Amplitudes above the peak are clipped;
    everything below is inverted exactly, within float32 rounding.
    """

    peak: float = Field(default=255.0, gt=0, description="amplitude that maps to +1; larger ones are clipped")
    exponent: float = Field(default=0.5, gt=0, le=4, description="power of the law")

    def to_model(self, amplitude: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Model values in [-1, 1], float32."""
        share = np.clip(amplitude / self.peak, 0.0, 1.0)
        return (2.0 * share**self.exponent - 1.0).astype(np.float32)

    def to_amplitude(self, model: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Amplitudes in [0, peak], float32; the inverse of to_model."""
        share = np.clip((np.asarray(model, dtype=np.float64) + 1.0) / 2.0, 0.0, 1.0)
        return (self.peak * share ** (1.0 / self.exponent)).astype(np.float32)

    def record(self) -> dict[str, Any]:
        """JSON form, from which ``AmplitudeRemap(**record)`` restores the remap."""
        return {"peak": self.peak, "exponent": self.exponent}
