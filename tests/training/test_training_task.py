from dataclasses import replace

import pytest
import torch
from test_model_lora import tiny

from geodiff_sar.conditioning.injection import GATE_GAIN
from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.data.dataset import Batch
from geodiff_sar.model.backbone import Backbone
from geodiff_sar.model.lora import LoraOptions, add_lora
from geodiff_sar.training.adapter_task import AdapterTask
from geodiff_sar.training.objective import ObjectiveOptions
from support import random_condition


def task_of(gate: float) -> AdapterTask:
    torch.manual_seed(0)
    options = ConditioningOptions(joint_dropout=0.0, geometry_dropout=0.0, image_dropout=0.0, pose_dropout=0.0)
    stack = ConditioningStack(ConditioningSizes(16, 16, 64, 16), options, FusionOptions(options={"dropout": 0.0}))
    assert stack.injection is not None
    assert stack.injection.theta is not None
    stack.injection.theta.data.fill_(gate / GATE_GAIN)
    model = tiny()
    add_lora(model, LoraOptions(rank=2), seed=0)
    return AdapterTask(Backbone(model, stack), ObjectiveOptions(), 3.0, torch.device("cpu"), conditioning_lr=0.5)


def loss_of(task: AdapterTask, condition) -> float:
    g = torch.Generator().manual_seed(2)
    latents, noise = torch.randn(3, 16, 4, 4, generator=g), torch.randn(3, 16, 4, 4, generator=g)
    with torch.no_grad():
        return task.losses(condition, latents, noise, torch.tensor([0.2, 0.5, 0.8]))[0].sum().item()


CHANGES = {
    "caption (pooled)": lambda c: replace(c, pooled=c.pooled + 0.5),
    "caption (context)": lambda c: replace(c, context=c.context + 0.5),
    "azimuth": lambda c: replace(c, azimuth_deg=c.azimuth_deg + 40),
    "depression": lambda c: replace(c, depression_deg=c.depression_deg + 20),
    "point features": lambda c: replace(c, features=c.features.flip(0)),
    "point coordinates": lambda c: replace(c, coordinates=c.coordinates * 1.5),
    "reference": lambda c: replace(c, reference=c.reference.flip(0)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_condition_changes_the_loss(name):
    task, condition = task_of(gate=0.7), random_condition()
    assert abs(loss_of(task, CHANGES[name](condition)) - loss_of(task, condition)) > 1e-5


@pytest.mark.parametrize("name", [name for name in CHANGES if not name.startswith("caption")])
def test_with_the_gate_at_zero_only_text_matters(name):
    task, condition = task_of(gate=0.0), random_condition()
    assert loss_of(task, CHANGES[name](condition)) == loss_of(task, condition)


def test_permuting_the_points_changes_nothing():
    task, condition = task_of(gate=0.7), random_condition()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    shuffled = replace(
        condition,
        features=condition.features[:, order],
        coordinates=condition.coordinates[:, order],
        point_mask=condition.point_mask[:, order],
    )
    assert loss_of(task, shuffled) == pytest.approx(loss_of(task, condition), rel=1e-6)


def test_gradients_reach_every_trained_parameter():
    task, condition = task_of(gate=0.7), random_condition()
    half = torch.tensor([True, False, True])
    condition = replace(condition, has_geometry=half, has_image=half, has_azimuth=half, has_depression=half)
    batch = Batch(["a", "b", "c"], ["x", "y", "z"], torch.randn(3, 16, 4, 4), torch.ones(3, 16, 4, 4), condition)
    loss, values = task.loss(batch)
    loss.backward()
    assert values["gate/mean"] == pytest.approx(0.7)
    for name, parameter in task.modules()["conditioning"].named_parameters():
        assert parameter.grad is not None, name
        if "in_proj_bias" not in name:  # the bias of attention keys has no effect by construction
            assert parameter.grad.abs().max() > 0, name
    groups = {group["name"]: group for group in task.parameter_groups()}
    assert groups["conditioning"]["lr"] == 0.5
    assert all("lora" in n for n, p in task.modules()["transformer"].named_parameters() if p.requires_grad)


def test_first_gradient_opens_the_gate():
    task, condition = task_of(gate=0.0), random_condition()
    batch = Batch(["a", "b", "c"], ["x", "y", "z"], torch.randn(3, 16, 4, 4), torch.zeros(3, 16, 4, 4), condition)
    task.loss(batch)[0].backward()
    stack = task.backbone.conditioning
    assert stack is not None
    assert stack.injection is not None
    gate = stack.injection.theta
    assert gate is not None
    assert gate.grad is not None
    assert gate.grad.abs().max() > 0
