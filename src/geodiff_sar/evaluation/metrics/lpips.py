"""Perceptual distance to real chips of the same aspect, where weights are at hand."""

import os
from pathlib import Path
from typing import ClassVar

from geodiff_sar.evaluation.base import Comparison, Measurement, Metric, Score
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.pairs import registered_pairs
from geodiff_sar.evaluation.pairs_scores import pair_measurement

LEAST_SIDE = 31
VARIABLE = "GEODIFF_LPIPS_WEIGHTS"


@METRICS.register("lpips")
class LpipsMetric(Metric):
    """LPIPS to the real chip of the same aspect, mean over pairs; lower is better, 0 for equal chips.

    Activations of five layers of AlexNet, each scaled to unit length over channels; squared differences weighted by
    the published linear layers, averaged over places, summed over layers (Zhang, Isola, Efros, Shechtman and Wang
    2018). Values v are shown as grey 2 v / R - 1, R the largest value of the reference. Partner: the real chip of the
    same target and polarisation, depression within 2 degrees, that is nearest in azimuth and at most one degree away;
    never the chip itself. The judged chip is moved onto it to a twentieth of a pixel by the peak of their
    cross-correlation (at most a sixteenth of the side), and that border is cut off all round. At most 1,000 pairs.

    Needs two files in the folder that the environment variable GEODIFF_LPIPS_WEIGHTS names: alexnet*.pth
    (torchvision's AlexNet, such as alexnet-owt-7be5be79.pth) and alex.pth (the linear layers of LPIPS version 0.1).
    Without them there is no value.

    Limits: trained on photographs and on people's judgement of them; speckle and shadows mean nothing to it. Compare
    with the real half. AlexNet's first filters span 11 pixels in steps of 4 and see little in small
    chips; a pair of less than 31 pixels a side has no value.
    """

    title: ClassVar[str] = "LPIPS (AlexNet)"
    family: ClassVar = "paired"
    sees: ClassVar[frozenset[str]] = frozenset()
    variables: ClassVar[tuple[str, ...]] = (VARIABLE,)

    def measure(self, comparison: Comparison) -> Measurement:
        """Scores of one row."""
        folder = os.environ.get(VARIABLE)
        files = None if folder is None else _find_weights(Path(folder))
        if files is None:
            what = f"{VARIABLE} is not set" if folder is None else f"{folder} lacks them"
            note = (
                f"no weights ({what}): put alexnet-owt-7be5be79.pth (torchvision) and alex.pth (LPIPS 0.1) into a"
                f" folder and name it in {VARIABLE}"
            )
            return Measurement([Score("lpips", float("nan"), "1", "lower", 0, note=note, headline=True, sees=())])
        # torchvision takes seconds to load, and is needed from here on only
        from geodiff_sar.evaluation.pairs_perceptual import load_lpips, lpips_of_pairs

        side = min(registered_pairs(comparison).real.shape[1:])
        if side < LEAST_SIDE:
            note = f"{side} pixels are left after registration, and AlexNet needs {LEAST_SIDE}"
            return Measurement([Score("lpips", float("nan"), "1", "lower", 0, note=note, headline=True, sees=())])
        network = load_lpips(files)
        return pair_measurement(
            comparison,
            "lpips",
            "1",
            "lower",
            lambda p: lpips_of_pairs(network, p.real, p.moved, p.data_range),
            f"weights {files[0].name} and {files[1].name}",
        )


def _find_weights(folder: Path) -> tuple[Path, Path] | None:
    """Files of the backbone and of the linear layers, or None where one is missing."""
    backbones = sorted(folder.glob("alexnet*.pth"))
    linear = folder / "alex.pth"
    return (backbones[0], linear) if backbones and linear.is_file() else None
