"""Proof on real chips: trained on every other chip in azimuth order of each vehicle, tested on the rest."""

import csv
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.data.chip_set import ChipSet, chip_hash
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.atr.labels import find_labels
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.atr.settings import ON_REAL
from geodiff_sar.evaluation.atr.study import carry_out
from geodiff_sar.evaluation.azimuth_network import train_azimuth_estimator
from learning_support import bar_chips
from support import SHARED

FOLDER = SHARED / "data" / "mstar17"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no real chips at {FOLDER} (GEODIFF_SHARED names their place)"),
]


@pytest.fixture(scope="module")
def halves() -> tuple[ChipSet, ChipSet]:
    """Training and test half, range to the right."""
    with (FOLDER / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pictures = [np.asarray(Image.open(FOLDER / "linear" / row["file"]).convert("L"), dtype=np.float32) for row in rows]
    amplitude = np.stack([np.ascontiguousarray(np.rot90(picture, -1)) for picture in pictures])
    chips = replace(
        bar_chips(len(rows), 0, side=4),
        ids=tuple(row["file"] for row in rows),
        amplitude=amplitude,
        target=tuple(row["class"] for row in rows),
        azimuth_deg=np.array([(360.0 - float(row["target_azimuth_deg"])) % 360.0 for row in rows]),
        serial=tuple(row["serial"] for row in rows),
        hashes=tuple(chip_hash(chip) for chip in amplitude),
        paths=tuple(Path(row["file"]) for row in rows),
        masks=None,
    )
    vehicles: dict[tuple[str, str | None], list[int]] = defaultdict(list)
    for k in np.argsort(chips.azimuth_deg):
        vehicles[chips.target[k], chips.serial[k]].append(int(k))
    first, second = (sorted(k for of in vehicles.values() for k in of[start::2]) for start in (0, 1))
    return chips.take(first), chips.take(second)


def test_the_azimuth_estimator_is_within_four_degrees(halves: tuple[ChipSet, ChipSet]):
    train, test = halves
    error = circular_distance(train_azimuth_estimator(train).predict(test.amplitude), test.azimuth_deg)
    assert np.median(error) <= 4.0
    assert (error > 90.0).mean() < 0.03  # front and rear confused


def test_the_default_classifier_tells_the_targets(halves: tuple[ChipSet, ChipSet]):
    train, test = halves
    labels = find_labels(train, test, None)
    guesses = carry_out(train, {ON_REAL: test}, labels, AtrOptions(), 0, "real chips")[ON_REAL]
    assert (guesses["target"] == labels.truth("target", test)).mean() >= 0.97
