"""Weights in 8-bit floating point, cast layer by layer."""

import torch
from torch import nn

from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage, block_linears


@STORAGES.register("fp8")
class Fp8(Storage):
    """diffusers' layerwise casting to float8_e4m3fn: weights are cast to the run's format while their layer computes."""

    bytes_per_weight = 1.0
    bears_dora = False

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        from diffusers.hooks.layerwise_casting import apply_layerwise_casting_hook

        for _, layer in block_linears(module):
            apply_layerwise_casting_hook(layer, torch.float8_e4m3fn, dtype, non_blocking=False)
