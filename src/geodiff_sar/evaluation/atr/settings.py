"""The experiments of a study, and the chips that each trains and tests on."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.atr.subsets import first_of, subset, together
from geodiff_sar.evaluation.regions import fill_with_clutter, find_regions, fixed_clutter_region, target_only

REAL, SYNTHETIC, MIXED = "real", "synthetic", "real + synthetic"
CLUTTER_ONLY, TARGET_ONLY = "clutter only", "target only"

ON_REAL, ON_GENERATED = "real", "generated"
"""Test sets."""


@dataclass(frozen=True)
class Setting:
    """One experiment, without its seed.

    Attributes:
        experiment: REAL, SYNTHETIC, MIXED, CLUTTER_ONLY or TARGET_ONLY.
        fraction: share of the real training chips; 0 without real ones.
        ratio: synthetic chips per chip of the whole real training part; 0 without synthetic ones.
        synthetic: number of synthetic chips that this comes to.
    """

    experiment: str
    fraction: float
    ratio: float = 0.0
    synthetic: int = 0

    @property
    def title(self) -> str:
        """As tables call it."""
        if self.experiment == MIXED:
            return f"{self.fraction:.0%} real + {self.synthetic} synthetic".replace("%", " %")
        if self.experiment == SYNTHETIC:
            return f"{self.synthetic} synthetic"
        share = f"{self.fraction:.0%}".replace("%", " %")
        return f"{share} real" if self.experiment == REAL else f"{self.experiment} ({share} real)"


@dataclass(frozen=True)
class Material:
    """Chips of a study.

    Attributes:
        training, test: real chips.
        generated: synthetic chips, or None.
    """

    training: ChipSet
    test: ChipSet
    generated: ChipSet | None


Dealt = tuple[ChipSet, dict[str, ChipSet]]
"""Training chips and test sets of one run."""


def settings_of(material: Material, options: AtrOptions) -> tuple[list[Setting], list[str]]:
    """All settings in the order of the report, and sentences on what could not be had as asked."""
    whole = [Setting(REAL, fraction) for fraction in options.fractions]
    notes: list[str] = []
    if material.generated is not None:
        there = len(material.generated)
        whole.append(Setting(SYNTHETIC, 0.0, there / len(material.training), there))
        counts: dict[int, float] = {}
        for ratio in options.ratios:
            wanted = max(1, round(ratio * len(material.training)))
            if wanted > there:
                notes.append(
                    f"Ratio {ratio:g} asks for {wanted} synthetic chips; there are {there}, and all of them are taken "
                    f"(ratio {there / len(material.training):.2g})."
                )
                counts.setdefault(there, there / len(material.training))
            else:
                counts.setdefault(wanted, ratio)
        whole += [Setting(MIXED, f, ratio, count) for f in options.fractions for count, ratio in sorted(counts.items())]
    return [*whole, Setting(CLUTTER_ONLY, 1.0), Setting(TARGET_ONLY, 1.0)], notes


def dealer(material: Material) -> Callable[[Setting, int], Dealt]:
    """A function that gives the chips of a setting and a seed; controls are made once."""
    controls: dict[str, Dealt] = {}

    def deal(setting: Setting, seed: int) -> Dealt:
        real, generated = material.training, material.generated
        if setting.experiment in (CLUTTER_ONLY, TARGET_ONLY):
            if setting.experiment not in controls:
                controls[setting.experiment] = _control(material, setting.experiment)
            return controls[setting.experiment]
        tests = {ON_REAL: material.test}
        if setting.experiment == SYNTHETIC:
            assert generated is not None
            return generated, tests
        part = subset(real, setting.fraction, seed)
        if setting.experiment == MIXED:
            assert generated is not None
            return together(part, first_of(generated, setting.synthetic, seed)), tests
        if setting.fraction == 1.0 and generated is not None:
            tests[ON_GENERATED] = generated
        return part, tests

    return deal


def _control(material: Material, experiment: str) -> Dealt:
    """Both parts reduced alike. For clutter, what is kept is the same in all chips, so that no outline shows."""
    both = together(material.training, material.test)
    if experiment == CLUTTER_ONLY:
        pixels = fill_with_clutter(both.amplitude, fixed_clutter_region(both), np.random.default_rng([0, 12]))
    else:
        pixels = target_only(both.amplitude, find_regions(both).codes)
    reduced = both.with_amplitude(pixels)
    n = len(material.training)
    training = reduced.take(range(n), f"{material.training.name}, {experiment}")
    test = reduced.take(range(n, len(both)), f"{material.test.name}, {experiment}")
    return training, {ON_REAL: test}
