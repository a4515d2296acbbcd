"""The labels of a study: target, polarisation, azimuth sector; those that the data has."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.atr.options import SECTOR_DEG, SMOOTHING
from geodiff_sar.evaluation.learning.heads import ClassHead, Head, SectorHead, sector_of

LEAST_TRAINING, LEAST_TEST = 8, 4
"""Chips per target without which no number would mean anything."""


@dataclass(frozen=True)
class Labels:
    """Names of the values of every head.

    Attributes:
        values: head -> names; "target" is always there.
        notes: head -> why it is left out.
    """

    values: dict[str, tuple[str, ...]]
    notes: dict[str, str]

    def heads(self, chips: ChipSet) -> dict[str, Head]:
        """Heads for training on these chips."""
        found: dict[str, Head] = {}
        for name, values in self.values.items():
            sector = name == "sector"
            found[name] = (
                SectorHead(SECTOR_DEG, SMOOTHING)
                if sector
                else ClassHead(self.truth(name, chips).tolist(), len(values), SMOOTHING)
            )
        return found

    def truth(self, head: str, chips: ChipSet) -> Int[np.ndarray, " chip"]:
        """Numbers of the true values."""
        if head == "sector":
            return sector_of(chips.azimuth_deg, SECTOR_DEG)
        of = chips.target if head == "target" else chips.polarisation
        return np.array([self.values[head].index(str(value)) for value in of], dtype=np.int64)


def find_labels(training: ChipSet, test: ChipSet, generated: ChipSet | None) -> Labels:
    """The heads that all sets know.

    Raises:
        DataError: one target only, too few chips of one, or a target that only one part has.
    """
    _check_targets(training, test)
    everything = [training, test] + ([] if generated is None else [generated])
    values: dict[str, tuple[str, ...]] = {"target": tuple(sorted(set(training.target)))}
    notes: dict[str, str] = {}
    polarisations = {p for chips in everything for p in chips.polarisation}
    trained = set(training.polarisation)
    if None in polarisations:
        notes["polarisation"] = "left out: not known of every chip"
    elif len(trained) < 2:
        notes["polarisation"] = f"left out: all training chips are {next(iter(trained))}"
    elif polarisations - trained:
        notes["polarisation"] = f"left out: {sorted(map(str, polarisations - trained))} is not in the training part"
    else:
        values["polarisation"] = tuple(sorted(str(p) for p in trained))
    if not all(np.isfinite(chips.azimuth_deg).all() for chips in everything):
        notes["sector"] = "left out: azimuth is not known of every chip"
    else:
        sectors = [set(sector_of(chips.azimuth_deg, SECTOR_DEG).tolist()) for chips in everything]
        unseen = sorted(set.union(*sectors[1:]) - sectors[0])
        if unseen:
            listed = ", ".join(f"{k * SECTOR_DEG:g}-{(k + 1) * SECTOR_DEG:g}" for k in unseen)
            notes["sector"] = (
                f"left out: no real training chip is in {listed} degrees, and unseen sectors cannot be learnt"
            )
        elif len(sectors[0]) < 2:
            notes["sector"] = "left out: all chips are in one sector"
        else:
            count = round(360.0 / SECTOR_DEG)
            values["sector"] = tuple(f"{k * SECTOR_DEG:g}-{(k + 1) * SECTOR_DEG:g}" for k in range(count))
    return Labels(values, notes)


def _check_targets(training: ChipSet, test: ChipSet) -> None:
    count, held = Counter(training.target), Counter(test.target)
    missing = sorted(set(count) ^ set(held))
    if missing:
        raise DataError(
            f"{training.name} and {test.name}",
            f"only one of the two parts has the targets {', '.join(missing[:6])}",
            "training and test part show the same targets",
            "choose another split, or remove these targets",
        )
    if len(count) < 2:
        raise DataError(
            training.name,
            f"one target only ({next(iter(count))})",
            "a classifier needs at least two targets",
            "add chips of another target",
        )
    for chips, counted, least in ((training, count, LEAST_TRAINING), (test, held, LEAST_TEST)):
        few = [f"{name} ({n})" for name, n in sorted(counted.items()) if n < least]
        if few:
            raise DataError(
                chips.name,
                f"too few chips of {', '.join(few)}",
                f"at least {LEAST_TRAINING} chips of every target to train on and {LEAST_TEST} to test on",
                "add chips, remove these targets, or choose another split",
            )
