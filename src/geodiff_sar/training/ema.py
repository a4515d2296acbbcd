"""Exponential moving average of the trained weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.training_utils import EMAModel
from pydantic import Field
from torch import nn

from geodiff_sar.core.config import Options


class EmaOptions(Options):
    """Whether and how weights are averaged."""

    enabled: bool = Field(
        default=False, description="average the trained weights; previews and results use the average"
    )
    decay: float = Field(default=0.999, gt=0, lt=1, description="decay per step; smaller in the first steps")


class WeightAverage:
    """Average of all trainable parameters of some modules.

    Args:
        modules: as the task names them.
        decay: largest decay; after n steps it is at most (1 + n) / (10 + n).
    """

    def __init__(self, modules: dict[str, nn.Module], decay: float):
        self.parameters = [p for module in modules.values() for p in module.parameters() if p.requires_grad]
        self.average = EMAModel(self.parameters, decay=decay)

    def update(self) -> None:
        """Take the current weights into the average."""
        self.average.step(self.parameters)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the modules hold the average."""
        self.average.store(self.parameters)
        self.average.copy_to(self.parameters)
        try:
            yield
        finally:
            self.average.restore(self.parameters)

    def state_dict(self) -> dict[str, Any]:
        """State for exact resume."""
        return {
            "shadow": [p.detach().clone() for p in self.average.shadow_params],
            "step": self.average.optimization_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state."""
        with torch.no_grad():
            for mine, saved in zip(self.average.shadow_params, state_dict["shadow"], strict=True):
                mine.copy_(saved)
        self.average.optimization_step = state_dict["step"]
