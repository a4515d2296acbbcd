"""What the training loop asks of the thing it trains, and of the data it feeds."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

BatchT = TypeVar("BatchT")


class Task(ABC, Generic[BatchT]):
    """A set of modules and the loss that trains them.

    Attributes:
        even_passes: whether all processes have to make the same number of passes, since they exchange weights in them.
    """

    even_passes: bool = False

    @abstractmethod
    def modules(self) -> dict[str, nn.Module]:
        """Everything that is trained, by name. Trainable parameters and all buffers are part of the checkpoint."""

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimizer: ``params``, ``name``, and ``lr`` where it differs from the optimizer's."""

    @abstractmethod
    def loss(self, batch: BatchT) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss and values to log. Draws from torch's global generator, which the loop seeds for each step."""

    def after_step(self) -> None:
        """Called after each optimizer step, for example to limit weight norms."""
        return

    @abstractmethod
    def describe(self, batch: BatchT) -> str:
        """Names of the chips in a batch, for the message when its loss is not finite."""


class BatchSource(ABC, Generic[BatchT]):
    """Batches in an order that depends only on seed and epoch."""

    @abstractmethod
    def plan(self, epoch: int) -> list[Any]:
        """What each batch of an epoch consists of; its length is the number of batches."""

    @abstractmethod
    def load(self, item: Any, epoch: int) -> BatchT:
        """The batch for one entry of the plan; the same arguments give the same batch."""
