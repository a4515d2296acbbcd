"""Whether generated chips help a classifier in the sectors that were never measured."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geodiff_sar.core.files import read_json, sha256_json, write_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.atr.accuracy import Estimate, accuracy, gain
from geodiff_sar.evaluation.atr.labels import Labels, find_labels
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.atr.settings import ON_REAL
from geodiff_sar.evaluation.atr.study import announce, kept_run, run_file
from geodiff_sar.evaluation.atr.subsets import subset, together
from geodiff_sar.evaluation.learning.augment import NO_AUGMENTATION
from geodiff_sar.evaluation.learning.store import sources
from geodiff_sar.workflows.study.instruments import Instruments
from geodiff_sar.workflows.study.jobs import CACHE_FOLDER, Job
from geodiff_sar.workflows.study.kept import KeptResults, settings_key
from geodiff_sar.workflows.study.making import made_chips
from geodiff_sar.workflows.study.material import Material
from geodiff_sar.workflows.study.measuring import generated_set
from geodiff_sar.workflows.study.options import StudyConfig, StudyUse

PLAIN, ORDINARY = "real chips, no augmentation", "real chips, ordinary augmentation"
USES = "use.json"
WHERE = {False: "at held-out azimuths", True: "everywhere"}


@dataclass(frozen=True)
class Setting:
    """One line of the table of uses.

    Attributes:
        title: what is trained on.
        fraction: share of the real chips of the trained sectors.
        row: whose generated chips are added; None: none.
        everywhere: whether those of the trained sectors are added too.
    """

    title: str
    fraction: float
    row: str | None = None
    everywhere: bool = False


@dataclass(frozen=True)
class Use:
    """A finished line.

    Attributes:
        setting: which one.
        real, synthetic: chips that it was trained on.
        accuracy: on the real chips of the held-out sectors.
        gain: over ordinary augmentation of the same real chips; None for that line itself.
    """

    setting: Setting
    real: int
    synthetic: int
    accuracy: Estimate
    gain: Estimate | None


def settings_of(use: StudyUse, titles: dict[str, str]) -> list[Setting]:
    """All lines in their order; ``titles`` of the rows that are added, by their names."""
    found = []
    for fraction in sorted(use.fractions):
        found += [Setting(PLAIN, fraction), Setting(ORDINARY, fraction)]
        for name, title in titles.items():
            found += [Setting(f"+ {title}, {where}", fraction, name, wide) for wide, where in WHERE.items()]
    return found


def use_key(config: StudyConfig, material: Material, jobs: Sequence[Job]) -> str:
    """Hash of everything that the lines follow from: chips, adapters, generation, classifiers and their code."""
    assert config.use is not None
    adapters = [job.folder(material.out, material.sha256).name for job in jobs if job.row.name in config.use.rows]
    settings = [config.use.model_dump(mode="json"), settings_key(config, material)]
    return sha256_json([settings, adapters, sources()])


def measure_use(
    config: StudyConfig, material: Material, instruments: Instruments, folders: dict[str, list[Path]]
) -> list[Use]:
    """Train and test every classifier that the cache does not hold.

    Repetition k takes the chips of the row's k-th seed (in turn where it has fewer), so that the interval knows of other
    generators too. Every network makes the same number of steps; generated chips get ordinary augmentation as real ones do.

    Args:
        config: of the study; its ``use`` is there.
        material: of the study.
        instruments: the real chips.
        folders: of the generated chips, one per seed, by the rows that are finished.
    """
    assert config.use is not None
    use = config.use
    real, test = instruments.training, instruments.held_out
    labels = find_labels(real, test, None)
    cache = material.out / CACHE_FOLDER
    chips = _read(config, material, instruments, folders)
    options = {plain: _options(use, plain) for plain in (True, False)}
    settings = settings_of(use, {name: config.row(name).title for name in folders})
    runs = [(setting, seed) for seed in range(use.seeds) for setting in settings]
    guesses: dict[Setting, list[np.ndarray]] = {}
    sizes: dict[Setting, tuple[int, int]] = {}
    announced = False
    for number, (setting, seed) in enumerate(runs, start=1):
        training, synthetic = _training(setting, seed, real, chips, material)
        chosen = options[setting.title == PLAIN]
        if not announced and not run_file(training, {ON_REAL: test}, labels, chosen, seed, cache).is_file():
            announce(training, labels, chosen, len(runs) - number + 1)
            announced = True
        title = f"{setting.title}, {setting.fraction:.0%}, repetition {seed + 1} ({number}/{len(runs)})"
        found, _ = kept_run(training, {ON_REAL: test}, labels, chosen, seed, title, cache)
        guesses.setdefault(setting, []).append(found[ON_REAL]["target"])
        sizes[setting] = (len(training) - synthetic, synthetic)
    return _uses(guesses, sizes, labels, test)


def write_uses(uses: list[Use], key: str, material: Material, kept: KeptResults | None) -> None:
    """Write ``use.json``, and the same among the kept results."""
    value = {"key": key, "lines": [asdict(of) for of in uses]}
    write_json(material.out / USES, value)
    if kept is not None:
        kept.keep_uses(key, read_json(material.out / USES))


def read_uses(config: StudyConfig, material: Material, jobs: Sequence[Job], kept: KeptResults | None) -> list[Use]:
    """What ``write_uses`` wrote; nothing where it was not measured with these adapters and settings."""
    if config.use is None:
        return []
    key = use_key(config, material, jobs)
    value = kept.uses(key) if kept is not None else None
    if value is None:
        path = material.out / USES
        value = read_json(path) if path.is_file() else None
    if value is None or value["key"] != key:
        return []
    return [
        Use(
            Setting(**line["setting"]),
            line["real"],
            line["synthetic"],
            _estimate(line["accuracy"]),
            None if line["gain"] is None else _estimate(line["gain"]),
        )
        for line in value["lines"]
    ]


def _estimate(value: dict[str, Any]) -> Estimate:
    return Estimate(**{**value, "per_seed": tuple(value["per_seed"])})


def _read(
    config: StudyConfig, material: Material, instruments: Instruments, folders: dict[str, list[Path]]
) -> dict[str, list[ChipSet]]:
    """Generated chips of every row and seed, those of held-out views first."""
    found: dict[str, list[ChipSet]] = {}
    for name, paths in folders.items():
        for number, path in enumerate(paths, start=1):
            made, _ = made_chips(path, len(material.views), config.generate.per_view)
            title = f"chips of {config.row(name).title}, seed {number} of {len(paths)}"
            found.setdefault(name, []).append(generated_set(material, instruments, path, made, title))
    return found


def _training(
    setting: Setting, seed: int, real: ChipSet, chips: dict[str, list[ChipSet]], material: Material
) -> tuple[ChipSet, int]:
    """Training chips of one repetition, and how many of them are generated."""
    part = subset(real, setting.fraction, seed)
    if setting.row is None:
        return part, 0
    generated = chips[setting.row][seed % len(chips[setting.row])]
    if not setting.everywhere:
        views = len(material.views)
        held_out = sum(view.part == "held out" for view in material.views)
        generated = generated.take(range(held_out * len(generated) // views))
    return together(part, generated), len(generated)


def _options(use: StudyUse, plain: bool) -> AtrOptions:
    fit = use.fit.model_copy(update={"augment": NO_AUGMENTATION}) if plain else use.fit
    return AtrOptions(seeds=use.seeds, network=use.network, fit=fit)


def _uses(
    guesses: dict[Setting, list[np.ndarray]], sizes: dict[Setting, tuple[int, int]], labels: Labels, test: ChipSet
) -> list[Use]:
    truth = labels.truth("target", test)
    stacked = {setting: np.stack(of) for setting, of in guesses.items()}
    ordinary = {setting.fraction: of for setting, of in stacked.items() if setting.title == ORDINARY}
    found = []
    for setting, of in stacked.items():
        before = ordinary[setting.fraction]
        more = None if setting.title == ORDINARY else gain(of, before, truth)
        found.append(Use(setting, *sizes[setting], accuracy(of, truth), more))
    return found
