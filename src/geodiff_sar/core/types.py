"""Objects that travel between the layers, and the legend of axis names.

Axis names in shape annotations: ``batch``; ``point`` (N, points of a cloud); ``feature`` (D, width of a point feature,
default 64); ``channel``, ``height``, ``width`` of pixels or latents; ``token``, ``context`` (joint attention width);
``pooled`` (width of the pooled projection, 2048 for SD3.5); ``embed`` (width of a modality embedding, 768).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from geodiff_sar.core.errors import DataError, OptionError

POLARISATIONS = ("HH", "HV", "VH", "VV")
SPEED_OF_LIGHT_M_S = 299_792_458.0


@dataclass(frozen=True)
class Pose:
    """How the radar sees the target.

    Attributes:
        azimuth_deg: target aspect, degrees clockwise seen from above, 0 = nose towards the radar, in [0, 360).
        depression_deg: angle by which the radar looks down, degrees in (0, 90); None when it is not known.
    """

    azimuth_deg: float
    depression_deg: float | None = None

    def __post_init__(self) -> None:
        if not (0.0 <= self.azimuth_deg < 360.0):
            raise OptionError(
                "azimuth", f"{self.azimuth_deg} degrees", "0 <= azimuth < 360", "write the angle modulo 360"
            )
        if self.depression_deg is not None and not (0.0 < self.depression_deg < 90.0):
            raise OptionError(
                "depression", f"{self.depression_deg} degrees", "0 < depression < 90", "give the depression in degrees"
            )


@dataclass(frozen=True)
class RadarParams:
    """The radar that makes the image.

    Attributes:
        center_frequency_hz: carrier frequency, Hz.
        bandwidth_hz: chirp bandwidth, Hz; slant-range resolution is c / (2 B).
        azimuth_aperture_deg: synthetic aperture angle, degrees; cross-range resolution is lambda / (4 sin(aperture/2)).
        polarisation: transmit and receive polarisation, one of HH, HV, VH, VV.
    """

    center_frequency_hz: float
    bandwidth_hz: float
    azimuth_aperture_deg: float
    polarisation: str = "HH"

    def __post_init__(self) -> None:
        for name in ("center_frequency_hz", "bandwidth_hz", "azimuth_aperture_deg"):
            if not getattr(self, name) > 0:
                raise OptionError(f"radar.{name}", str(getattr(self, name)), "must be above 0", "give a positive value")
        if self.polarisation not in POLARISATIONS:
            raise OptionError(
                "radar.polarisation", self.polarisation, f"one of {', '.join(POLARISATIONS)}", "choose one of these"
            )

    @property
    def wavelength_m(self) -> float:
        """Carrier wavelength, m."""
        return SPEED_OF_LIGHT_M_S / self.center_frequency_hz

    @property
    def range_resolution_m(self) -> float:
        """Slant-range resolution c / (2 B), m."""
        return SPEED_OF_LIGHT_M_S / (2.0 * self.bandwidth_hz)

    @property
    def cross_range_resolution_m(self) -> float:
        """Cross-range resolution lambda / (4 sin(aperture / 2)), m."""
        return self.wavelength_m / (4.0 * float(np.sin(np.radians(self.azimuth_aperture_deg) / 2.0)))


@dataclass(frozen=True)
class GeometryPrior:
    """What is known of a target's geometry for one pose.

    Attributes:
        features: (N, D) float32, one row per point of the SAR point cloud.
        coordinates: (N, 3) float32, metres, or None when the file has none.
        maps: (C, H, W) float32 maps on the chip's pixel grid, or None.
        pose: the pose it was made for, or None.
        radar: the radar it was made for, or None.
        provenance: where it came from (file, mesh hash, engine version, metadata of the file).
    """

    features: np.ndarray
    coordinates: np.ndarray | None = None
    maps: np.ndarray | None = None
    pose: Pose | None = None
    radar: RadarParams | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        name = str(self.provenance.get("file", "geometry prior"))
        if self.features.ndim != 2 or self.features.shape[0] == 0:
            raise DataError(
                name, f"features of shape {self.features.shape}", "shape (N, D) with N >= 1", "extract the cloud again"
            )
        if self.coordinates is not None and self.coordinates.shape != (self.features.shape[0], 3):
            raise DataError(
                name,
                f"coordinates of shape {self.coordinates.shape} beside {self.features.shape[0]} points",
                "coordinates have shape (N, 3)",
                "write one coordinate row per feature row, or none at all",
            )
        if self.maps is not None and self.maps.ndim != 3:
            raise DataError(name, f"maps of shape {self.maps.shape}", "shape (C, H, W)", "write one map per channel")
        for part in ("features", "coordinates", "maps"):
            array = getattr(self, part)
            if array is not None and not np.isfinite(array).all():
                bad = int((~np.isfinite(array)).sum())
                raise DataError(
                    name, f"{bad} values of '{part}' are NaN or infinite", "finite numbers", "extract the cloud again"
                )

    @property
    def num_points(self) -> int:
        """Number of points N."""
        return int(self.features.shape[0])
