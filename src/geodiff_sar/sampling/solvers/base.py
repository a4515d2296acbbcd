"""What a solver does."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor


class Solver(ABC):
    """Takes x from one noise level to the next; a new object for every batch.

    Args:
        sigmas: noise levels, falling to 0.
    """

    def __init__(self, sigmas: Float[Tensor, " level"]):
        self.sigmas = [float(sigma) for sigma in sigmas]

    @abstractmethod
    def step(
        self,
        x: Float[Tensor, "batch channel height width"],
        velocity: Float[Tensor, "batch channel height width"],
        index: int,
    ) -> Float[Tensor, "batch channel height width"]:
        """x at level ``index + 1``, from x and the velocity ``dx/dsigma`` at level ``index``."""
