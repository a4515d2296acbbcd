"""Generation speed of the embedded base: seconds per chip at batch 8, against the limit and against diffusers' SD3 pipeline.

Both make 128 x 128 chips by 28 Euler steps with guidance, from the same weights. Ours also fuses a point cloud, encodes a
reference chip and evaluates the pose.
"""

import statistics
import time

import torch
from _report import parser, report
from diffusers import StableDiffusion3Pipeline

from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.simulated import ChipSpec, simulate_chip
from geodiff_sar.model.base import load_base
from geodiff_sar.model.folder_base import EMBEDDED
from geodiff_sar.sampling.guidance import GuidanceOptions
from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline

LIMIT_SECONDS = 1.0
STEPS = 28


def main() -> None:
    options = parser(__doc__ or "")
    options.add_argument("--batch", type=int, default=8, help="chips per batch")
    options.add_argument("--repeats", type=int, default=3, help="timed batches of each")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    base = load_base("mini")
    sizes = ConditioningSizes(
        base.transformer.config["pooled_projection_dim"], base.vae.latent_channels, 64, base.settings.embed_dim or 128
    )
    stack = ConditioningStack(sizes, ConditioningOptions(), FusionOptions()).eval()
    pipeline = GeoDiffSARPipeline.from_base(base, stack)
    requests = []
    for number in range(given.batch):
        pose = Pose(number * 360.0 / given.batch, 35.0)
        chip = simulate_chip(ChipSpec("Kodiak 100", pose, seed=number))
        requests.append(ChipRequest(str(chip.caption), number, "", chip.prior, chip.amplitude, pose))
    guidance = GuidanceOptions(guidance_scale=2.0)

    def ours() -> None:
        pipeline(requests, steps=STEPS, guidance=guidance)

    theirs = StableDiffusion3Pipeline.from_pretrained(EMBEDDED["mini"], local_files_only=True, dtype=torch.float32)
    theirs.set_progress_bar_config(disable=True)
    captions = [str(Caption("Kodiak 100", "Ku", "High", "HH", 10.0 * k)) for k in range(given.batch)]
    side = base.settings.resolution[0]

    def peer() -> None:
        theirs(
            prompt=captions,
            negative_prompt=[""] * given.batch,
            num_inference_steps=STEPS,
            guidance_scale=2.0,
            height=side,
            width=side,
            max_sequence_length=base.settings.t5_length,
            output_type="np",
        )

    pipeline(requests, steps=2, guidance=guidance)  # warm-up
    own, other = [], []
    for _ in range(given.repeats):
        own.append(_seconds(ours) / given.batch)
        other.append(_seconds(peer) / given.batch)
    mine, diffusers = statistics.median(own), statistics.median(other)
    report(
        f"generation, {side} x {side}, {STEPS} steps with guidance, batch {given.batch}",
        {
            "geodiff-sar, seconds per chip": f"{mine:.3f}",
            "diffusers StableDiffusion3Pipeline, seconds per chip": f"{diffusers:.3f}",
            f"share of the limit of {LIMIT_SECONDS} s": f"{mine / LIMIT_SECONDS:.2f}",
            "ratio to diffusers": f"{mine / diffusers:.2f}",
        },
        {
            "seconds_per_chip": mine,
            "diffusers_seconds_per_chip": diffusers,
            "limit_seconds": LIMIT_SECONDS,
            "ratio_to_limit": mine / LIMIT_SECONDS,
            "ratio_to_diffusers": mine / diffusers,
            "all": {"own": own, "diffusers": other},
        },
        given.json,
    )


def _seconds(call) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
