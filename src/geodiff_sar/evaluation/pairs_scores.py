"""A paired metric's values as scores."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from geodiff_sar.evaluation.base import Comparison, Direction, Measurement, Score
from geodiff_sar.evaluation.intervals import bootstrap
from geodiff_sar.evaluation.pairs import RegisteredPairs, registered_pairs
from geodiff_sar.evaluation.pairs_similarity import RADIUS_PX
from geodiff_sar.evaluation.radar_values import join_notes, rounded

LEAST_SIDE = 2 * RADIUS_PX + 1


def pair_measurement(
    comparison: Comparison,
    quantity: str,
    unit: str,
    direction: Direction,
    of_pairs: Callable[[RegisteredPairs], Float[np.ndarray, " pair"]],
    note: str = "",
) -> Measurement:
    """Mean over registered pairs with its bootstrap interval, and the value of every pair in the details.

    Pairs whose value is not finite (identical pixels have an infinite PSNR) are left out of the mean and counted in the note.
    """
    pairs = registered_pairs(comparison)
    note = join_notes(note, pairs.note)
    if len(pairs.partners) == 0:
        return Measurement([Score(quantity, float("nan"), unit, direction, 0, note=note, headline=True, sees=())])
    side = min(pairs.real.shape[1:])
    if side < LEAST_SIDE:
        note = join_notes(note, f"{side} pixels are left after registration, fewer than the window of {LEAST_SIDE}")
        return Measurement([Score(quantity, float("nan"), unit, direction, 0, note=note, headline=True, sees=())])
    values = of_pairs(pairs)
    finite = values[np.isfinite(values)]
    lost = len(values) - len(finite)
    note = join_notes(note, f"{lost} pairs without a finite value left out" if lost else "")
    details = {
        "id": [comparison.candidate.ids[k] for k in pairs.partners.candidate],
        "partner": [comparison.gallery.ids[k] for k in pairs.partners.partner],
        "value": rounded(values),
        "mean_azimuth_distance_deg": float(pairs.partners.distance_deg.mean()),
    }
    if len(finite) == 0:
        return Measurement(
            [Score(quantity, float("nan"), unit, direction, 0, note=note, headline=True, sees=())], details
        )
    low, high = bootstrap(finite, lambda x: x.mean(axis=1), comparison.seed)
    score = Score(quantity, float(finite.mean()), unit, direction, len(finite), low, high, note=note, headline=True)
    return Measurement([score], details)
