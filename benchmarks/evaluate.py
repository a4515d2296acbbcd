"""Seconds to extract features of 1,000 against 1,000 chips and measure every metric, controls included.

The default space is used. Its encoder is trained for a few steps only: training is not timed, and the speed of the rest does
not depend on it. Chips are ellipses of speckle on speckle, or real ones with ``--data``, repeated under other speckle where
they are too few. The peer of the feature extraction is the bare network on the same chips.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from _report import parser, report

from geodiff_sar.data.chip_set import ChipSet, chip_hash, read_chip_set
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid
from geodiff_sar.data.readers import read_samples
from geodiff_sar.evaluation.azimuth_network import AzimuthFit, AzimuthOptions, train_azimuth_estimator
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.judge import Judge, Row
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.network import infer
from geodiff_sar.evaluation.metrics import METRICS
from geodiff_sar.evaluation.parts import deal
from geodiff_sar.evaluation.spaces.sar import SarEncoder, SarEncoderOptions, train_sar_encoder

LIMIT_S, LIMIT_GIB = 180.0, 4.0
SIDE = 128


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--chips", type=int, default=1000, help="chips on either side")
    options.add_argument("--data", type=Path, help="folder of real chips")
    options.add_argument("--steps", type=int, default=20, help="training steps of encoder and estimator")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    real, generated = (_chips(given.data, given.chips, seed) for seed in (0, 1))
    parts = deal(real)
    instruments = real.take(parts.instruments, "instruments")
    space = train_sar_encoder(instruments, SarEncoderOptions(fit=FitOptions(steps=given.steps)))
    estimator = train_azimuth_estimator(instruments, AzimuthOptions(fit=AzimuthFit(steps=given.steps)))
    assert isinstance(space, SarEncoder)
    started = time.perf_counter()
    infer(space.network, real.amplitude)
    bare = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as cache:
        started = time.perf_counter()
        control = real.take(parts.control, "control")
        others = real.take(sorted(set(range(len(real))) - set(parts.control.tolist())), "others")
        rows = [Row("generated", generated, real, real)]
        rows += [Row(name, chips, others, others) for name, chips in control_rows(control, 0)]
        names = tuple(METRICS.names())
        judge = Judge(real.take(parts.reference, "reference"), space, estimator, names, Path(cache), 0)
        judge.measure(rows)
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        judge.measure(rows)
        again = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report(
        "evaluation of generated chips",
        {
            f"features and {len(names)} metrics, {len(rows)} rows": f"{seconds:.1f} s ({seconds / LIMIT_S:.2f} of the limit)",
            "the same again, from the cache": f"{again:.1f} s",
            f"bare network on {len(real)} chips": f"{bare:.1f} s ({seconds / bare:.1f} times in all)",
            "peak resident memory": f"{peak:.2f} GiB ({peak / LIMIT_GIB:.2f} of the limit)",
        },
        {
            "chips": given.chips,
            "seconds": seconds,
            "seconds_from_cache": again,
            "bare_network_seconds": bare,
            "share_of_limit": seconds / LIMIT_S,
            "peak_gib": peak,
        },
        given.json,
    )


def _chips(data: Path | None, count: int, seed: int) -> ChipSet:
    rng = np.random.default_rng(seed)
    if data is None:
        return _drawn(count, seed, rng)
    chips = read_chip_set(read_samples(data), str(data))
    chosen = chips.take(rng.choice(len(chips), count, replace=count > len(chips)))
    speckled = chosen.amplitude * np.sqrt(rng.gamma(30, 1 / 30, chosen.amplitude.shape))
    return chosen.with_amplitude(speckled.astype(np.float32))


def _drawn(count: int, seed: int, rng: np.random.Generator) -> ChipSet:
    azimuth = rng.uniform(0, 360, count)
    row, column = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    chips, masks = [], []
    for k, angle in enumerate(np.deg2rad(azimuth)):
        along, across = column * np.cos(angle) + row * np.sin(angle), row * np.cos(angle) - column * np.sin(angle)
        target = (along / 20) ** 2 + (across / (9 + 4 * (k % 2))) ** 2 < 1
        shadow = ((along - 14 * np.cos(angle)) / 20) ** 2 + ((across + 14 * np.sin(angle)) / 10) ** 2 < 1
        mask = np.select([target, shadow], [1, 2], 0)
        chips.append(
            rng.rayleigh(0.8, row.shape) * np.array([20.0, 110.0, 3.0])[mask]
            + 200.0 * (rng.random(row.shape) > 0.999) * target
        )
        masks.append(mask.astype(np.uint8))
    amplitude = np.stack(chips).astype(np.float32)
    grid = ChipGrid(range_direction="right", pixel_range_m=0.2, pixel_cross_range_m=0.2)
    ids = tuple(f"{seed}-{k}" for k in range(count))
    return ChipSet(
        f"set {seed}",
        ids,
        amplitude,
        tuple("AB"[k % 2] for k in range(count)),
        azimuth,
        np.full(count, 17.0),
        ("HH",) * count,
        (None,) * count,
        tuple(chip_hash(chip) for chip in amplitude),
        AMPLITUDE,
        grid,
        tuple(Path(i) for i in ids),
        (None,) * count,
        np.stack(masks),
    )


if __name__ == "__main__":
    main()
