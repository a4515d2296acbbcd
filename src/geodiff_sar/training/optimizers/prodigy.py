"""Prodigy."""

from typing import Any

import torch

from geodiff_sar.core.optional import require
from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.optimizers.base import OptimizerMethod


@OPTIMIZERS.register("prodigy")
class Prodigy(OptimizerMethod):
    """prodigyopt's Prodigy (Mishchenko and Defazio 2023); finds the step size itself, so the learning rate stays at 1."""

    default_lr = 1.0

    @staticmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        return require("prodigyopt", "prodigyopt", "optimizer.name", "prodigy").Prodigy(groups, lr=lr, **args)
