"""A whole study on small synthetic chips: settings, resume, refusals, numbers and page."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geodiff_sar.core.errors import DataError, FileError, Interrupted, OptionError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.atr.labels import Labels, find_labels
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.atr.report import to_html
from geodiff_sar.evaluation.atr.settings import (
    CLUTTER_ONLY,
    MIXED,
    ON_GENERATED,
    ON_REAL,
    REAL,
    SYNTHETIC,
    TARGET_ONLY,
    Material,
    dealer,
    settings_of,
)
from geodiff_sar.evaluation.atr.study import Study, carry_out, run_study
from geodiff_sar.evaluation.atr.table import confusions_of, rows_of, write_numbers
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.heads import Head
from learning_support import bar_chips

TINY = AtrOptions(fractions=(0.5,), ratios=(0.5,), fit=FitOptions(steps=2, batch_size=8))


class StoppingHead(Head):
    """Asks the process to stop when its first batch comes."""

    def __init__(self, inner: Head):
        self.inner, self.size = inner, inner.size

    def targets(self, index: np.ndarray, azimuth_deg: np.ndarray) -> np.ndarray:
        os.kill(os.getpid(), signal.SIGINT)  # the loop ends after this step
        return self.inner.targets(index, azimuth_deg)


class StoppingLabels(Labels):
    """Labels whose heads, asked for the fourth time, stop the run."""

    def heads(self, chips: ChipSet) -> dict[str, Head]:
        self.notes["calls"] = str(int(self.notes.get("calls", "0")) + 1)
        heads = super().heads(chips)
        return {**heads, "target": StoppingHead(heads["target"])} if self.notes["calls"] == "4" else heads


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(bar_chips(40, 0, name="train"), bar_chips(24, 1, name="test"), bar_chips(32, 2, name="synthetic"))


@pytest.fixture(scope="module")
def study(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Study:
    labels = find_labels(material.training, material.test, material.generated)
    return run_study(material, labels, TINY, tmp_path_factory.mktemp("cache"))


def test_every_setting_has_its_chips(material: Material):
    options = AtrOptions(fractions=(0.1, 0.5), ratios=(0.25, 5.0, 9.0))
    settings, notes = settings_of(material, options)
    kinds = [s.experiment for s in settings]
    assert [kinds.count(k) for k in (REAL, SYNTHETIC, MIXED, CLUTTER_ONLY, TARGET_ONLY)] == [3, 1, 6, 1, 1]
    assert len(notes) == 2  # ratios 5 and 9 ask for more than there is, and come to the same
    assert "32" in notes[0]
    deal = dealer(material)
    for setting in settings:
        training, tests = deal(setting, 0)
        real = sum(h in material.training.hashes for h in training.hashes)
        if setting.experiment in (REAL, SYNTHETIC, MIXED):
            assert real == round(setting.fraction * 40)
            assert len(training) - real == setting.synthetic
            assert tests[ON_REAL].hashes == material.test.hashes
        assert (ON_GENERATED in tests) == (setting.experiment == REAL and setting.fraction == 1.0)


def test_controls_hold_clutter_or_target_alone(material: Material):
    settings, _ = settings_of(material, AtrOptions())
    deal = dealer(material)
    clutter, _ = deal(next(s for s in settings if s.experiment == CLUTTER_ONLY), 0)
    target, tests = deal(next(s for s in settings if s.experiment == TARGET_ONLY), 0)
    masks = material.training.masks
    assert masks is not None
    inside = masks == 1
    assert (target.amplitude[~inside] == 0).all()
    assert np.array_equal(target.amplitude[inside], material.training.amplitude[inside])
    assert clutter.amplitude[inside].mean() < 0.3 * material.training.amplitude[inside].mean()
    assert len(tests[ON_REAL]) == 24
    assert target.target == material.training.target


def test_numbers_belong_together(study: Study):
    assert study.made == 3 * len(study.outcomes) == 3 * 7
    rows = rows_of(study)
    for outcome in study.outcomes:
        for test, truths in outcome.truth.items():
            for head in truths:
                of = [
                    r
                    for r in rows
                    if (r["title"], r["test"], r["head"], r["quantity"])
                    == (outcome.setting.title, test, head, "accuracy")
                ]
                whole = next(r for r in of if r["group"] == "all")
                parts = [r for r in of if r["group"].startswith("target")]
                assert whole["value"] == pytest.approx(sum(r["value"] * r["n"] for r in parts) / whole["n"])
                assert whole["low"] <= whole["value"] <= whole["high"]
                assert np.mean(whole["per_seed"]) == pytest.approx(whole["value"])
    gains = [r for r in rows if r["quantity"] == "gain"]
    assert {(r["title"], r["head"]) for r in gains} == {
        (f"{f} real + 20 synthetic", h) for f in ("50 %", "100 %") for h in study.labels.values
    }
    for gain in gains:
        of = {r["title"]: r["value"] for r in rows if (r["head"], r["group"], r["test"]) == (gain["head"], "all", ON_REAL)
              and r["quantity"] == "accuracy"}  # fmt: skip
        assert gain["value"] == pytest.approx(of[gain["title"]] - of[gain["title"].split(" + ")[0]])
    for entry in confusions_of(study):
        assert np.sum(entry["counts"]) == 3 * (32 if entry["test"] == ON_GENERATED else 24)


def test_files_and_page_are_complete(study: Study, tmp_path: Path):
    facts = {"real": {"folder": "<chips>"}, "numbers": [1, 2]}
    numbers, table = write_numbers(study, facts, ["mind this"], tmp_path)
    value = json.loads(numbers.read_text())
    assert value["warnings"] == ["mind this"]
    assert len(table.read_text().splitlines()) == 1 + len(value["scores"])
    page = to_html(study, facts, ["mind this"])
    assert "&lt;chips&gt;" in page
    assert "mind this" in page
    assert page.count("data:image/png;base64,") >= 2 + 1 + 5
    assert 'src="http' not in page
    assert "Clutter alone gives" in page


def test_an_interrupted_study_goes_on_and_ends_with_the_same_numbers(material: Material, study: Study, tmp_path: Path):
    labels = find_labels(material.training, material.test, material.generated)
    with pytest.raises(Interrupted):
        run_study(material, StoppingLabels(labels.values, {}), TINY, tmp_path)
    kept = {path.name for path in (tmp_path / "atr").glob("*.json")}
    assert len(kept) == 2  # the first call was the announcement, the fourth belongs to the third run
    assert len(list((tmp_path / "atr").glob("*.unfinished"))) == 1
    again = run_study(material, labels, TINY, tmp_path)
    assert again.made == study.made - 2
    assert not list((tmp_path / "atr").glob("*.unfinished"))
    assert rows_of(again) == rows_of(study)
    third = run_study(material, labels, TINY, tmp_path)
    assert third.made == 0
    assert rows_of(third) == rows_of(study)
    path = next((tmp_path / "atr").glob("*.json"))
    path.write_text('{"real": {"target": [1]}}')
    with pytest.raises(FileError, match="finished run"):
        run_study(material, labels, TINY, tmp_path)


def test_a_classifier_that_learns_is_told_from_the_background():
    """The point of the controls: bars of two lengths are learnt, and clutter without a class in it stays at chance."""
    options = AtrOptions(fit=FitOptions(steps=35, batch_size=16), fractions=(1.0,))
    material = Material(bar_chips(64, 0), bar_chips(64, 1), None)
    labels = find_labels(material.training, material.test, None)
    deal, right = dealer(material), {}
    for setting in settings_of(material, options)[0]:
        training, tests = deal(setting, 0)
        guesses = carry_out(training, tests, labels, options, 0, setting.title)[ON_REAL]["target"]
        right[setting.experiment] = (guesses == labels.truth("target", material.test)).mean()
    assert right[REAL] > 0.85
    assert right[TARGET_ONLY] > 0.85
    assert 0.3 < right[CLUTTER_ONLY] < 0.7  # four deviations of 64 fair coins


def test_heads_are_those_that_all_sets_know():
    train, test = bar_chips(60, 0), bar_chips(60, 1)
    labels = find_labels(train, test, None)
    assert set(labels.values) == {"target", "sector"}
    assert "all training chips are HH" in labels.notes["polarisation"]
    mixed = ("HH", "VV") * 30
    both = find_labels(replace(train, polarisation=mixed), replace(test, polarisation=mixed), None)
    assert both.values["polarisation"] == ("HH", "VV")
    other = replace(test, polarisation=("HV",) * 60)
    unseen = find_labels(replace(train, polarisation=mixed), other, None)
    assert "HV" in unseen.notes["polarisation"]
    outside = np.flatnonzero(train.azimuth_deg >= 60.0)
    assert "0-30" in find_labels(train.take(outside), test, None).notes["sector"]
    blind = replace(bar_chips(8, 2), azimuth_deg=np.full(8, np.nan))
    assert "not known" in find_labels(train, test, blind).notes["sector"]
    assert labels.truth("sector", replace(train, azimuth_deg=np.full(60, 359.0))).tolist() == [11] * 60


def test_sets_that_prove_nothing_are_refused():
    train, test = bar_chips(40, 0), bar_chips(24, 1)
    with pytest.raises(DataError, match="one target only"):
        find_labels(bar_chips(40, 0, targets=("long",)), bar_chips(20, 0, targets=("long",)), None)
    with pytest.raises(DataError, match="dot"):
        find_labels(train, bar_chips(24, 1, targets=("long", "short", "dot")), None)
    with pytest.raises(DataError, match=r"too few chips of long \(3\)"):
        find_labels(train.take([*range(1, 40, 2), 0, 2, 4]), test, None)
    with pytest.raises(DataError, match="too few chips of short"):
        find_labels(train, test.take([*range(0, 24, 2), 1]), None)


@pytest.mark.parametrize("wrong", [{"seeds": 2}, {"fractions": (0.0,)}, {"fractions": (1.5,)}, {"ratios": ()}])
def test_wrong_options(wrong: dict[str, object]):
    from geodiff_sar.core.config import parse_options

    with pytest.raises(OptionError, match=next(iter(wrong))):
        parse_options(AtrOptions, wrong, "test")
