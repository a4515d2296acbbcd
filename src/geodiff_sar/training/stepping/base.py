"""What the training loop asks of that which turns gradients into a step."""

from abc import ABC, abstractmethod
from typing import Any

from torch import Tensor


class Stepping(ABC):
    """An optimizer, its gradients and the processes that share them.

    Attributes:
        even_passes: whether all processes have to make the same number of backward passes, through the same weights, since
            they exchange gradients in them.
    """

    even_passes: bool = False

    @abstractmethod
    def zero_grad(self) -> None:
        """Forget the gradients of the step before."""

    @abstractmethod
    def backward(self, loss: Tensor, last: bool) -> None:
        """Add the gradients of this process's part of the step's loss; ``last``: no further part follows in this process."""

    @abstractmethod
    def exchange(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Sums of the values over the processes; every process takes part, and afterwards holds what a step needs."""

    @abstractmethod
    def group_norms(self) -> dict[str, float]:
        """Gradient norm of each parameter group, before clipping, by ``gradient_norm/<group>``; every process takes part."""

    @abstractmethod
    def step(self) -> float:
        """Clip the gradients and change the weights; returns the norm of all gradients before clipping.

        Where it is not finite, the weights may or may not have been changed: the run has to end, unless the gradients
        were scaled for half precision.
        """

    @abstractmethod
    def weights_changed(self) -> None:
        """Told after each step, when weights may have been changed by others than this object."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """State of the optimizer in torch's form, of whole tensors; every process takes part, the main one has them all."""

    @abstractmethod
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up what ``state_dict`` gave, of this or another class; ValueError, KeyError or the like if it does not fit."""


def group_name(number: int, group: dict[str, Any]) -> str:
    """Name of a parameter group in logs: its own, or its number."""
    return str(group.get("name", number))
