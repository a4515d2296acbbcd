"""Faster settings of the sampler against the standard one: seconds per chip, and kernel distance (KID) to simulated chips.

Every setting makes a chip for the same captions from the same noise, with the embedded base and no adapter. The chips they
are compared with, and those that the feature network is trained on, come from the ray tracer: the four aircraft in new draws,
and vehicles and composites that the base has not seen. A faster setting is good enough when its KID lies within the interval
of the standard one.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from _report import parser, report

from geodiff_sar.core.types import Pose
from geodiff_sar.data.corpus import CorpusOptions, corpus_chips, make_corpus
from geodiff_sar.evaluation.kernels import cubic_kernel
from geodiff_sar.evaluation.mmd import discrepancy
from geodiff_sar.evaluation.spaces import SpaceOptions, make_space
from geodiff_sar.model.base import load_base
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline

LIMIT_SECONDS, FAST_LIMIT_SECONDS = 1.0, 0.25
NEVER_SEEN = 2_000_000


@dataclass(frozen=True)
class Setting:
    """How chips are sampled: solver, steps, and the share of the steps in which guidance is on."""

    solver: str
    steps: int
    start: float = 0.0
    stop: float = 1.0

    def __str__(self) -> str:
        interval = "" if (self.start, self.stop) == (0.0, 1.0) else f", guidance {self.start:g} to {self.stop:g}"
        return f"{self.solver}, {self.steps} steps{interval}"


STANDARD = Setting("euler", 28)
FASTER = (
    Setting("euler", 28, 0.2, 0.7),
    Setting("euler", 14),
    Setting("dpmpp_2m", 14),
    Setting("dpmpp_2m", 14, 0.2, 0.8),
    Setting("dpmpp_2m", 10),
)


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--chips", type=int, default=256, help="chips per setting; even")
    options.add_argument("--batch", type=int, default=8, help="chips per batch")
    options.add_argument("--guidance", type=float, default=2.0, help="guidance scale")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    base = load_base("mini")
    pipeline = GeoDiffSARPipeline.from_base(base)
    count = given.chips
    with tempfile.TemporaryDirectory() as folder:
        drawn = CorpusOptions(count=3 * count, shard=3 * count, seed=99, first_member=NEVER_SEEN)
        corpus = make_corpus(drawn, Path(folder) / "corpus", given.threads)
        chips = corpus_chips(corpus)
        space = make_space(SpaceOptions(), chips.take(range(count), "instruments"), Path(folder), 0)
        reference, control = (space.extract(chips.amplitude[k * count : (k + 1) * count]) for k in (1, 2))
        requests = []
        for number, caption in enumerate(corpus.captions[count : 2 * count]):
            azimuth = caption.azimuth_deg
            requests.append(ChipRequest(str(caption), number, pose=None if azimuth is None else Pose(azimuth)))
        pipeline(requests[: given.batch], steps=2)  # warm-up
        measured = {"simulated chips": (0.0, *_kid(control, reference))}
        for setting in (STANDARD, *FASTER):
            guidance = GuidanceOptions.suited(
                base.settings, given.guidance, guidance_start=setting.start, guidance_stop=setting.stop
            )
            made, started = [], time.perf_counter()
            for first in range(0, count, given.batch):
                part = requests[first : first + given.batch]
                made += pipeline(part, steps=setting.steps, solver=setting.solver, guidance=guidance).amplitudes
            seconds = (time.perf_counter() - started) / count
            grey = np.clip(np.round(np.stack(made)), 0, 255).astype(np.float32)
            measured[str(setting)] = (seconds, *_kid(space.extract(grey), reference))
    _, _, low, high = measured[str(STANDARD)]
    fast = {
        name: value
        for name, value in measured.items()
        if 0 < value[0] <= FAST_LIMIT_SECONDS and low <= value[1] <= high
    }
    best = min(fast, key=lambda name: fast[name][1]) if fast else None
    rows = {
        name: f"{f'{seconds:.3f} s, ' if seconds else ''}KID {kid:.2f} [{below:.2f}, {above:.2f}]"
        for name, (seconds, kid, below, above) in measured.items()
    }
    report(
        f"sampler settings, {count} chips, batch {given.batch}, guidance {given.guidance:g}",
        {
            **rows,
            f"within {FAST_LIMIT_SECONDS} s and the standard interval": best or "none",
            f"standard setting, share of the limit of {LIMIT_SECONDS} s": f"{measured[str(STANDARD)][0] / LIMIT_SECONDS:.2f}",
        },
        {"settings": measured, "fast": best, "ratio_to_limit": measured[str(STANDARD)][0] / LIMIT_SECONDS},
        given.json,
    )


def _kid(candidate: np.ndarray, reference: np.ndarray) -> tuple[float, float, float]:
    """KID with its 95 % interval."""
    found = discrepancy(
        cubic_kernel(candidate, candidate), cubic_kernel(reference, reference), cubic_kernel(candidate, reference)
    )
    return (found.value, *found.interval())


if __name__ == "__main__":
    main()
