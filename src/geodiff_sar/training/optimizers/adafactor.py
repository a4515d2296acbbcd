"""Adafactor."""

from typing import Any

import torch
from transformers.optimization import Adafactor as TransformersAdafactor

from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.optimizers.base import OptimizerMethod


@OPTIMIZERS.register("adafactor")
class Adafactor(OptimizerMethod):
    """transformers' Adafactor (Shazeer and Stern 2018) with a fixed learning rate, unless args say otherwise."""

    default_lr = 1e-3

    @staticmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        fixed = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return TransformersAdafactor(groups, lr=lr, **{**fixed, **args})
