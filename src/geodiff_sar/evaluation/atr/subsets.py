"""Which chips a run is trained on: nested subsets, stratified by target, drawn from the seed."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from geodiff_sar.data.chip_set import ChipSet

LEAST_PER_TARGET = 2


def nested_order(target: Sequence[str], seed: int, purpose: int) -> Int[np.ndarray, " chip"]:
    """An order of all chips of which every beginning holds the targets in nearly their shares of the whole.

    Within each target chips are shuffled; the k-th of n chips of a target stands at (k + 1/2) / n.
    """
    names = np.array(target)
    place = np.empty(len(names))
    for number, name in enumerate(sorted(set(target))):
        of = np.flatnonzero(names == name)
        rng = np.random.default_rng([seed, purpose, number])
        place[of[rng.permutation(len(of))]] = (np.arange(len(of)) + 0.5) / len(of)
    return np.argsort(place, kind="stable")


def subset(chips: ChipSet, fraction: float, seed: int) -> ChipSet:
    """A share of the real chips of every target, at least two of each; smaller shares lie within larger ones."""
    names = np.array(chips.target)
    order = nested_order(chips.target, seed, 1)
    kept: list[int] = []
    for name in sorted(set(chips.target)):
        of = order[names[order] == name]
        kept += of[: max(LEAST_PER_TARGET, round(fraction * len(of)))].tolist()
    return chips.take(sorted(kept))


def first_of(chips: ChipSet, count: int, seed: int) -> ChipSet:
    """``count`` chips with the targets in their shares of the set; smaller counts lie within larger ones."""
    return chips.take(np.sort(nested_order(chips.target, seed, 2)[:count]))


def together(first: ChipSet, second: ChipSet) -> ChipSet:
    """Both sets as one, under the remap and grid of the first; an id that the first has too is marked in the second."""
    known = set(first.ids)
    names = [*first.ids, *(f"{name} (second)" if name in known else name for name in second.ids)]
    masks = None
    if first.masks is not None and second.masks is not None:
        masks = np.concatenate([first.masks, second.masks])
    return replace(
        first,
        name=f"{first.name} + {second.name}",
        ids=tuple(names),
        amplitude=np.concatenate([first.amplitude, second.amplitude]),
        target=first.target + second.target,
        azimuth_deg=np.concatenate([first.azimuth_deg, second.azimuth_deg]),
        depression_deg=np.concatenate([first.depression_deg, second.depression_deg]),
        polarisation=first.polarisation + second.polarisation,
        serial=first.serial + second.serial,
        hashes=first.hashes + second.hashes,
        paths=first.paths + second.paths,
        priors=first.priors + second.priors,
        masks=masks,
    )
