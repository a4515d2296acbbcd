"""Every solver follows the flow to its end with the order it claims."""

import itertools
import math

import pytest
import torch

from geodiff_sar.core.errors import OptionError
from geodiff_sar.sampling.solvers import SOLVERS, flow_sigmas

ORDER = {"euler": 1, "dpmpp_2m": 2}


def test_every_solver_has_a_claimed_order():
    assert set(ORDER) == set(SOLVERS.names())


@pytest.mark.parametrize(
    ("shift", "steps", "expected"),
    [
        (3.185, 4, [1, 0.864873, 0.616525, 0.010052, 0]),
        (3.0, 4, [1, 0.857692, 0.602151, 0.008929, 0]),
        (3.185, 30, [1, 0.988947, 0.977347, 0.965159, 0.952335, 0.938826]),
    ],
)
def test_published_noise_levels(shift, steps, expected):
    sigmas = flow_sigmas(steps, shift)
    assert len(sigmas) == steps + 1
    assert torch.allclose(sigmas[: len(expected)], torch.tensor(expected, dtype=torch.float32), atol=1e-6)
    if steps == 30:
        assert torch.allclose(sigmas[-3:], torch.tensor([0.110532, 0.010052, 0.0]), atol=1e-6)


MEAN, SPREAD = 0.7, 0.4


def exact(start: torch.Tensor, sigma: float) -> torch.Tensor:
    """Data N(m, s^2): the flow keeps the place of x in its distribution, N((1 - sigma) m, (1 - sigma)^2 s^2 + sigma^2)."""
    return (1 - sigma) * MEAN + math.sqrt((1 - sigma) ** 2 * SPREAD**2 + sigma**2) * start


def end_error(name: str, steps: int, first: float, last: float) -> float:
    sigmas = torch.linspace(first, last, steps + 1, dtype=torch.float64)
    solver = SOLVERS.get(name)(sigmas)
    start = torch.tensor([[-1.3, 0.2, 1.9]], dtype=torch.float64)[:, :, None, None]
    x = exact(start, first)
    for k in range(steps):
        s = solver.sigmas[k]
        centred = (x - (1 - s) * MEAN) / ((1 - s) ** 2 * SPREAD**2 + s**2)
        clean = MEAN + (1 - s) * SPREAD**2 * centred
        noise = s * centred
        x = solver.step(x, noise - clean, k)
    return float((x - exact(start, last)).abs().max())


@pytest.mark.parametrize("name", SOLVERS.names())
def test_order_of_convergence(name):
    errors = [end_error(name, steps, 0.95, 0.05) for steps in (40, 80, 160)]
    orders = [math.log2(a / b) for a, b in itertools.pairwise(errors)]
    assert orders[-1] == pytest.approx(ORDER[name], abs=0.15), (errors, orders)


@pytest.mark.parametrize("name", SOLVERS.names())
def test_from_pure_noise_to_the_data(name):
    assert end_error(name, 200, 1.0, 0.0) < 0.02


def test_second_order_is_the_better_one_at_few_steps():
    assert end_error("dpmpp_2m", 10, 1.0, 0.0) < 0.7 * end_error("euler", 10, 1.0, 0.0)


def test_unknown_solver():
    with pytest.raises(OptionError, match="dpmpp_2m, euler"):
        SOLVERS.get("heun")
