"""Solvers of the flow's differential equation, one file each."""

import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.core.registry import Registry
from geodiff_sar.sampling.solvers.base import Solver

SOLVERS: Registry[type[Solver]] = Registry("solver", "--solver", "geodiff_sar.sampling.solvers")


def flow_sigmas(steps: int, shift: float) -> Float[Tensor, " level"]:
    """Noise levels from 1 down to 0, ``steps + 1`` of them, as SD3 samples.

    diffusers' schedule: even steps from sigma(1) to sigma(1/1000) with ``sigma(t) = k t / (1 + (k - 1) t)``, shifted once
    more, then 0.
    """
    scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.set_timesteps(steps)
    return torch.as_tensor(scheduler.sigmas, dtype=torch.float32)
