"""Dealing real chips to three purposes, so that no number rests on a chip that an instrument was trained on."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet

LEAST = 8
"""Chips that the reference and the control part need each: below, no interval means anything."""


@dataclass(frozen=True)
class Parts:
    """Places in the real set.

    Attributes:
        instruments: half of all chips; encoder and azimuth estimator are trained on them.
        reference: a quarter (of the part that is judged): what every row is compared with.
        control: a quarter: real chips in the place of generated ones.
    """

    instruments: Int[np.ndarray, " first"]
    reference: Int[np.ndarray, " second"]
    control: Int[np.ndarray, " third"]


def deal(chips: ChipSet, judged: Bool[np.ndarray, " chip"] | None = None) -> Parts:
    """Deal chips in azimuth order within each target, serial and polarisation: every other one to the instruments, the
    rest in turn to reference and control.

    Args:
        chips: all real chips.
        judged: those that may be compared with generated ones, such as the held-out sectors; None: all.

    Raises:
        DataError: too few chips.
    """
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for k in range(len(chips)):
        groups[chips.target[k], str(chips.serial[k]), str(chips.polarisation[k])].append(k)
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    turn = 0
    for _, members in sorted(groups.items()):
        ordered = sorted(members, key=lambda k: (np.nan_to_num(chips.azimuth_deg[k], nan=-1.0), chips.ids[k]))
        for place, k in enumerate(ordered):
            if place % 2 == 0:
                parts[0].append(k)
            elif judged is None or judged[k]:
                parts[1 + turn % 2].append(k)
                turn += 1
    found = [np.array(sorted(part), dtype=np.int64) for part in parts]
    if min(len(found[1]), len(found[2])) < LEAST:
        raise DataError(
            chips.name,
            f"{len(chips)} real chips, of which {len(found[1])} are left as reference and {len(found[2])} as control",
            f"at least {LEAST} of each: half train the instruments, a quarter is reference, a quarter control",
            "give more real chips, or a wider held-out part",
        )
    return Parts(*found)
