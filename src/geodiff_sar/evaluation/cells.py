"""Chips sorted by what was asked for: target, or target and azimuth, so that a distribution metric can see wrong labels."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from geodiff_sar.data.chip_set import ChipSet

CELL_DEG = 60.0
"""Width of an azimuth cell: a quarter of an MSTAR-like set has about ten chips of a target in it."""


@dataclass(frozen=True)
class Cell:
    """Places of the chips of one label in both sets."""

    label: str
    reference: Int[np.ndarray, " first"]
    candidate: Int[np.ndarray, " second"]

    @property
    def least(self) -> int:
        """Chips of the smaller side."""
        return min(len(self.reference), len(self.candidate))


def cells_by_target(reference: ChipSet, candidate: ChipSet) -> list[Cell]:
    """One cell for each target of the reference."""
    return _cells(list(reference.target), list(candidate.target))


def cells_by_target_and_azimuth(reference: ChipSet, candidate: ChipSet) -> list[Cell]:
    """One cell for each target and CELL_DEG degrees that the reference has; chips without azimuth are in none."""
    return _cells(_aspects(reference), _aspects(candidate))


def _aspects(chips: ChipSet) -> list[str | None]:
    known = np.isfinite(chips.azimuth_deg)
    start = np.floor(np.where(known, chips.azimuth_deg, 0.0) % 360.0 / CELL_DEG) * CELL_DEG
    return [
        f"{target}, {low:g}-{low + CELL_DEG:g} deg" if there else None
        for target, low, there in zip(chips.target, start, known, strict=True)
    ]


def _cells(reference: list[str] | list[str | None], candidate: list[str] | list[str | None]) -> list[Cell]:
    places: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, labels in enumerate((reference, candidate)):
        for place, label in enumerate(labels):
            if label is not None:
                places[label][side].append(place)
    return [
        Cell(label, np.array(first, dtype=np.int64), np.array(second, dtype=np.int64))
        for label, (first, second) in sorted(places.items())
        if first
    ]
