"""How near generated chips come to training chips, and the nearest pairs side by side."""

import numpy as np

from geodiff_sar.evaluation.report.figures import FIGURES, Block, Picture
from geodiff_sar.evaluation.report.pictures import COLOURS, inline_chip, inline_figure, new_figure, white_of
from geodiff_sar.evaluation.results import Evaluation

METRIC, PAIRS = "memorisation", 4


@FIGURES.register("memorisation")
def memorisation(evaluation: Evaluation) -> list[Block]:
    """Distances to the nearest training chip, and the nearest pairs, copies first."""
    row = evaluation.rows[0]
    measurement = evaluation.results[row.name].get(METRIC)
    if measurement is None or "distance" not in measurement.details:
        return []
    details = measurement.details
    figure = new_figure(9.6, 3.0)
    axes = figure.subplots()
    edges = np.linspace(0.0, 1.0, 51)
    groups = {
        "generated": ("generated to training", details["distance"]),
        "reference": ("training to its nearest other", details["distance_among_training"]),
    }
    for name, (label, values) in groups.items():
        share = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(share, edges, fill=True, alpha=0.5, color=COLOURS[name], label=label)
    axes.axvline(details["threshold"], color="#1d2733", lw=1, ls="--", label="copies are nearer than this")
    axes.set(xlim=(0, 1), xlabel="distance to the nearest training chip (1 - correlation)", ylabel="share of chips")
    axes.legend(frameon=False, loc="upper left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    text = "Generated chips left of the dashed line are training chips over again, perhaps moved, mirrored or scaled."
    blocks = [Block("memorisation", "Distance to training chips", text, [Picture(inline_figure(figure))])]
    copies = len(details["copies"])
    text = f"{copies} copies." if copies else "No copies; these are the nearest pairs, to look at."
    text += " Left the generated chip, right the training chip; metrics.json lists every copy."
    blocks.append(
        Block("memorisation", "Nearest pairs", text, _pairs(evaluation, details["nearest"][:PAIRS]), 2 * PAIRS)
    )
    return blocks


def _pairs(evaluation: Evaluation, listed: list[dict]) -> list[Picture]:
    row = evaluation.rows[0]
    sets = (row.candidate, row.training)
    places = [{identity: k for k, identity in enumerate(chips.ids)} for chips in sets]
    whites = [white_of(chips.amplitude) for chips in sets]
    pictures = []
    for entry in listed:
        for chips, place, white, key in zip(sets, places, whites, ("id", "training_id"), strict=True):
            label = f"{entry[key]}, {entry['distance']:.2f}" if key == "id" else str(entry[key])
            pictures.append(Picture(inline_chip(chips.amplitude[place[entry[key]]], white), label, True))
    return pictures
