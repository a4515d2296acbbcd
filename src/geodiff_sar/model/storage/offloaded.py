"""Weights that stay in the memory of the CPU."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geodiff_sar.core.console import warn
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage, block_linears


class OffloadedLinear(nn.Linear):
    """A linear layer whose weights are copied to the device of its input while it computes. ``Module.to`` leaves them where
    they are."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(input.device, non_blocking=True)
        return F.linear(input, self.weight.to(input.device, non_blocking=True), bias)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "OffloadedLinear":
        return self


@STORAGES.register("offloaded")
class Offloaded(Storage):
    """Weights stay in the memory of the CPU, mapped from their file or pinned; each goes to the device while its layer
    computes. In training the copies live until the backward pass is through the layer, so gradient checkpointing keeps
    those of one block alone. LoRA layers are on the device."""

    bears_dora = False

    @classmethod
    def bytes_on(cls, device: torch.device, dtype: torch.dtype, processes: int = 1) -> float:
        return float(dtype.itemsize) if device.type == "cpu" else 0.0

    @staticmethod
    def check(device: torch.device) -> None:
        if device.type == "cpu":
            warn('memory.transformer = "offloaded" has no effect on a CPU: its weights are in its memory anyway')

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        for _, layer in list(block_linears(module)):
            if device.type == "cuda":
                for parameter in layer.parameters():
                    parameter.data = parameter.data.pin_memory()
            layer.__class__ = OffloadedLinear
