"""Histograms of clutter: real, generated, and the law of pure speckle."""

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.regions import fixed_clutter_region
from geodiff_sar.evaluation.report.figures import FIGURES, Block, Picture
from geodiff_sar.evaluation.report.pictures import COLOURS, inline_figure, new_figure
from geodiff_sar.evaluation.results import Evaluation

SHOWN = ("real half", "generated", "noise")
TOP = 5.0


@FIGURES.register("clutter")
def clutter(evaluation: Evaluation) -> list[Block]:
    """Density of amplitude over its mean, linear and logarithmic, where no chip of the row shows target or shadow."""
    figure = new_figure(10.5, 3.2)
    both = figure.subplots(1, 2)
    edges = np.linspace(0.0, TOP, 61)
    for row in evaluation.rows:
        if row.name in SHOWN:
            density = _density(row.candidate, edges)
            for axes in both:
                axes.stairs(
                    np.where(density > 0, density, np.nan), edges, color=COLOURS[row.name], label=row.name, lw=1.6
                )
    centres = 0.5 * (edges[1:] + edges[:-1])
    for axes in both:
        axes.plot(
            centres,
            np.pi / 2 * centres * np.exp(-np.pi / 4 * centres**2),
            color="#999999",
            lw=1,
            ls="--",
            label="Rayleigh",
        )
        axes.set(xlim=(0, TOP), xlabel="amplitude over its mean in the chip")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    both[0].set(ylabel="density", ylim=(0, None))
    both[1].set(yscale="log", ylim=(1e-4, 2))
    both[0].legend(frameon=False)
    text = (
        "Pixels outside target and shadow of every chip of a row. Single-look speckle on even ground follows the dashed line;"
        " texture lifts the tail (right, logarithmic). Generated clutter is to follow the real half, not the line."
    )
    return [Block("radar", "Clutter", text, [Picture(inline_figure(figure))])]


def _density(chips: ChipSet, edges: np.ndarray) -> np.ndarray:
    amplitude = chips.remap.to_amplitude(chips.amplitude) if chips.remap.invertible else chips.amplitude
    pixels = amplitude[:, fixed_clutter_region(chips)]
    share = pixels / np.maximum(pixels.mean(axis=1, keepdims=True), 1e-12)
    return np.histogram(share, edges)[0] / (share.size * (edges[1] - edges[0]))
