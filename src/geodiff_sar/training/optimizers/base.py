"""What an optimizer method is."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch


class OptimizerMethod(ABC):
    """Builds an optimizer; ``default_lr`` is the learning rate that suits it."""

    default_lr: ClassVar[float]

    @staticmethod
    @abstractmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        """Optimizer over groups that carry their ``lr``; ``args`` go to the class."""
