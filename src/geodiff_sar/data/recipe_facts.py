"""What the recipe of a simulated or generated PNG says of its pixels."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import DataError, GeodiffError
from geodiff_sar.data.formats.base import FileFacts
from geodiff_sar.data.pixels import ChipGrid, ChipPixels, PixelRemap
from geodiff_sar.geometry.imaging import taylor_window
from geodiff_sar.geometry.radar import RadarOptions

EXPONENTS = {"linear": 1.0, "root": 0.5}


def recipe_facts(path: Path, recipe: dict[str, Any]) -> FileFacts | None:
    """Remap, grid and origin; None for other pictures of this tool, such as previews.

    A generated chip knows what its adapter's training chips shared (``pixels``); without that its pixels are unspecified.

    Raises:
        DataError: a recipe whose values are impossible.
    """
    if recipe.get("kind") == "simulated":
        return _simulated(path, recipe)
    if recipe.get("kind") == "chip":
        known = recipe.get("pixels")
        pixels = ChipPixels() if known is None else parse_options(ChipPixels, known, f"recipe in {path}")
        return FileFacts(pixels.remap, pixels.grid, "generated", recipe=recipe)
    return None


def _simulated(path: Path, recipe: dict[str, Any]) -> FileFacts:
    """Grey = gain x amplitude, its square root, or decibels under white (``geometry.grey``).

    The gain is the same for all chips of a radar, a depression and a polarisation.
    """
    try:
        radar = parse_options(RadarOptions, recipe["radar"], f"recipe in {path}")
        remap = recipe["remap"]
        if remap["mode"] == "db":
            law = PixelRemap(kind="db", range_db=float(remap["range_db"]), scaling="absolute")
        else:
            law = PixelRemap(kind="power", exponent=EXPONENTS[remap["mode"]], scaling="absolute")
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, GeodiffError):
            raise
        raise DataError(path, f"its recipe is damaged ({error!r})", "radar and remap", "simulate it again") from error
    return FileFacts(law, simulated_grid(radar), "simulated", band=radar.band, recipe=recipe)


@lru_cache(maxsize=64)
def simulated_grid(radar: RadarOptions) -> ChipGrid:
    """The grid of simulated chips: the package's frame, range to the right; 3 dB widths follow from the Taylor window."""
    params = radar.params()
    width = half_power_width(radar.sidelobe_db, radar.taylor_nbar)
    return ChipGrid(
        range_direction="right",
        pixel_range_m=round(radar.pixel_range_m, 4),
        pixel_cross_range_m=round(radar.pixel_cross_range_m, 4),
        resolution_range_m=round(width * params.range_resolution_m, 4),
        resolution_cross_range_m=round(width * params.cross_range_resolution_m, 4),
    )


def half_power_width(sidelobe_db: float, nbar: int) -> float:
    """3 dB width of the point response of a Taylor-weighted band, in units of c / (2 B); 0.886 without weights."""
    position = (np.arange(256) + 0.5) / 256 - 0.5
    window = taylor_window(position, sidelobe_db, nbar)
    distance = np.linspace(0.0, 2.0, 4001)
    response = np.cos(2 * np.pi * np.outer(distance, position)) @ window / window.sum()
    return 2.0 * float(np.interp(-np.sqrt(0.5), -response[:2000], distance[:2000]))
