"""Whether chips are copies of training chips."""

from typing import ClassVar

import numpy as np

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.intervals import bootstrap, wilson
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.neighbours import DUPLICATE_DISTANCE, Nearest, nearest_chips
from geodiff_sar.evaluation.radar_values import rounded
from geodiff_sar.evaluation.remembered import Remembered, content_key

REAL_QUANTILE, REAL_SHARE, DUPLICATE_SHARE = 0.01, 0.75, 0.25

_AMONG_REAL: Remembered[Nearest] = Remembered(2)


@METRICS.register("memorisation")
class Memorisation(Metric):
    """Distance of each chip to its nearest training chip, against the distances among training chips.

    Distance: 1 - the greatest normalised cross-correlation over all shifts and both handednesses in cross-range, of values v
    compressed to v / (v + 4 median), so that speckle counts beside bright scatterers; gain does not matter. Among
    training chips, each is compared with its nearest other (leave-one-out).

    ``share_of_copies`` (lower is better): chips nearer than a threshold, three quarters of the first percentile of
    the distances among training chips, at most 0.30. Real chips a degree apart share no speckle and lie beyond it
    (0.376 and more on MSTAR); copies that were moved, mirrored, scaled, compressed or made noisy lie within.
    ``authentic`` (higher is better): chips farther from their nearest training chip than that one is from its own
    nearest other (Alaa et al. 2022, section 4); ``distance_ratio``: median distance over the median among training
    chips, to match the real half. The list of copies holds both ids, the distance and whether it is mirrored.

    Limits: a chip that copies the target onto new clutter, or that speckle was smoothed off, is not found: look at
    the nearest pairs too. Authenticity of unrelated chips is perfect: noise scores best. It hangs on how densely the
    training set samples azimuth; so the control rows, whose training chips are the gallery, are to be compared with
    care. Training chips nearer to another than a quarter of the median are duplicates and do not count for the threshold.
    """

    title: ClassVar[str] = "Memorisation"
    family: ClassVar = "memorisation"
    sees: ClassVar[frozenset[str]] = frozenset()

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        chips, training = comparison.candidate, comparison.training
        n = len(chips)
        if len(training) < 2:
            note = f"{len(training)} training chips: distances among them are not known"
            return Measurement(
                [Score("share_of_copies", float("nan"), "%", "lower", 0, note=note, headline=True, sees=())]
            )
        nearest = nearest_chips(chips, training)
        key = content_key(training, options="leave-one-out")
        among = _AMONG_REAL.get(key, lambda: nearest_chips(training, training, others_only=True))
        threshold = copy_threshold(among.distance)
        copies = nearest.distance < threshold
        note = f"threshold {threshold:.3f}; median among training chips {np.median(among.distance):.3f}"
        duplicates = int(_duplicates(among.distance).sum())
        note += f"; {duplicates} training chips are duplicates of others" if duplicates else ""
        authentic = nearest.distance > among.distance[nearest.place]
        base = max(float(np.median(among.distance)), 1e-6)
        ratio = bootstrap(nearest.distance / base, lambda x: np.median(x, axis=1), comparison.seed)
        median = float(np.median(nearest.distance))
        scores = [
            _share("share_of_copies", int(copies.sum()), n, "lower", note, True),
            Score("copies", float(copies.sum()), "1", "lower", n, note=note),
            _share("authentic", int(authentic.sum()), n, "higher", note, False),
            Score("distance_ratio", median / base, "1", "match", n, *ratio, note=note),
            Score("least_distance", float(nearest.distance.min()), "1", "match", n, note=note),
        ]
        order = np.argsort(nearest.distance, kind="stable")
        listed = [
            {
                "id": chips.ids[k],
                "training_id": training.ids[int(nearest.place[k])],
                "distance": float(nearest.distance[k]),
                "mirrored": bool(nearest.mirrored[k]),
                "copy": bool(copies[k]),
            }
            for k in order
        ]
        details = {
            "threshold": threshold,
            "copies": [entry for entry in listed if entry["copy"]],
            "nearest": listed[:20],
            "distance": rounded(nearest.distance),
            "distance_among_training": rounded(among.distance),
        }
        return Measurement(scores, details)


def copy_threshold(among_real: np.ndarray) -> float:
    """Distance under which a chip is called a copy, from the leave-one-out distances of real chips.

    Duplicates among the real chips say nothing of how near different chips are; they are left out.
    """
    apart = among_real[~_duplicates(among_real)]
    if len(apart) == 0:  # every chip is there twice
        return DUPLICATE_DISTANCE
    return min(DUPLICATE_DISTANCE, REAL_SHARE * float(np.quantile(apart, REAL_QUANTILE)))


def _duplicates(among_real: np.ndarray) -> np.ndarray:
    """Which real chips are far nearer to another than real chips usually are."""
    median = float(np.median(among_real))
    return among_real < DUPLICATE_SHARE * (median if median > 0 else np.inf)


def _share(quantity: str, hits: int, n: int, direction, note: str, headline: bool) -> Score:
    low, high = wilson(hits, n)
    return Score(quantity, 100.0 * hits / n, "%", direction, n, 100.0 * low, 100.0 * high, note=note, headline=headline)
