"""Chips moved over their picture as further training chips: where a target stands says nothing of its azimuth."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.data.sample import Sample


def with_moved_copies(samples: Iterable[Sample], copies: int, pixels: int, seed: int) -> list[Sample]:
    """The samples, each followed by copies of it that are moved by whole pixels, at most ``pixels`` each way.

    The moves follow from seed and chip alone, and are never (0, 0).

    Raises:
        DataError: a chip whose rows are not known to be cross-range, which its prior would not follow.
    """
    found = []
    for sample in samples:
        if copies and sample.grid.range_direction is None and sample.prior_path is not None:
            raise DataError(
                sample.id,
                "does not say in which direction range grows",
                "its prior moves in cross-range and slant range",
                "set grid.range_direction in the data folder's dataset.toml, or data.moved_copies = 0",
            )
        rng = np.random.default_rng(int(sha256_bytes(f"{seed}/moved/{sample.id}".encode())[:15], 16))
        places = (2 * pixels + 1) ** 2
        chosen = rng.permutation(np.delete(np.arange(places), places // 2))[:copies]
        found.append(sample)
        for place in chosen.tolist():
            rows, columns = place // (2 * pixels + 1) - pixels, place % (2 * pixels + 1) - pixels
            found.append(
                replace(sample, id=f"{sample.id} (moved {rows}, {columns})", mask_path=None, moved=(rows, columns))
            )
    return found


def shown_chip(chip: Float[np.ndarray, "row column"], sample: Sample) -> Float[np.ndarray, "row column"]:
    """A chip of the frame (rows cross-range, columns slant range) as its sample shows it: mirrored, then moved.

    What comes in over the border is the picture's own reflection there.
    """
    if sample.mirrored:
        chip = chip[::-1]
    rows, columns = sample.moved
    if rows or columns:
        border = [(max(step, 0), max(-step, 0)) for step in (rows, columns)]
        padded = np.pad(chip, border, mode="reflect")
        chip = padded[max(-rows, 0) :, max(-columns, 0) :][: chip.shape[0], : chip.shape[1]]
    return np.ascontiguousarray(chip)
