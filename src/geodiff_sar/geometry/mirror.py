"""The prior of the mirror image of a chip: what a target that is symmetric about its long axis gives at 360 - azimuth."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import GeometryPrior, Pose
from geodiff_sar.geometry.descriptors import CHANNELS, with_positions

ODD = ("cross-range / 8 m", "normal y (port)", "power-weighted centre of the neighbours, cross-range, m")
"""Channels that change their sign, beside the sine waves of cross-range; all others stay."""

SIGNS: Float32[np.ndarray, " channel"] = np.array(
    [-1 if name in ODD or (name.startswith("sine of pi") and "cross-range" in name) else 1 for name in CHANNELS],
    dtype=np.float32,
)


def require_traced(prior: GeometryPrior) -> None:
    """Raises DataError for a prior that is not the ray tracer's: nobody can say what becomes of its features."""
    known = {"engine", "maps", "pixel_m"} <= prior.provenance.keys()
    if prior.features.shape[1] != len(CHANNELS) or not known or prior.pose is None:
        raise DataError(
            str(prior.provenance.get("file", "point features")),
            "are not the ray tracer's features, so nobody can say how they change with their chip",
            "chips are mirrored and moved whose priors geodiff-sar has traced",
            "trace them with `geodiff-sar chip-priors` or `prior`, or do without data.mirror and data.moved_copies",
        )


def mirrored(prior: GeometryPrior) -> GeometryPrior:
    """The prior of the chip with its rows of cross-range in the opposite order, azimuth 360 - azimuth.

    Rows in the opposite order put cross-range c to -c, and one pixel further where their number is even: the scene centre
    then lies on the row after the middle. Without maps the number of rows is not known, and the pixel is left out.

    Raises:
        DataError: see require_traced.
    """
    require_traced(prior)
    assert prior.pose is not None
    coordinates, features, maps = prior.coordinates, prior.features * SIGNS, prior.maps
    if coordinates is not None:
        coordinates = coordinates * np.array([1, -1, 1], dtype=np.float32)
        if maps is not None and maps.shape[1] % 2 == 0:
            coordinates[:, 1] -= prior.provenance["pixel_m"][0]
            features = with_positions(features, coordinates)
    if maps is not None:
        names = prior.provenance["maps"]
        maps = maps[:, ::-1].copy()
        if "body_y" in names:
            plane = maps[names.index("body_y")]
            lit = maps[names.index("illumination")] > 0
            plane[lit] = 1.0 - plane[lit]
    pose = Pose((360.0 - prior.pose.azimuth_deg) % 360.0, prior.pose.depression_deg)
    return replace(prior, features=features, coordinates=coordinates, maps=maps, pose=pose)
