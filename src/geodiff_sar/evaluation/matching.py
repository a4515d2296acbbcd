"""Whether two sets of chips can be put side by side at all."""

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.data.pixels import ChipGrid
from geodiff_sar.evaluation.common_remap import require_same_remap

SPACING_TOLERANCE = 0.05
"""Pixel spacings may differ by this share; a target of 40 pixels is then off by two."""


def require_comparable(real: ChipSet, other: ChipSet) -> None:
    """Refuse sets of other size, remap, frame, spacing or labels.

    Raises:
        DataError: names both sets, what differs and what to do.
    """
    names = f"{real.name} and {other.name}"
    if real.amplitude.shape[1:] != other.amplitude.shape[1:]:
        (a, b), (c, d) = real.amplitude.shape[1:], other.amplitude.shape[1:]
        raise DataError(names, f"chips of {b} x {a} and of {d} x {c} pixels", "one size", "cut both to one with --crop")
    require_same_remap(real, other)
    _require_one_frame(names, real.grid, other.grid)
    unknown = sorted(set(other.target) - set(real.target))
    if unknown:
        raise DataError(
            other.name,
            f"targets that no real chip shows: {', '.join(unknown[:6])}",
            f"targets are named as in {real.name}: {', '.join(sorted(set(real.target))[:8])}",
            "use the same names in captions and metadata, or remove these chips",
        )


def with_known_azimuths(chips: ChipSet) -> ChipSet:
    """The set itself; a chip without azimuth is a DataError that names some."""
    missing = [chips.ids[k] for k in range(len(chips)) if math.isnan(chips.azimuth_deg[k])]
    if missing:
        raise DataError(
            chips.name,
            f"{len(missing)} of {len(chips)} chips have no azimuth, such as {', '.join(missing[:3])}",
            "azimuth is judged against the azimuth of every chip",
            "add azimuths to captions or metadata, or leave azimuth out with --no-azimuth",
        )
    return chips


def on_grid_of(real: ChipSet, other: ChipSet) -> ChipSet:
    """``other`` with the real chips' grid where its own is unknown."""
    known = {key: value for key, value in other.grid.model_dump().items() if value is not None}
    return replace(other, grid=ChipGrid(**{**real.grid.model_dump(), **known}))


def chip_facts(chips: ChipSet, folder: Path | None) -> dict[str, Any]:
    """What a report says of a set: folder, counts, content hash."""
    return {
        "folder": str(folder),
        "chips": len(chips),
        "by_target": dict(sorted(Counter(chips.target).items())),
        "sha256": chips.fingerprint,
    }


def _require_one_frame(names: str, first: ChipGrid, second: ChipGrid) -> None:
    if (first.range_direction is None) != (second.range_direction is None):
        raise DataError(
            names,
            "the direction of range is known of one set and not of the other",
            "both are turned so that range grows to the right",
            "state grid.range_direction of the other set in its dataset.toml",
        )
    for axis in ("pixel_range_m", "pixel_cross_range_m"):
        a, b = getattr(first, axis), getattr(second, axis)
        if a is not None and b is not None and abs(a / b - 1.0) > SPACING_TOLERANCE:
            raise DataError(
                names,
                f"{axis} is {a:g} and {b:g}",
                f"pixel spacings agree within {SPACING_TOLERANCE:.0%}",
                "generate or simulate on the real chips' grid",
            )
