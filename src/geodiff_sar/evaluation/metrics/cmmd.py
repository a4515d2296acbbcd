"""Kernel distance of unit vectors with a Gaussian kernel."""

import math

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.kernels import gaussian_kernel, median_distance, unit_length
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.mmd import LEAST, Discrepancy, discrepancy

SCALE = 1000.0
CLIP_BANDWIDTH = 10.0


@METRICS.register("cmmd")
class Cmmd(Metric):
    """Distance of the generated chips as a whole from the real ones, as KID, with a kernel that looks at near neighbours and
    is not swayed by a few chips with very large features.

    1000 times the squared maximum mean discrepancy with k(x, y) = exp(-|x - y|^2 / (2 s^2)) of features scaled to unit
    length (Jayasumana et al. 2024, section 4). No unit; 0 where nothing differs; lower is better. In the space "clip"
    s = 10 as published; in every other space s is the median distance between real chips of the reference, and the note
    gives it. The published code keeps the biased estimate; this is the unbiased one, so it can be a little below zero.
    95 % interval as for KID.

    Limits: a Gaussian kernel saturates: beyond a few s, worse looks no worse. Unit length hides a common gain of the
    features. Labels play no part: it cannot see a wrong target or azimuth. Numbers of different spaces cannot be compared.
    """

    title = "CMMD (Gaussian kernel distance of features)"
    family = "distribution"
    sees = frozenset({"noise", "clutter only"})

    def measure(self, comparison: Comparison) -> Measurement:
        """One score over all chips."""
        reference, candidate = unit_length(comparison.reference_features), unit_length(comparison.candidate_features)
        n = len(candidate)
        if min(n, len(reference)) < LEAST:
            return _unmeasured(n, f"{n} chips against {len(reference)}: at least {LEAST} of each are needed")
        if comparison.space.split()[0].partition(":")[0] == "clip":
            bandwidth, why = CLIP_BANDWIDTH, "as published"
        else:
            bandwidth, why = median_distance(reference), "the median distance between chips of the reference"
        if not bandwidth > 0:
            return _unmeasured(n, "most chips of the reference have the same features")
        found = discrepancy(
            gaussian_kernel(candidate, candidate, bandwidth),
            gaussian_kernel(reference, reference, bandwidth),
            gaussian_kernel(candidate, reference, bandwidth),
        )
        scaled = Discrepancy(SCALE * found.value, SCALE**2 * found.noise, SCALE**2 * found.along, SCALE * found.widest)
        low, high = scaled.interval()
        note = f"bandwidth {bandwidth:.4g}, {why}; {n} chips against {len(reference)}"
        return Measurement([Score("cmmd", scaled.value, "1", "lower", n, low, high, note=note, headline=True)])


def _unmeasured(n: int, note: str) -> Measurement:
    return Measurement([Score("cmmd", math.nan, "1", "lower", n, note=note, headline=True)])
