"""Euler's method, order 1."""

from jaxtyping import Float
from torch import Tensor

from geodiff_sar.sampling.solvers import SOLVERS
from geodiff_sar.sampling.solvers.base import Solver


@SOLVERS.register("euler")
class Euler(Solver):
    """``x + (sigma' - sigma) v``: the sampler of the published code."""

    def step(
        self,
        x: Float[Tensor, "batch channel height width"],
        velocity: Float[Tensor, "batch channel height width"],
        index: int,
    ) -> Float[Tensor, "batch channel height width"]:
        return x + (self.sigmas[index + 1] - self.sigmas[index]) * velocity
