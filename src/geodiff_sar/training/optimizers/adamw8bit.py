"""AdamW with 8-bit states."""

from typing import Any

import torch

from geodiff_sar.core.optional import require
from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.optimizers.base import OptimizerMethod


@OPTIMIZERS.register("adamw8bit")
class AdamW8bit(OptimizerMethod):
    """bitsandbytes' AdamW8bit (Dettmers and others 2022)."""

    default_lr = 1e-4

    @staticmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        return require("bitsandbytes", "bitsandbytes", "optimizer.name", "adamw8bit").optim.AdamW8bit(
            groups, lr=lr, **args
        )
