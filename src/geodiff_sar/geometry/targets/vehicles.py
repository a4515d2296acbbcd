"""Ground vehicles with seeded proportions: tanks, wheeled carriers, trucks."""

from collections.abc import Callable

import numpy as np

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets.carriers import build_carrier
from geodiff_sar.geometry.targets.tanks import build_tank
from geodiff_sar.geometry.targets.trucks import build_truck
from geodiff_sar.geometry.triangles import TriangleMesh

BUILDERS: dict[str, Callable[[np.random.Generator], TriangleMesh]] = {
    "tank": build_tank,
    "carrier": build_carrier,
    "truck": build_truck,
}
VEHICLE_KINDS = tuple(BUILDERS)


def build_vehicle(seed: int, kind: str | None = None) -> TriangleMesh:
    """A vehicle on the ground: front +x, ground z = 0, middle of its plan at x = y = 0.

    Ranges of the proportions, metres; the gun of a tank reaches up to 4 m further, a truck's mirrors 0.25 m on each
    side:

    | kind | length | width | height | stands on |
    |---|---|---|---|---|
    | tank | 5.8-7.6 | 2.9-3.8 | 1.9-2.9 | two tracks, 5-7 road wheels each |
    | carrier | 6.0-8.0 | 2.5-3.1 | 2.2-3.0 | 6 or 8 wheels |
    | truck | 5.7-9.5 | 2.3-2.7 | 2.3-3.4 | 4 or 6 wheels |

    The same seed and kind give the same mesh, bit for bit.

    Args:
        seed: 0 or above.
        kind: "tank", "carrier" or "truck"; chosen by the seed when not given.

    Raises:
        OptionError: the kind is unknown or the seed is negative.
    """
    if seed < 0:
        raise OptionError("seed", str(seed), "a whole number from 0", "use another seed")
    if kind is not None and kind not in BUILDERS:
        raise OptionError("kind", f"'{kind}'", f"one of {', '.join(VEHICLE_KINDS)}", "use a kind of this list")
    chosen = kind or VEHICLE_KINDS[int(np.random.default_rng([seed, 99]).integers(len(VEHICLE_KINDS)))]
    mesh = BUILDERS[chosen](np.random.default_rng([seed, VEHICLE_KINDS.index(chosen)]))
    low, high = mesh.bounds
    return mesh.moved((-0.5 * (low[0] + high[0]), -0.5 * (low[1] + high[1]), -low[2]))
