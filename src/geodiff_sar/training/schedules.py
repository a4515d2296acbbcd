"""Learning-rate schedules, by transformers."""

from typing import Any, Literal, get_args

import torch
from pydantic import Field
from transformers import get_scheduler

from geodiff_sar.core.config import Options

ScheduleName = Literal[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
    "cosine_with_min_lr",
    "warmup_stable_decay",
]
SCHEDULES = get_args(ScheduleName)


class ScheduleOptions(Options):
    """How the learning rate changes over the run."""

    name: ScheduleName = Field(default="constant", description="see `geodiff-sar list schedules`")
    warmup: float = Field(default=0, ge=0, description="steps of linear warm-up; below 1: share of all steps")
    decay: float = Field(
        default=0.1, ge=0, description="warmup_stable_decay: steps of decay; below 1: share of all steps"
    )
    cycles: float = Field(default=1, gt=0, description="cycles of the cosine schedules; 1 falls once over the run")
    min_lr_ratio: float = Field(default=0.1, ge=0, le=1, description="lowest rate, for the schedules that have one")
    power: float = Field(default=1.0, gt=0, description="power of the polynomial schedule")


def build_schedule(
    optimizer: torch.optim.Optimizer, options: ScheduleOptions, total_steps: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """Schedule over ``total_steps`` optimizer steps."""
    extra: dict[str, Any] = {}
    if options.name == "cosine":
        extra = {"num_cycles": options.cycles / 2}
    elif options.name == "cosine_with_restarts":
        extra = {"num_cycles": max(1, round(options.cycles))}
    elif options.name == "cosine_with_min_lr":
        extra = {"num_cycles": options.cycles / 2, "min_lr_rate": options.min_lr_ratio}
    elif options.name == "polynomial":
        extra = {"power": options.power}
    elif options.name == "warmup_stable_decay":
        extra = {
            "num_decay_steps": max(1, steps_of(options.decay, total_steps)),
            "min_lr_ratio": options.min_lr_ratio,
        }
    return get_scheduler(
        options.name,
        optimizer,
        num_warmup_steps=steps_of(options.warmup, total_steps),
        num_training_steps=total_steps,
        scheduler_specific_kwargs=extra,
    )


def steps_of(value: float, total_steps: int) -> int:
    """A number of steps, or a share of all steps where the value is below 1."""
    return int(value * total_steps) if value < 1 else int(value)
