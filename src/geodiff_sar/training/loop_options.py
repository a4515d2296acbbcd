"""How long and how a task is trained."""

import math
from typing import Literal

from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError


class LoopOptions(Options):
    """How long and how a task is trained."""

    max_steps: int | None = Field(default=None, ge=1, description="optimizer steps; this or max_epochs")
    max_epochs: int | None = Field(default=None, ge=1, description="passes over the data; this or max_steps")
    batch_size: int = Field(default=8, ge=1, description="chips per process and micro-batch")
    accumulation: int = Field(default=1, ge=1, description="micro-batches per optimizer step")
    clip_norm: float = Field(default=1.0, ge=0, description="limit of the gradient norm; 0: none")
    seed: int = Field(default=1026, ge=0, lt=2**63, description="seed of everything random in training")
    precision: Literal["no", "bf16", "fp16"] = Field(default="no", description="mixed precision, by accelerate")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(default="auto", description="where to train")
    gradient_checkpointing: bool = Field(default=False, description="recompute activations in the backward pass")
    compile: bool = Field(
        default=False,
        description="compile the transformer's blocks (torch.compile); a minute or two once, then faster steps",
    )
    zero_stage: Literal[0, 1, 2] = Field(
        default=0,
        description="processes divide the optimizer's state (1), the gradients too (2), by DeepSpeed; 0: each has all",
    )
    checkpoint_every_steps: int | None = Field(default=None, ge=1, description="checkpoint every n steps")
    checkpoint_every_epochs: int | None = Field(default=None, ge=1, description="checkpoint every n epochs")
    keep_last: int = Field(default=3, ge=0, description="checkpoints to keep; 0: all")
    log_every: int = Field(default=10, ge=1, description="write logs every n steps")
    preview_every_steps: int | None = Field(default=None, ge=1, description="preview pictures every n steps")
    preview_every_epochs: int | None = Field(default=None, ge=1, description="preview pictures every n epochs")
    validate_every_steps: int | None = Field(default=None, ge=1, description="validation loss every n steps")
    validate_every_epochs: int | None = Field(default=None, ge=1, description="validation loss every n epochs")


def total_steps(options: LoopOptions, batches_per_epoch: int, processes: int = 1) -> int:
    """Number of optimizer steps that the options ask for; exactly one of max_steps and max_epochs says so."""
    if options.max_steps is not None and options.max_epochs is not None:
        raise OptionError(
            "train",
            f"max_steps = {options.max_steps} and max_epochs = {options.max_epochs}",
            "one of them says when to stop",
            "leave one of them out",
        )
    if options.max_steps is not None:
        return options.max_steps
    if options.max_epochs is None:
        raise OptionError("train", "neither max_steps nor max_epochs", "one of them says when to stop", "set one")
    return options.max_epochs * steps_per_epoch(options, batches_per_epoch, processes)


def steps_per_epoch(options: LoopOptions, batches_per_epoch: int, processes: int = 1) -> int:
    """Optimizer steps per pass over the data; an incomplete last accumulation counts as a step."""
    return math.ceil(batches_per_epoch / (options.accumulation * processes))
