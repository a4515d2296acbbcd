"""Whether a training fits in memory, before anything large is loaded."""

import torch

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base import needed_parts, open_base
from geodiff_sar.model.part_size import TITLES, free_bytes, gib
from geodiff_sar.workflows.plan import make_plan
from geodiff_sar.workflows.train_config import TrainConfig
from geodiff_sar.workflows.trainee import BASE_DTYPES

SMALL = 0.01
"""Weights of a base below this share of the free memory are not worth counting a step for, which takes seconds."""

TOLERANCE = 1.15
"""A step is refused above so many times the free memory; measured peaks were within 7 % of what was counted (docs/log.md)."""


def require_room(config: TrainConfig, device: torch.device, processes: int = 1) -> None:
    """Make sure that a step of a training fits on the device that computes it.

    Args:
        config: of the training.
        device: that computes.
        processes: how many divide what the configuration divides.

    Raises:
        OptionError: a step as ``make_plan`` counts it takes more than is free.
        GeodiffError: a base that is not there or damaged.
    """
    free = free_bytes(device)
    if free is None:
        return
    transformer = open_base(config.base_files, needed_parts(config.memory)).empty("transformer")
    weights = (
        sum(parameter.numel() for parameter in transformer.parameters()) * BASE_DTYPES[config.train.precision].itemsize
    )
    if weights < SMALL * free:
        return
    plan = make_plan(config, processes)
    needed = plan.step - plan.libraries  # these are in memory already
    if needed <= TOLERANCE * free:
        return
    sizes = {TITLES[part]: plan.parts[part].bytes for part in ("transformer", "vae")} | plan.training
    listed = ", ".join(f"{what} {gib(size)}" for what, size in sizes.items() if size > 0.02 * needed)
    raise OptionError(
        "memory",
        f"a step takes {gib(needed)}: {listed}",
        f"{gib(free)} are free on {device}",
        "train.gradient_checkpointing = true, a smaller train.batch_size with more train.accumulation, or another"
        " memory.transformer; `geodiff-sar plan` counts a configuration",
    )
