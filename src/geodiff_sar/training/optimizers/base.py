"""What an optimizer method is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch


class OptimizerMethod(ABC):
    """Builds an optimizer.

    Attributes:
        default_lr: the learning rate that suits it.
        elementwise: whether the update of a weight follows from its own gradient and state alone, so that tensors may be
            divided.
    """

    default_lr: ClassVar[float]
    elementwise: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        """Optimizer over groups that carry their ``lr``; ``args`` go to the class."""
