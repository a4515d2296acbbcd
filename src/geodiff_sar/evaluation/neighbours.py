"""Nearest chips by their pixels, whatever their gain, place or handedness; duplicates."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy import fft

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.remembered import Remembered, content_key

DUPLICATE_DISTANCE = 0.30
"""Chips nearer than this are one measurement, changed a little (see ``near_duplicates``).

On 1,394 real MSTAR chips, azimuths a degree apart, no two are nearer than 0.376; copies moved by 8 pixels, mirrored, at JPEG
quality 50, with 20 % noise, blurred or scaled are all within 0.26.
"""

KNEE = 4.0
"""Values are compressed above this many medians of their chip."""

SPECTRUM_CUT = 4
"""Descriptors keep the lowest quarter of frequencies of each axis, positive and negative."""

SHORTLIST = 6
"""Chips of either handedness whose distance is computed exactly, for every chip."""

BATCH = 128


@dataclass(frozen=True)
class Nearest:
    """The nearest chip of a gallery for each chip.

    Attributes:
        place: in the gallery.
        distance: 1 - NCC, see ``nearest_chips``; 0 for equal chips.
        mirrored: whether it is nearest when turned over.
    """

    place: Int[np.ndarray, " chip"]
    distance: Float[np.ndarray, " chip"]
    mirrored: np.ndarray


@dataclass(frozen=True)
class _Prepared:
    """Spectra of compressed values of zero mean and unit norm, and descriptors that no cyclic shift changes."""

    spectra: np.ndarray
    descriptors: Float32[np.ndarray, "chip feature"]


_PREPARED: Remembered[_Prepared] = Remembered(2)


def nearest_chips(chips: ChipSet, gallery: ChipSet, others_only: bool = False) -> Nearest:
    """The nearest chip of the gallery for every chip.

    Distance: 1 - r, where r is the greatest zero-mean normalised cross-correlation over all cyclic shifts (the peak
    refined by parabolas) and over both handednesses in cross-range (about both axes where the direction of range is
    not known), of values v compressed to v / (v + 4 m), m the median of the chip. It does not change with gain.
    Compression gives the speckle of clutter and target its full weight: two looks at one aspect share bright
    scatterers, and often a broadside flash, but never speckle, whereas a copy has both. A copy moved by a few pixels
    loses only what it lost at the border. The distance is exact for the six chips per handedness whose low-frequency
    spectra (which no shift changes) are most alike.

    Args:
        chips: to judge.
        gallery: of the same size.
        others_only: ``chips`` and ``gallery`` are one set, and a chip is not its own neighbour.

    Raises:
        DataError: sizes that differ, or a gallery without another chip.
    """
    if chips.amplitude.shape[1:] != gallery.amplitude.shape[1:]:
        (h1, w1), (h2, w2) = chips.amplitude.shape[1:], gallery.amplitude.shape[1:]
        raise DataError(
            f"{chips.name} and {gallery.name}",
            f"chips of {w1} x {h1} and of {w2} x {h2} pixels",
            "chips of one size can be compared",
            "cut them to one with --crop",
        )
    if len(gallery) <= int(others_only):
        raise DataError(gallery.name, f"{len(gallery)} chips", "at least one other chip", "give more chips")
    known = _prepared(gallery)
    shape = chips.amplitude.shape[1:]
    best = np.full(len(chips), np.inf)
    place, mirrored = np.zeros(len(chips), dtype=np.int64), np.zeros(len(chips), dtype=bool)
    for flip in ((), (1,)) if gallery.grid.range_direction is not None else ((), (1,), (2,)):
        own = _prepared(chips) if not flip else _prepare(np.flip(chips.amplitude, axis=flip))
        for start in range(0, len(chips), BATCH):
            part = slice(start, start + BATCH)
            alike = own.descriptors[part] @ known.descriptors.T
            if others_only:
                rows = np.arange(len(alike))
                alike[rows, start + rows] = -np.inf
            count = min(SHORTLIST, len(gallery) - int(others_only))
            short = np.argpartition(-alike, count - 1, axis=1)[:, :count]
            for column in short.T:
                distance = 1.0 - _greatest_correlation(own.spectra[part], known.spectra[column], shape)
                better = distance < best[part]
                place[part] = np.where(better, column, place[part])
                mirrored[part] = np.where(better, bool(flip), mirrored[part])
                best[part] = np.minimum(best[part], distance)
    return Nearest(place, np.maximum(best, 0.0), mirrored)


def exact_duplicates(first: ChipSet, second: ChipSet) -> list[tuple[str, str]]:
    """Ids of chips of the two sets with the same pixels, whatever the file format."""
    known: dict[str, list[str]] = {}
    for identity, value in zip(second.ids, second.hashes, strict=True):
        known.setdefault(value, []).append(identity)
    return [
        (identity, other)
        for identity, value in zip(first.ids, first.hashes, strict=True)
        for other in known.get(value, [])
    ]


def near_duplicates(
    first: ChipSet, second: ChipSet, threshold: float = DUPLICATE_DISTANCE
) -> list[tuple[str, str, float]]:
    """Ids and distance of each chip of ``first`` that is nearer than ``threshold`` to a chip of ``second``, nearest first.

    The default lies between real chips of one target a degree apart and copies that were moved, scaled, mirrored,
    compressed or made a little noisy; exact duplicates are among what is found. Chips of nothing but clutter are not
    compared by what makes them alike to the eye: independent speckle is far apart.
    """
    if len(first) == 0 or len(second) == 0:
        return []
    nearest = nearest_chips(first, second)
    same = {first_id: (first_id, second_id, 0.0) for first_id, second_id in exact_duplicates(first, second)}
    alike = {
        first.ids[k]: (first.ids[k], second.ids[int(nearest.place[k])], float(nearest.distance[k]))
        for k in np.flatnonzero(nearest.distance < threshold)
    }
    # a chip without any contrast is like no other, yet may be there twice
    found = list((alike | same).values())
    return sorted(found, key=lambda pair: pair[2])


def _prepared(chips: ChipSet) -> _Prepared:
    return _PREPARED.get(content_key(chips, options="neighbours"), lambda: _prepare(chips.amplitude))


def _prepare(amplitude: Float32[np.ndarray, "chip height width"]) -> _Prepared:
    # a chip that is mostly black has no median to go by
    median = np.median(amplitude, axis=(1, 2), keepdims=True)
    knee = KNEE * np.maximum(median, 0.1 * amplitude.mean(axis=(1, 2), keepdims=True)) + np.finfo(np.float32).tiny
    values = (amplitude / (amplitude + knee)).astype(np.float32)
    values -= values.mean(axis=(1, 2), keepdims=True)
    norm = np.sqrt((values.astype(np.float64) ** 2).sum(axis=(1, 2), keepdims=True))
    values /= np.maximum(norm, 1e-12).astype(np.float32)
    spectra = np.asarray(fft.rfft2(values), dtype=np.complex64)
    rows, columns = amplitude.shape[1] // (2 * SPECTRUM_CUT), amplitude.shape[2] // (2 * SPECTRUM_CUT)
    low = np.concatenate([spectra[:, : rows + 1, : columns + 1], spectra[:, -rows:, : columns + 1]], axis=1)
    # the logarithm keeps the strongest lines from deciding alone; what all chips have in common is taken off by the mean
    flat = np.log(np.abs(low).reshape(len(low), -1) + 1e-6)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    return _Prepared(spectra, flat.astype(np.float32))


def _greatest_correlation(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, " chip"]:
    """Peak of the cyclic cross-correlation of pairs of unit norm, refined along both axes."""
    surface = np.asarray(fft.irfft2(first * np.conj(second), s=shape))
    flat = surface.reshape(len(surface), -1)
    row, column = np.unravel_index(flat.argmax(axis=1), shape)
    k = np.arange(len(surface))
    top = surface[k, row, column].astype(np.float64)
    gain = np.zeros(len(surface))
    for steps in ((1, 0), (0, 1)):
        after = surface[k, (row + steps[0]) % shape[0], (column + steps[1]) % shape[1]]
        before = surface[k, row - steps[0], column - steps[1]]
        curvature = before - 2.0 * top + after
        gain += np.where(curvature < 0, (before - after) ** 2 / (8.0 * np.where(curvature < 0, -curvature, 1.0)), 0.0)
    return np.minimum(top + gain, 1.0)
