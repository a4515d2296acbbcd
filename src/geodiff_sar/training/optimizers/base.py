"""What an optimizer method is."""

import importlib
from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, ClassVar

import torch

from geodiff_sar.core.errors import OptionError


class OptimizerMethod(ABC):
    """Builds an optimizer; ``default_lr`` is the learning rate that suits it."""

    default_lr: ClassVar[float]

    @staticmethod
    @abstractmethod
    def build(groups: list[dict[str, Any]], lr: float, args: dict[str, Any]) -> torch.optim.Optimizer:
        """Optimizer over groups that carry their ``lr``; ``args`` go to the class."""


def require(module: str, package: str, name: str) -> ModuleType:
    """Import an optional package, or say how to install it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OptionError(
            "optimizer.name", repr(name), f"needs the package {package} ({error})", f"pip install {package}"
        ) from error
