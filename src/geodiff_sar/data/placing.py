"""Where a target stands on chips that are not looked at, from where it stands on others.

Chips are cut round a point that is the same all the way round the target, but for the antenna's errors: a point of the
target's body, and a constant offset of the cut. Four numbers, fitted to the moves of many chips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.look import look_from

FEWEST = 8
ROUNDS, TOLERANCE_M = 30, 0.2
"""Iterations and scale of the reweighting: a move that is off by much more hardly counts (Cauchy's weights)."""


@dataclass(frozen=True)
class Placement:
    """Where a target stands.

    Attributes:
        ahead_m, port_m: place of the mesh's origin in the target's body, seen from the point that chips are cut round.
        cross_range_m, slant_range_m: offset of the cut.
    """

    ahead_m: float
    port_m: float
    cross_range_m: float
    slant_range_m: float

    def at(self, pose: Pose) -> tuple[float, float]:
        """Cross-range and slant range of the mesh's origin on the chip of a pose, m."""
        solution = np.array([self.ahead_m, self.port_m, self.cross_range_m, self.slant_range_m])
        cross, slant = _rows(pose) @ solution
        return float(cross), float(slant)


def fit_placement(poses: Sequence[Pose], moves_m: Float[np.ndarray, "chip 2"], name: str) -> Placement:
    """The placement that explains the moves of chips best.

    Args:
        poses: of the chips, with depression.
        moves_m: cross-range and slant range by which each prior was moved, m.
        name: of the target, for messages.

    Raises:
        DataError: fewer than FEWEST chips.
    """
    if len(poses) < FEWEST:
        raise DataError(
            name,
            f"{len(poses)} chips outside hold_out",
            f"at least {FEWEST} chips teach where the target stands on those held out",
            "hold out less",
        )
    design = np.concatenate([_rows(pose) for pose in poses])
    found, weight = moves_m.reshape(-1), np.ones(2 * len(poses))
    solution = np.zeros(4)
    for _ in range(ROUNDS):
        solution = np.linalg.lstsq(design * weight[:, None], found * weight, rcond=None)[0]
        weight = 1 / np.sqrt(1 + ((found - design @ solution) / TOLERANCE_M) ** 2)
    return Placement(*map(float, solution))


def _rows(pose: Pose) -> Float[np.ndarray, "2 4"]:
    """How cross-range and slant range on a chip follow from the four numbers."""
    look = look_from(pose)
    return np.array([[*look.across[:2], 1.0, 0.0], [*-look.toward[:2], 0.0, 1.0]])
