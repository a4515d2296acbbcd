"""Schedule-free AdamW."""

from typing import Any

import torch

from geodiff_sar.core.optional import require
from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.optimizers.base import OptimizerMethod


@OPTIMIZERS.register("adamw_schedulefree")
class AdamWScheduleFree(OptimizerMethod):
    """schedulefree's AdamWScheduleFree (Defazio and others 2024); use it with the constant schedule."""

    default_lr = 1e-3

    @staticmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        return require("schedulefree", "schedulefree", "optimizer.name", "adamw_schedulefree").AdamWScheduleFree(
            groups, lr=lr, **args
        )
