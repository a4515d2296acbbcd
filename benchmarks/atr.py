"""Seconds per seed of a classifier study, and its training loop against a bare loop over the same backbone.

The study is that of ``geodiff-sar atr`` with its defaults and without generated chips: three shares of real chips and two
controls. ``--data`` takes real chips (any layout); without it chips of bars over speckle stand in, of the same number and
size, which take the same time. The bare loop is what a user of timm would write: one array of chips, a forward pass, the
cross-entropy, AdamW. Both are timed in turns. Augmentation, labels, seeding, checks and progress are the difference.
"""

import time
from pathlib import Path

import numpy as np
import torch
from _report import parser, report

from geodiff_sar.data.chip_set import ChipSet, chip_hash, read_chip_set
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid
from geodiff_sar.data.readers import read_samples
from geodiff_sar.evaluation.atr.labels import Labels, find_labels
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.atr.settings import Material, dealer, settings_of
from geodiff_sar.evaluation.atr.study import carry_out
from geodiff_sar.evaluation.learning.fit import FitOptions, fit
from geodiff_sar.evaluation.learning.network import build_network

LIMIT_S = 300.0
CHIPS, SIDE = 700, 128


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--data", type=Path, help="folder of real chips; half of them are trained on")
    options.add_argument("--layout", default="auto", help="layout of --data")
    options.add_argument("--rounds", type=int, default=3, help="timed parts of each loop")
    options.add_argument("--steps", type=int, default=20, help="steps of each timed part")
    options.add_argument("--loops-only", action="store_true", help="leave out the study")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    material = _material(given.data, given.layout)
    labels = find_labels(material.training, material.test, None)
    bare, whole = [], []
    for number in range(given.rounds + 1):
        pair = _bare(material.training, labels, given.steps), _whole(material.training, labels, given.steps)
        if number > 0:  # the first is for warming up
            bare.append(pair[0])
            whole.append(pair[1])
    batch = FitOptions().batch_size
    slow, fast = min(whole), min(bare)
    rows = {
        "bare loop, chips per second": f"{batch / fast:.0f}",
        "geodiff-sar atr, chips per second": f"{batch / slow:.0f}",
        "throughput of the bare loop that is kept": f"{fast / slow:.1%}",
    }
    numbers = {
        "training_chips": len(material.training),
        "bare_seconds_per_step": fast,
        "whole_seconds_per_step": slow,
        "ratio": fast / slow,
        "all": {"bare": bare, "whole": whole},
    }
    if not given.loops_only:
        seconds = _one_seed(material, labels)
        rows["one seed, default study"] = f"{seconds:.0f} s"
        rows["share of the limit of 300 s"] = f"{seconds / LIMIT_S:.0%}"
        numbers |= {"seconds_per_seed": seconds, "limit_s": LIMIT_S, "share_of_limit": seconds / LIMIT_S}
    report(f"classifier study, {len(material.training)} training chips", rows, numbers, given.json)


def _material(folder: Path | None, layout: str) -> Material:
    if folder is None:
        return Material(_bars(CHIPS, 0), _bars(CHIPS, 1), None)
    chips = read_chip_set(read_samples(folder, layout), f"--data {folder}")
    order = np.argsort(chips.azimuth_deg, kind="stable")[: 2 * CHIPS]
    return Material(chips.take(np.sort(order[::2]), "training"), chips.take(np.sort(order[1::2]), "test"), None)


def _bars(count: int, seed: int) -> ChipSet:
    """Bright bars of three lengths over speckle."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2.0
    azimuth = rng.uniform(0, 360, count)
    amplitude = np.empty((count, SIDE, SIDE), dtype=np.float32)
    masks = np.empty((count, SIDE, SIDE), dtype=np.uint8)
    for k, phi in enumerate(np.deg2rad(azimuth)):
        along = columns * np.cos(phi) + rows * np.sin(phi)
        across = rows * np.cos(phi) - columns * np.sin(phi)
        masks[k] = (np.abs(along) < 12 + 4 * (k % 3)) & (np.abs(across) < 6)
        amplitude[k] = rng.rayleigh(8.0, (SIDE, SIDE)) * (1 + (4 + 2 * np.sign(along)) * masks[k])
    name = f"bars {seed}"
    return ChipSet(
        name,
        tuple(f"{name} {k}" for k in range(count)),
        amplitude,
        tuple(("short", "middle", "long")[k % 3] for k in range(count)),
        azimuth,
        np.full(count, 17.0),
        ("HH",) * count,
        (None,) * count,
        tuple(chip_hash(chip) for chip in amplitude),
        AMPLITUDE,
        ChipGrid(range_direction="right"),
        tuple(Path(f"{k}.png") for k in range(count)),
        (None,) * count,
        masks,
    )


def _whole(chips: ChipSet, labels: Labels, steps: int) -> float:
    """Seconds per step of the study's own loop."""
    heads, options = labels.heads(chips), FitOptions(steps=steps)
    network = build_network(AtrOptions().network, {k: h.size for k, h in heads.items()}, chips.amplitude, 0)
    started = time.perf_counter()
    fit(network, chips, heads, options, 0, "whole loop")
    return (time.perf_counter() - started) / steps


def _bare(chips: ChipSet, labels: Labels, steps: int) -> float:
    """Seconds per step of a loop without anything around it."""
    heads, options = labels.heads(chips), FitOptions()
    network = build_network(AtrOptions().network, {k: h.size for k, h in heads.items()}, chips.amplitude, 0)
    pixels = torch.from_numpy(chips.amplitude)
    truth = {name: torch.from_numpy(labels.truth(name, chips)) for name in heads}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    started = time.perf_counter()
    for _ in range(steps):
        index = torch.randint(len(pixels), (options.batch_size,))
        logits = network(pixels[index])
        losses = [torch.nn.functional.cross_entropy(logits[name], of[index]) for name, of in truth.items()]
        optimizer.zero_grad()
        torch.stack(losses).sum().backward()
        optimizer.step()
    return (time.perf_counter() - started) / steps


def _one_seed(material: Material, labels: Labels) -> float:
    """Seconds of all runs of one seed, controls made and test chips classified included."""
    options = AtrOptions()
    deal = dealer(material)
    started = time.perf_counter()
    for setting in settings_of(material, options)[0]:
        training, tests = deal(setting, 0)
        carry_out(training, tests, labels, options, 0, setting.title)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
