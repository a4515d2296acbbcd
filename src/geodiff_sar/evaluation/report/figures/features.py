"""Where chips of every row lie in the feature space."""

import numpy as np
from sklearn.decomposition import PCA

from geodiff_sar.evaluation.report.figures import FIGURES, Block, Picture
from geodiff_sar.evaluation.report.pictures import COLOURS, inline_figure, new_figure
from geodiff_sar.evaluation.results import Evaluation

ROWS = ("noise", "clutter only", "real half", "generated")
MOST = 600


@FIGURES.register("features")
def features(evaluation: Evaluation) -> list[Block]:
    """The first two principal components of the reference's features; every row projected onto them."""
    reference = evaluation.features["reference"]
    plane = PCA(n_components=2).fit(reference)
    figure = new_figure(9.6, 4.2)
    axes = figure.subplots()
    for name in ("reference", *ROWS):
        if name in evaluation.features:
            points = plane.transform(evaluation.features[name][:MOST])
            axes.scatter(points[:, 0], points[:, 1], s=9, alpha=0.55, label=name, color=COLOURS[name], linewidths=0)
    share = plane.explained_variance_ratio_ * 100
    axes.set_xlabel(f"first component ({share[0]:.0f} % of the reference's variance)")
    axes.set_ylabel(f"second ({share[1]:.0f} %)")
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    text = (
        f"Space: {evaluation.space}. Good chips lie where the real half lies, as widely spread. Two components show little"
        " of a space: trust the numbers, and look here for outliers and for collapse."
    )
    assert np.isfinite(share).all()
    return [Block("distribution", "Feature space", text, [Picture(inline_figure(figure))])]
