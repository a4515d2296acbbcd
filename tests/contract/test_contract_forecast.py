"""The forecast of the latent: what it adds at first, what it depends on, and that it is trained to be the latent."""

from dataclasses import replace

import pytest
import torch
from test_contract_inject import batch_of, condition_of, loss_of, stack_of, task_of, transformer

from geodiff_sar.conditioning.map_forecast import MapForecast
from geodiff_sar.conditioning.maps import MapEncoder
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import OptionError
from geodiff_sar.training.objective import ObjectiveOptions, forecast_loss

FORECAST = {"maps": {"encoder": "forecast", "channels": 8, "blocks": 1}}


@pytest.mark.parametrize(("stride", "patch"), [(16, 4), (16, 2), (8, 2), (6, 2), (4, 4)])
def test_tokens_lie_on_patches_and_the_forecast_on_the_latent(stride, patch):
    torch.manual_seed(0)
    encoder = MapForecast(3, 8, 1, 5, patch, stride, 10)
    maps, present = torch.rand(2, 3, 4 * stride, 6 * stride), torch.tensor([True, False])
    tokens, forecast = encoder(maps, present)
    assert tokens.shape == (2, 24, 10)
    assert forecast.shape == (2, 5, 4 * patch, 6 * patch)
    assert not tokens.any()
    torch.nn.init.normal_(encoder.projection.weight)
    encoder.null.data.fill_(0.25)
    changed = maps.clone()
    changed[:, :, 2 * stride : 3 * stride, 3 * stride : 4 * stride] += 5.0
    before, after = encoder(maps, present)[0], encoder(changed, present)[0]
    assert torch.equal(after[1], torch.full((24, 10), 0.25))
    moved = (after - before)[0].abs().amax(dim=1).view(4, 6)
    assert (int(moved.argmax()) // 6, int(moved.argmax()) % 6) == (2, 3)


def test_the_error_counts_where_maps_are_present_and_more_on_the_target():
    forecast, latents = torch.zeros(3, 2, 4, 4), torch.ones(3, 2, 4, 4)
    latents[1:, :, 0] = 3.0
    present, options = torch.tensor([True, True, False]), ObjectiveOptions(target_weight=4.0)
    plain = forecast_loss(forecast, latents, present, options)
    assert plain.tolist() == [1.0, 3.0, 0.0]
    target = torch.zeros(3, 1, 4, 4)
    target[:, :, 0] = 1.0
    weighted = forecast_loss(forecast, latents, present, options, target)
    assert weighted.tolist() == pytest.approx([1.0, (4 * 9 + 3) / 7, 0.0])


def test_training_makes_the_forecast_the_latent():
    torch.manual_seed(0)
    task, condition = task_of(["map"], **FORECAST), condition_of()
    batch = batch_of(condition)
    optimizer = torch.optim.Adam(task.parameter_groups(), lr=3e-3)
    errors = []
    for _ in range(60):
        optimizer.zero_grad()
        loss, values = task.loss(batch)
        loss.backward()
        optimizer.step()
        errors.append(values["maps/forecast"])
    assert errors[0] > 0.8
    assert errors[-1] < 0.6 * errors[0]
    encoder = task.modules()["conditioning"].maps
    assert all(parameter.grad is not None for name, parameter in encoder.named_parameters() if name != "null")


def test_without_weight_the_forecast_is_free_and_validation_is_the_flow_alone():
    condition = condition_of()
    free, bound = (task_of(["map"], maps={**FORECAST["maps"], "forecast_weight": weight}) for weight in (0.0, 2.0))
    assert torch.equal(loss_of(free, condition), loss_of(bound, condition))
    batch = batch_of(condition)
    losses = []
    for task in (free, bound):
        torch.manual_seed(0)
        loss, values = task.loss(batch)
        losses.append((loss.item(), values["maps/forecast"]))
        assert values["loss/flow"] == pytest.approx(losses[0][0])
    assert losses[0][1] == losses[1][1] > 0
    assert losses[1][0] == pytest.approx(losses[0][0] + 2 * losses[1][1])


def test_without_maps_there_is_nothing_to_foretell():
    task, condition = task_of(["map"], **FORECAST), condition_of()
    blind = replace(condition, has_maps=torch.zeros_like(condition.has_maps))
    torch.manual_seed(0)
    assert task.loss(batch_of(blind))[1]["maps/forecast"] == 0.0


def test_the_header_builds_it_again():
    stack = stack_of(transformer(4), ["map"], patch=4, **FORECAST)
    again = ConditioningStack.from_header(stack.header())
    assert isinstance(again.maps, MapForecast)
    again.load_state_dict(stack.state_dict())
    header = stack.header()
    header["sizes"]["patch"] = None
    with pytest.raises(OptionError, match="latent's grid"):
        ConditioningStack.from_header(header)


def test_a_header_from_before_forecasts_means_one_vector_per_token():
    header = stack_of(transformer(4), ["map"], patch=4, maps={"encoder": "patch", "channels": 8}).header()
    del header["sizes"]["patch"]
    header["conditioning"]["maps"] = {"channels": 8}
    assert isinstance(ConditioningStack.from_header(header).maps, MapEncoder)
