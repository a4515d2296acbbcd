"""Every optimizer lowers a quadratic and resumes exactly."""

import importlib.util

import pytest
import torch

from geodiff_sar.core.errors import OptionError
from geodiff_sar.training.ema import WeightAverage
from geodiff_sar.training.optimizers import OPTIMIZERS, OptimizerOptions, build_optimizer
from geodiff_sar.training.schedules import SCHEDULES, ScheduleOptions, build_schedule

INSTALLED = [name for name in OPTIMIZERS.names() if name != "adamw8bit"] + ["torch.optim.RAdam"]


def problem(name: str):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.full((4, 3), 2.0))
    lr = None if name in ("prodigy",) else 0.05
    return weight, build_optimizer([{"params": [weight], "name": "w"}], OptimizerOptions(name=name, lr=lr))


def advance(weight, optimizer, steps: int) -> float:
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (weight - 1.0).square().sum()
        loss.backward()
        optimizer.step()
    return loss.item()


@pytest.mark.parametrize("name", INSTALLED)
def test_loss_falls(name):
    weight, optimizer = problem(name)
    if hasattr(optimizer, "train"):
        optimizer.train()
    first = advance(weight, optimizer, 1)
    assert advance(weight, optimizer, 150) < 0.5 * first


@pytest.mark.parametrize("name", INSTALLED)
def test_state_survives_a_file(name, tmp_path):
    weight, optimizer = problem(name)
    if hasattr(optimizer, "train"):
        optimizer.train()
    advance(weight, optimizer, 5)
    torch.save(optimizer.state_dict(), tmp_path / "o.pt")
    saved = weight.detach().clone()
    advance(weight, optimizer, 5)
    other, again = problem(name)
    if hasattr(again, "train"):
        again.train()
    other.data.copy_(saved)
    again.load_state_dict(torch.load(tmp_path / "o.pt", weights_only=True))
    advance(other, again, 5)
    assert torch.equal(weight, other)


def test_8bit_adamw_works_or_says_how_to_get_it():
    groups = [{"params": [torch.nn.Parameter(torch.ones(4))]}]
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(OptionError, match="pip install bitsandbytes"):
            build_optimizer(groups, OptimizerOptions(name="adamw8bit"))
    else:
        assert "8bit" in type(build_optimizer(groups, OptimizerOptions(name="adamw8bit"))).__name__


@pytest.mark.parametrize("name", ["adamm", "torch.optim.Nothing", "no.such.module", "torch.nn.Linear"])
def test_unknown_optimizers(name):
    with pytest.raises(OptionError, match=r"optimizer\.name"):
        build_optimizer([], OptimizerOptions(name=name))


def test_wrong_arguments_and_prodigy_with_two_rates():
    weight = torch.nn.Parameter(torch.ones(4))
    with pytest.raises(OptionError, match=r"optimizer\.args"):
        build_optimizer([{"params": [weight]}], OptimizerOptions(args={"beta": 3}))
    groups = [{"params": [weight]}, {"params": [torch.nn.Parameter(torch.ones(2))], "lr": 0.1}]
    with pytest.raises(OptionError, match="Prodigy"):
        build_optimizer(groups, OptimizerOptions(name="prodigy"))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_warm_up_and_stay_positive(name):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=1.0)
    schedule = build_schedule(optimizer, ScheduleOptions(name=name, warmup=0.1), 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    if name != "constant":
        assert rates[0] < 0.2
        assert rates[10] == pytest.approx(1.0, abs=0.01)
    assert min(rates[10:]) >= 0
    if name == "cosine_with_min_lr":
        assert rates[-1] == pytest.approx(0.1, abs=0.01)
        assert rates[55] == pytest.approx(0.55, abs=0.01)


def test_average_follows_the_recursion_and_swaps():
    layer = torch.nn.Linear(2, 1, bias=False)
    layer.weight.data.fill_(0.0)
    average = WeightAverage({"m": layer}, 0.9)
    expected = 0.0
    for step in range(1, 30):
        layer.weight.data.fill_(float(step))
        average.update()
        decay = min(0.9, (1 + step - 1) / (10 + step - 1))
        expected = decay * expected + (1 - decay) * step
    with average.applied():
        assert layer.weight[0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert layer.weight[0, 0].item() == 29.0
    other = WeightAverage({"m": torch.nn.Linear(2, 1, bias=False)}, 0.9)
    other.load_state_dict(average.state_dict())
    assert other.average.optimization_step == 29
    assert torch.equal(other.average.shadow_params[0], average.average.shadow_params[0])
