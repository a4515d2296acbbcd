"""The radar's frame for one pose: line of sight, cross-range axis and the axis perpendicular to both.

Equations: docs/method.md, "Frames".
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import Pose


@dataclass(frozen=True)
class Look:
    """Unit vectors in the body frame (x nose, y port, z up); u, across and above are right-handed.

    Attributes:
        toward: u, from the target to the radar.
        across: a, horizontal; cross-range axis and horizontal polarisation.
        above: v = u x a; vertical polarisation.
    """

    toward: Float[np.ndarray, "3"]
    across: Float[np.ndarray, "3"]
    above: Float[np.ndarray, "3"]

    @property
    def sin_depression(self) -> float:
        """Sine of the depression angle."""
        return float(self.toward[2])

    @property
    def cos_depression(self) -> float:
        """Cosine of the depression angle."""
        return float(np.hypot(self.toward[0], self.toward[1]))


def look_from(pose: Pose) -> Look:
    """Frame of a pose: u = (cos d cos z, -cos d sin z, sin d), a = z x u / |z x u|, v = u x a; z azimuth, d depression.

    Raises:
        OptionError: the pose has no depression.
    """
    if pose.depression_deg is None:
        raise OptionError("depression", "not given", "ray tracing needs one", "give the depression in degrees")
    return look_along(pose.azimuth_deg, pose.depression_deg)


def look_along(azimuth_deg: float, depression_deg: float) -> Look:
    """Frame of any direction; a depression of 0 (radar on the horizon) is possible here, for free-space targets."""
    azimuth, depression = np.radians(azimuth_deg), np.radians(depression_deg)
    toward = np.array([np.cos(depression) * np.cos(azimuth), -np.cos(depression) * np.sin(azimuth), np.sin(depression)])
    across = np.array([np.sin(azimuth), np.cos(azimuth), 0.0])
    return Look(toward, across, np.cross(toward, across))


def slant_and_cross_range(
    points: Float[np.ndarray, "point 3"], look: Look
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Slant range -u.p and cross-range a.p of points relative to the scene centre, m."""
    return -points @ look.toward, points @ look.across
