"""DPM-Solver++(2M), order 2."""

import math

from jaxtyping import Float
from torch import Tensor

from geodiff_sar.sampling.solvers import SOLVERS
from geodiff_sar.sampling.solvers.base import Solver


@SOLVERS.register("dpmpp_2m")
class DpmPlusPlus2M(Solver):
    """Lu and others 2022 (arXiv 2211.01095, algorithm 2) for the flow ``x = (1 - sigma) x0 + sigma noise``.

    With ``lambda = log((1 - sigma) / sigma)``, ``h`` its step and ``x0 = x - sigma v``:
    ``x' = (sigma' / sigma) x - (1 - sigma') (e^-h - 1) D``, ``D = x0 + (x0 - x0_before) h / (2 h_before)``.
    Steps from pure noise (lambda = -inf), the one after it and the last one are of order 1. diffusers' own class cannot
    start at sigma = 1 and uses other noise levels than its Euler class; hence this one.
    """

    def __init__(self, sigmas: Float[Tensor, " level"]):
        super().__init__(sigmas)
        self._before: tuple[float, Tensor] | None = None

    def step(
        self,
        x: Float[Tensor, "batch channel height width"],
        velocity: Float[Tensor, "batch channel height width"],
        index: int,
    ) -> Float[Tensor, "batch channel height width"]:
        now, then = self.sigmas[index], self.sigmas[index + 1]
        clean = x - now * velocity
        if then == 0.0:
            return clean
        direction = clean
        log_now, log_then = _log_ratio(now), _log_ratio(then)
        if self._before is not None and math.isfinite(self._before[0]):
            log_before, clean_before = self._before
            direction = clean + (clean - clean_before) * ((log_then - log_now) / (2 * (log_now - log_before)))
        self._before = (log_now, clean)
        shrink = (1 - now) * then / (now * (1 - then))  # e^-h
        return (then / now) * x - (1 - then) * (shrink - 1) * direction


def _log_ratio(sigma: float) -> float:
    return -math.inf if sigma >= 1.0 else math.log((1 - sigma) / sigma)
