"""Generated chips above the real chips that come nearest in aspect, and the controls."""

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.report.figures import FIGURES, Block, Picture
from geodiff_sar.evaluation.report.pictures import inline_chip, white_of
from geodiff_sar.evaluation.results import Evaluation

SHOWN = 8


@FIGURES.register("samples")
def samples(evaluation: Evaluation) -> list[Block]:
    """Eight generated chips spread over targets and azimuths, their real neighbours, and two chips of every control."""
    generated = evaluation.rows[0]
    chosen = _spread(generated.candidate, SHOWN)
    white = white_of(generated.gallery.amplitude)
    own = white_of(generated.candidate.amplitude)
    top, below = [], []
    for k in chosen:
        top.append(Picture(inline_chip(generated.candidate.amplitude[k], own), _label(generated.candidate, k), True))
        near = _nearest(generated.candidate, k, generated.gallery)
        if near is not None:
            picture = inline_chip(generated.gallery.amplitude[near], white)
            below.append(Picture(picture, _label(generated.gallery, near), True))
    note = (
        f"The square root of the stored values is shown, white at the 99.8th percentile of each set ({own:.3g} generated,"
        f" {white:.3g} real): sets of different brightness look alike here, and differ in the tables."
    )
    blocks = [Block("samples", "Generated chips", note, top, SHOWN)]
    if below:
        text = "The real chip of the same target whose azimuth is nearest to the requested one."
        blocks.append(Block("samples", "Real chips at these aspects", text, below, SHOWN))
    controls = [row for row in evaluation.rows[1:] if row.name in ("real half", "noise", "clutter only")]
    pictures = [
        Picture(inline_chip(row.candidate.amplitude[k], white), row.name, True)
        for row in controls
        for k in _spread(row.candidate, 2)
    ]
    text = "Two chips of each control that has pixels of its own; the shuffled rows have the pixels of the real half."
    blocks.append(Block("samples", "Controls", text, pictures, SHOWN))
    return blocks


def _spread(chips: ChipSet, count: int) -> list[int]:
    order = sorted(range(len(chips)), key=lambda k: (chips.target[k], np.nan_to_num(chips.azimuth_deg[k], nan=-1.0)))
    places = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [order[k] for k in places]


def _nearest(chips: ChipSet, k: int, gallery: ChipSet) -> int | None:
    same = np.flatnonzero(np.array(gallery.target) == chips.target[k])
    if len(same) == 0 or not np.isfinite(chips.azimuth_deg[k]):
        return None
    distance = circular_distance(gallery.azimuth_deg[same], chips.azimuth_deg[k])
    return None if np.isnan(distance).all() else int(same[np.nanargmin(distance)])


def _label(chips: ChipSet, k: int) -> str:
    azimuth = chips.azimuth_deg[k]
    return chips.target[k] if np.isnan(azimuth) else f"{chips.target[k]} {round(float(azimuth), 1) % 360.0:.1f}°"
