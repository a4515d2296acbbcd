"""Real partners of the same aspect, and chips registered to them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.base import Comparison
from geodiff_sar.evaluation.registration import apply_shift, find_shift, shift_limit
from geodiff_sar.evaluation.remembered import Remembered, content_key

TOLERANCE_DEG = 1.0
"""Azimuth apart at most. Chips that are many degrees apart differ because real ones do."""

DEPRESSION_TOLERANCE_DEG = 2.0

MOST_PAIRS = 1000
"""Pairs that are measured; drawn at random where there are more."""


@dataclass(frozen=True)
class Partners:
    """Chips of a candidate set and of a gallery that show the same target at the same aspect.

    Attributes:
        candidate, partner: places in the two sets.
        distance_deg: azimuth apart.
        without: chips of the candidate set that have no partner.
    """

    candidate: Int[np.ndarray, " pair"]
    partner: Int[np.ndarray, " pair"]
    distance_deg: Float[np.ndarray, " pair"]
    without: int

    def __len__(self) -> int:
        return len(self.candidate)

    @property
    def note(self) -> str:
        """Mean azimuth apart, and how many chips are left out."""
        if len(self) == 0:
            return (
                "no chip has a real one of the same target, polarisation and depression within "
                f"{TOLERANCE_DEG:g} degree of azimuth"
            )
        left = f"; {self.without} chips without partner left out" if self.without else ""
        return f"pairs {self.distance_deg.mean():.2f} degrees apart on average{left}"


@dataclass(frozen=True)
class RegisteredPairs:
    """Pairs with the candidate's chips moved onto their partners, all borders of the longest shift cut off.

    Attributes:
        partners: which chips they are.
        real: of the gallery.
        moved: of the candidate set.
        shift: rows and columns by which they were moved, (0, 0) where no shift within the limit was found.
        unregistered: how many those are.
        data_range: largest value of the reference set: that of every row of a comparison.
    """

    partners: Partners
    real: Float32[np.ndarray, "pair height width"]
    moved: Float32[np.ndarray, "pair height width"]
    shift: Float[np.ndarray, "pair 2"]
    unregistered: int
    data_range: float

    @property
    def note(self) -> str:
        """What a reader must know of the pairs."""
        loose = f"; {self.unregistered} pairs without a shift within the limit, compared as they lie"
        return self.partners.note + (loose if self.unregistered else "")


_PAIRS: Remembered[RegisteredPairs] = Remembered(1)


def find_partners(candidate: ChipSet, gallery: ChipSet, tolerance_deg: float = TOLERANCE_DEG) -> Partners:
    """The gallery's chip of the same target and polarisation that is nearest in azimuth, for every candidate.

    Depressions differ by at most 2 degrees where both are known. A chip is never paired with itself, which is seen by its
    pixels, nor chips whose azimuth is not known.
    """
    found: list[tuple[int, int, float]] = []
    names, polarisations = np.array(gallery.target), np.array([str(p) for p in gallery.polarisation])
    hashes = np.array(gallery.hashes)
    for k in range(len(candidate)):
        distance = circular_distance(gallery.azimuth_deg, candidate.azimuth_deg[k])
        apart = np.abs(gallery.depression_deg - candidate.depression_deg[k])
        allowed = (names == candidate.target[k]) & (polarisations == str(candidate.polarisation[k]))
        allowed &= ~(apart > DEPRESSION_TOLERANCE_DEG) & (hashes != candidate.hashes[k])
        allowed &= distance <= tolerance_deg
        if allowed.any():
            best = int(np.argmin(np.where(allowed, distance, np.inf)))
            found.append((k, best, float(distance[best])))
    columns = list(zip(*found, strict=True)) if found else [(), (), ()]
    return Partners(
        np.array(columns[0], dtype=np.int64),
        np.array(columns[1], dtype=np.int64),
        np.array(columns[2], dtype=np.float64),
        len(candidate) - len(found),
    )


def registered_pairs(comparison: Comparison) -> RegisteredPairs:
    """Pairs of candidate and gallery, registered; metrics of one row share them."""
    candidate, gallery = comparison.candidate, comparison.gallery
    key = content_key(candidate, gallery, comparison.reference, options=("pairs", comparison.seed))
    return _PAIRS.get(key, lambda: _register(comparison))


def _register(comparison: Comparison) -> RegisteredPairs:
    partners = _sampled(find_partners(comparison.candidate, comparison.gallery), comparison.seed)
    chips, real = comparison.candidate.amplitude, comparison.gallery.amplitude
    limit = shift_limit(chips.shape[1:])
    shifts = np.zeros((len(partners), 2))
    moved = np.empty((len(partners), *chips.shape[1:]), dtype=np.float32)
    unregistered = 0
    for row, (k, j) in enumerate(zip(partners.candidate, partners.partner, strict=True)):
        shift = find_shift(real[j], chips[k], float(limit))
        unregistered += shift is None
        shifts[row] = shift or (0.0, 0.0)
        moved[row] = apply_shift(chips[k], shift or (0.0, 0.0))
    inner = (slice(None), slice(limit, -limit), slice(limit, -limit))
    data_range = float(comparison.reference.amplitude.max())
    return RegisteredPairs(partners, real[partners.partner][inner], moved[inner], shifts, unregistered, data_range)


def _sampled(partners: Partners, seed: int) -> Partners:
    if len(partners) <= MOST_PAIRS:
        return partners
    chosen = np.sort(np.random.default_rng([seed, 17]).choice(len(partners), MOST_PAIRS, replace=False))
    return Partners(
        partners.candidate[chosen], partners.partner[chosen], partners.distance_deg[chosen], partners.without
    )
