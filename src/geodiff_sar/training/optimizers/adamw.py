"""AdamW."""

from typing import Any

import torch

from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.optimizers.base import OptimizerMethod


@OPTIMIZERS.register("adamw")
class AdamW(OptimizerMethod):
    """torch.optim.AdamW."""

    default_lr = 1e-4
    elementwise = True

    @staticmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(groups, lr=lr, **args)
