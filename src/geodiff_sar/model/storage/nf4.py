"""Weights in the 4-bit NormalFloat format of QLoRA."""

import torch
from torch import nn

from geodiff_sar.core.optional import require
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage, block_linears


@STORAGES.register("4bit")
class Nf4(Storage):
    """bitsandbytes' NF4 (Dettmers and others 2023), blocks of 64 weights with a scale each. LoRA trains on top of it."""

    bytes_per_weight = 0.5 + 4 / 64

    @staticmethod
    def check(device: torch.device) -> None:
        require("bitsandbytes", "bitsandbytes", "memory", "4bit")

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        bnb = require("bitsandbytes", "bitsandbytes", "memory", "4bit").nn
        for name, layer in list(block_linears(module)):
            packed = bnb.Linear4bit(
                layer.in_features,
                layer.out_features,
                bias=layer.bias is not None,
                compute_dtype=dtype,
                compress_statistics=False,
                quant_type="nf4",
                device="meta",
            )
            packed.weight = bnb.Params4bit(
                layer.weight.data, requires_grad=False, compress_statistics=False, quant_type="nf4", module=packed
            )
            packed.bias = layer.bias
            parent, _, own = name.rpartition(".")
            setattr(module.get_submodule(parent), own, packed.to(layer.weight.device))
