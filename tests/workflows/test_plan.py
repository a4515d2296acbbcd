"""Memory counted before anything is loaded, against what tensors take."""

import pytest
import torch
from typer.testing import CliRunner

from checkpoint_support import tiny_models, tiny_transformer, write_checkpoint
from geodiff_sar import cli
from geodiff_sar.core.errors import GeodiffError
from geodiff_sar.model.base import load_base
from geodiff_sar.model.lora import LoraOptions, add_lora
from geodiff_sar.training.footprint import count_activations, state_bytes
from geodiff_sar.training.optimizers import OptimizerOptions
from geodiff_sar.workflows.plan import make_plan
from geodiff_sar.workflows.train_config import TrainConfig


def given(device: str) -> dict[str, torch.Tensor]:
    return {
        "hidden_states": torch.zeros(2, 16, 16, 16, device=device),
        "timestep": torch.full((2,), 500.0, device=device),
        "encoder_hidden_states": torch.zeros(2, 20, 128, device=device, requires_grad=True),
        "pooled_projections": torch.zeros(2, 128, device=device),
    }


@pytest.mark.parametrize("trained", ["lora", "full"])
def test_activations_are_those_that_a_real_step_keeps(trained):
    def prepared():
        model = tiny_transformer()
        model.requires_grad_(trained == "full")
        if trained == "lora":
            add_lora(model, LoraOptions(rank=4, alpha=4.0), seed=0)
        return model

    with torch.device("meta"):
        empty = prepared()
    counted = count_activations(lambda: empty(**given("meta")), empty.transformer_blocks, empty)
    real = prepared()
    weights = {tensor.untyped_storage().data_ptr() for tensor in (*real.parameters(), *real.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = real(**given("cpu"))
    measured = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in weights)
    assert result.sample.requires_grad
    assert counted.whole == pytest.approx(measured, rel=0.1)
    assert counted.checkpointed < 0.7 * counted.whole


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"name": "adamw"}, 8.0),
        ({"name": "prodigy", "lr": 1.0}, 16.0),
        ({"name": "adamw_schedulefree"}, 8.0),
        ({"name": "torch.optim.SGD"}, 0.0),
    ],
)
def test_optimizer_states(options, expected):
    assert state_bytes(OptimizerOptions.model_validate(options)) == pytest.approx(expected, abs=0.1)


def test_weights_are_counted_as_they_are_loaded(tmp_path):
    files = write_checkpoint(tmp_path, tiny_models())
    settings = {"base": files.name, **{option: str(path) for option, path in files.separate.items()}}
    settings |= {"inject": [], "lora": {"rank": 2}}
    plan = make_plan(TrainConfig.model_validate(settings))
    base = load_base(files)
    loaded = {
        "transformer": base.transformer, "vae": base.vae.vae, "text_encoder": base.text.encoders.clip_l,
        "text_encoder_2": base.text.encoders.clip_g, "text_encoder_3": base.text.encoders.t5,
    }  # fmt: skip
    for part, module in loaded.items():
        tensors = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}.values()
        weights = sum(tensor.numel() for tensor in tensors if tensor.is_floating_point())
        assert plan.parts[part].weights == pytest.approx(weights, rel=0.01)
        assert plan.parts[part].bytes == pytest.approx(4 * weights, rel=0.01)
    add_lora(base.transformer, LoraOptions(rank=2), seed=0)
    assert plan.trained == sum(p.numel() for p in base.transformer.parameters() if p.requires_grad)
    assert plan.training["optimizer state"] == 8 * plan.trained


def test_every_saving_is_counted(tmp_path):
    files = write_checkpoint(tmp_path, tiny_models())
    settings = {"base": files.name, **{option: str(path) for option, path in files.separate.items()}}

    def planned(**changes):
        return make_plan(TrainConfig.model_validate({**settings, **changes}))

    whole = planned()
    assert planned(memory={"t5": "streamed"}).parts["text_encoder_3"].bytes < whole.parts["text_encoder_3"].bytes / 4
    assert "text_encoder_3" not in planned(memory={"t5": "none"}).parts
    stored = [planned(memory={"transformer": name}).parts["transformer"].bytes for name in ("4bit", "8bit", "whole")]
    assert stored == sorted(stored)
    assert stored[0] < 0.4 * stored[2]
    halved = planned(train={"precision": "bf16"}).parts["transformer"].bytes / whole.parts["transformer"].bytes
    assert halved == pytest.approx(0.5)
    checkpointed = planned(train={"gradient_checkpointing": True}).training["activations"]
    assert checkpointed < 0.7 * whole.training["activations"]
    small, large = (planned(train={"batch_size": size}).training["activations"] for size in (16, 32))
    assert large / small == pytest.approx(2, rel=0.05)


def test_on_the_command_line(tiny_base):
    result = CliRunner().invoke(cli.app, ["plan", "--set", f"base={tiny_base}"])
    assert result.exit_code == 0, result.output
    for row in ("transformer", "T5", "activations", "while captions are encoded", "while a step is trained"):
        assert row in result.output
    with pytest.raises(GeodiffError, match="an existing folder"):
        raise CliRunner().invoke(cli.app, ["plan", "--set", "base=nowhere"]).exception
