"""What a storage is."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import nn

BLOCKS = r"(^|\.)(transformer_blocks|block)\.\d+\."
"""Names of modules in the repeated blocks of an MMDiT or of T5."""


class Storage(ABC):
    """Changes how the weights of the linear layers in repeated blocks are kept; nothing else is changed.

    Attributes:
        bytes_per_weight: memory of one such weight; None: that of the run's number format.
        bears_dora: whether a DoRA can be put on such weights, which it computes with where they are, in their format.
    """

    bytes_per_weight: ClassVar[float | None] = None
    bears_dora: ClassVar[bool] = True

    @classmethod
    def bytes_on(cls, device: torch.device, dtype: torch.dtype, processes: int = 1) -> float:
        """Memory of one such weight on the device that computes, in each of so many processes."""
        return float(dtype.itemsize) if cls.bytes_per_weight is None else cls.bytes_per_weight

    @staticmethod
    def check(device: torch.device) -> None:
        """Make sure that it can be used, before anything is loaded.

        Raises:
            OptionError: a package or processes are missing.
        """
        return

    @staticmethod
    @abstractmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        """Change a loaded transformer or T5, still on the CPU, in place; it will compute on ``device`` in ``dtype``."""


def block_linears(module: nn.Module) -> Iterator[tuple[str, nn.Linear]]:
    """Linear layers in the repeated blocks, with their names."""
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Linear) and re.search(BLOCKS, f"{name}."):
            yield name, layer
