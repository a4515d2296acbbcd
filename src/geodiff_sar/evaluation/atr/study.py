"""Training and testing every setting with every seed; finished runs are read back."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from geodiff_sar.core.console import say
from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import read_json, sha256_json, write_json
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.atr.labels import Labels
from geodiff_sar.evaluation.atr.options import SECTOR_DEG, SMOOTHING, AtrOptions
from geodiff_sar.evaluation.atr.settings import Material, Setting, dealer, settings_of
from geodiff_sar.evaluation.learning.fit import fit
from geodiff_sar.evaluation.learning.network import build_network, infer
from geodiff_sar.evaluation.learning.store import training_key

Guesses = dict[str, dict[str, Int[np.ndarray, " chip"]]]
"""test set -> head -> number of the most likely value of every chip."""

TIMED_STEPS = 3


@dataclass(frozen=True)
class Outcome:
    """One setting with all its seeds.

    Attributes:
        setting: what was done.
        trained_on: (real, synthetic) chips.
        truth: test set -> head -> numbers of the true values.
        guesses: test set -> head -> (seeds, chips) numbers of the values that the network found most likely.
        azimuth_deg: test set -> azimuths of its chips.
    """

    setting: Setting
    trained_on: tuple[int, int]
    truth: dict[str, dict[str, Int[np.ndarray, " chip"]]]
    guesses: dict[str, dict[str, Int[np.ndarray, "seed chip"]]]
    azimuth_deg: dict[str, Float[np.ndarray, " chip"]]


@dataclass(frozen=True)
class Study:
    """All outcomes, with what they were made from.

    Attributes:
        labels: heads and names of their values.
        outcomes: in the order of the report.
        seeds: of the repetitions.
        seconds: training and testing time of the runs made now, over all of them.
        made: how many runs were made now; the others were read back.
        notes: sentences that the reader must not miss.
    """

    labels: Labels
    outcomes: list[Outcome]
    seeds: tuple[int, ...]
    seconds: float
    made: int
    notes: list[str]


def run_study(material: Material, labels: Labels, options: AtrOptions, cache: Path) -> Study:
    """Carry out every run that the cache does not hold.

    Every run makes the same number of optimizer steps with batches of one size, whatever the number of its chips, so that no
    setting wins by longer training.

    Args:
        material: chips that were checked to belong together.
        labels: heads of all networks.
        options: of the study.
        cache: folder for finished runs and the checkpoint of the one under way.
    """
    settings, notes = settings_of(material, options)
    seeds = tuple(range(options.first_seed, options.first_seed + options.seeds))
    deal = dealer(material)
    jobs = [(seed, setting) for seed in seeds for setting in settings]
    found: dict[tuple[Setting, int], Guesses] = {}
    facts: dict[Setting, Facts] = {}
    seconds, made = 0.0, 0
    for number, (seed, setting) in enumerate(jobs, start=1):
        training, tests = deal(setting, seed)
        if setting not in facts:
            facts[setting] = _facts(setting, training, tests, labels)
        if made == 0 and not run_file(training, tests, labels, options, seed, cache).is_file():
            announce(training, labels, options, len(jobs) - number + 1)
        title = f"{setting.title}, seed {seed} ({number}/{len(jobs)})"
        found[setting, seed], taken = kept_run(training, tests, labels, options, seed, title, cache)
        seconds += taken
        made += taken > 0
    outcomes = [
        Outcome(
            setting,
            of.trained_on,
            of.truth,
            {
                name: {head: np.stack([found[setting, seed][name][head] for seed in seeds]) for head in labels.values}
                for name in of.truth
            },
            of.azimuth_deg,
        )
        for setting, of in facts.items()
    ]
    return Study(labels, outcomes, seeds, seconds, made, notes)


@dataclass(frozen=True)
class Facts:
    """What is the same for all seeds of a setting; fields as in ``Outcome``."""

    trained_on: tuple[int, int]
    truth: dict[str, dict[str, Int[np.ndarray, " chip"]]]
    azimuth_deg: dict[str, Float[np.ndarray, " chip"]]


def _facts(setting: Setting, training: ChipSet, tests: dict[str, ChipSet], labels: Labels) -> Facts:
    return Facts(
        (len(training) - setting.synthetic, setting.synthetic),
        {name: {head: labels.truth(head, chips) for head in labels.values} for name, chips in tests.items()},
        {name: chips.azimuth_deg for name, chips in tests.items()},
    )


def run_file(
    training: ChipSet, tests: dict[str, ChipSet], labels: Labels, options: AtrOptions, seed: int, cache: Path
) -> Path:
    """Where ``kept_run`` keeps a finished run."""
    return cache / "atr" / f"{_key(training, tests, labels, options, seed)[:32]}.json"


def kept_run(
    training: ChipSet,
    tests: dict[str, ChipSet],
    labels: Labels,
    options: AtrOptions,
    seed: int,
    title: str,
    cache: Path,
) -> tuple[Guesses, float]:
    """One run, carried out now or read back from the cache; and the seconds that it took now, 0 where it was read."""
    path = run_file(training, tests, labels, options, seed, cache)
    if path.is_file():
        return _read(path, labels, tests), 0.0
    started = time.monotonic()
    guesses = carry_out(training, tests, labels, options, seed, title, path.with_suffix(".unfinished"))
    write_json(path, {s: {h: g.tolist() for h, g in of.items()} for s, of in guesses.items()})
    return guesses, time.monotonic() - started


def carry_out(
    training: ChipSet,
    tests: dict[str, ChipSet],
    labels: Labels,
    options: AtrOptions,
    seed: int,
    title: str,
    checkpoint: Path | None = None,
) -> Guesses:
    """One run: train a network, and let it guess every head of every test chip."""
    heads = labels.heads(training)
    network = build_network(options.network, {k: h.size for k, h in heads.items()}, training.amplitude, seed)
    fit(network, training, heads, options.fit, seed, title, checkpoint)
    found: Guesses = {}
    for name, chips in tests.items():
        _, probabilities = infer(network, chips.amplitude)
        found[name] = {head: p.argmax(axis=1).astype(np.int64) for head, p in probabilities.items()}
    return found


def announce(training: ChipSet, labels: Labels, options: AtrOptions, runs: int) -> None:
    """Say how long it will take, from a few steps on this machine."""
    heads = labels.heads(training)
    network = build_network(options.network, {k: h.size for k, h in heads.items()}, training.amplitude, 0)
    size = options.fit.batch_size
    pixels = torch.from_numpy(np.resize(training.amplitude[:size], (size, *training.amplitude.shape[1:])))
    times = []
    network.train()
    for _ in range(TIMED_STEPS):
        started = time.monotonic()
        torch.stack([logits.logsumexp(-1).sum() for logits in network(pixels).values()]).sum().backward()
        times.append(time.monotonic() - started)
    minutes = runs * options.fit.steps * min(times) * 1.15 / 60.0
    say(f"{runs} networks to train, {options.fit.steps} steps each: about {minutes:.0f} minutes on this machine")


def _key(training: ChipSet, tests: dict[str, ChipSet], labels: Labels, options: AtrOptions, seed: int) -> str:
    judged: Any = {name: chips.fingerprint for name, chips in sorted(tests.items())}
    values = {head: list(names) for head, names in labels.values.items()}
    return sha256_json(
        [training_key(["atr", values, SECTOR_DEG, SMOOTHING], training, options.network, options.fit, seed), judged]
    )


def _read(path: Path, labels: Labels, tests: dict[str, ChipSet]) -> Guesses:
    """A finished run; a damaged file is a FileError that names it."""
    value = read_json(path)
    try:
        found = {s: {h: np.array(value[s][h], dtype=np.int64) for h in labels.values} for s in tests}
    except (KeyError, TypeError, ValueError) as error:
        raise FileError(path, "does not hold a finished run", "guesses of every head", "delete this file") from error
    if any(guesses.shape != (len(tests[s]),) for s, of in found.items() for guesses in of.values()):
        raise FileError(path, "does not hold a finished run", "one guess for every chip", "delete this file")
    return found
