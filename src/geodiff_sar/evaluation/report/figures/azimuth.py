"""Requested against read azimuth, and how far they are apart."""

import numpy as np

from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.report.figures import FIGURES, Block, Picture
from geodiff_sar.evaluation.report.pictures import COLOURS, inline_figure, new_figure
from geodiff_sar.evaluation.results import Evaluation

METRIC, BIN_DEG, NEAR_DEG = "azimuth_consistency", 30, 10.0
SHOWN = ("generated", "real half", "azimuth-shuffled")


@FIGURES.register("azimuth")
def azimuth(evaluation: Evaluation) -> list[Block]:
    """Scatter of generated and real chips, distribution of the error, share within 10 degrees per azimuth bin."""
    angles = {name: _angles(evaluation, name) for name in SHOWN}
    present = {name: pair for name, pair in angles.items() if pair is not None}
    if "generated" not in present:
        return []
    figure = new_figure(11.0, 3.7)
    scatter, spread, bins = figure.subplots(1, 3)
    for name in ("real half", "generated"):
        if name in present:
            requested, read = present[name]
            scatter.scatter(requested, read, s=7, alpha=0.6, color=COLOURS[name], label=name, linewidths=0)
    for offset in (-180, 0, 180):
        scatter.plot(
            [0, 360], [offset, 360 + offset], color="#cccccc", lw=0.8, zorder=0, ls="-" if offset == 0 else ":"
        )
    scatter.set(xlim=(0, 360), ylim=(0, 360), xticks=range(0, 361, 90), yticks=range(0, 361, 90), aspect="equal")
    scatter.set(xlabel="requested azimuth, degrees", ylabel="read azimuth, degrees")
    edges = np.arange(0, 181, 1.0)
    for name, (requested, read) in present.items():
        error = np.sort(circular_distance(read, requested))
        spread.plot(edges, np.searchsorted(error, edges, side="right") / len(error), color=COLOURS[name], label=name)
    spread.set(
        xlim=(0, 180),
        ylim=(0, 1.02),
        xlabel="error at most, degrees",
        ylabel="share of chips",
        xticks=range(0, 181, 45),
    )
    spread.legend(frameon=False, loc="lower right")
    for place, name in enumerate(("real half", "generated")):
        if name in present:
            requested, read = present[name]
            share = _share_per_bin(requested, read)
            centres = np.arange(len(share)) * BIN_DEG + BIN_DEG * (0.3 + 0.4 * place)
            bins.bar(centres, share, width=BIN_DEG * 0.38, color=COLOURS[name], label=name)
    bins.set(xlim=(0, 360), ylim=(0, 1.02), xticks=range(0, 361, 90), xlabel="requested azimuth, degrees")
    bins.set(ylabel=f"share within {NEAR_DEG:g} degrees")
    for axes in (scatter, spread, bins):
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    text = (
        "Left: chips on the solid line show the azimuth that was asked for; on a dotted line they show the target the other"
        " way round. Middle: the higher a curve rises at once, the better; the real half is the ceiling, shuffled azimuths"
        " are chance. Right: by azimuth; a bin without chips has no bar."
    )
    return [Block("azimuth", "Requested and read azimuth", text, [Picture(inline_figure(figure))])]


def _angles(evaluation: Evaluation, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    measurement = evaluation.results.get(name, {}).get(METRIC)
    if measurement is None or not measurement.details.get("requested_deg"):
        return None
    requested, read = (np.array(measurement.details[key], dtype=float) for key in ("requested_deg", "read_deg"))
    return (requested, read) if np.isfinite(requested).all() else None


def _share_per_bin(requested: np.ndarray, read: np.ndarray) -> np.ndarray:
    near = circular_distance(read, requested) <= NEAR_DEG
    place = (requested // BIN_DEG).astype(int)
    return np.array([near[place == k].mean() if (place == k).any() else np.nan for k in range(360 // BIN_DEG)])
