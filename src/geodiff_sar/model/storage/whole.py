"""Weights as the run's number format has them."""

import torch
from torch import nn

from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage


@STORAGES.register("whole")
class Whole(Storage):
    """Nothing is changed."""

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        pass
