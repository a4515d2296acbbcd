"""Weights as 8-bit integers with a scale per row."""

import torch
from torch import nn

from geodiff_sar.core.optional import require
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage, block_linears


@STORAGES.register("8bit")
class Int8(Storage):
    """torchao's int8 weight-only quantisation, on a CPU as on a GPU. LoRA trains on top of it."""

    bytes_per_weight = 1.0

    @staticmethod
    def check(device: torch.device) -> None:
        require("torchao", "torchao", "memory", "8bit")

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        quantization = require("torchao", "torchao", "memory", "8bit").quantization
        chosen = {name for name, _ in block_linears(module)}
        quantization.quantize_(module, quantization.Int8WeightOnlyConfig(), filter_fn=lambda _, name: name in chosen)
