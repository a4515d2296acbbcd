"""Memory counted before anything is loaded, against what tensors take."""

import pytest
import torch
from typer.testing import CliRunner

from checkpoint_support import tiny_models, tiny_transformer, write_checkpoint
from geodiff_sar import cli
from geodiff_sar.core.errors import GeodiffError, OptionError
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


def test_what_processes_divide_is_counted_for_one_of_them():
    """Weights of the published base in shares; DeepSpeed's stages with the copy of the weights that it keeps per share."""

    def planned(processes: int, stage: int = 0, storage: str = "whole"):
        settings = {"base": "nowhere", "train_base": "full", "inject": [], "memory": {"t5": "none"}}
        settings["train"] = {"zero_stage": stage, "device": "cuda", "batch_size": 1, "gradient_checkpointing": True}
        if storage != "whole":
            settings |= {"memory": {"t5": "none", "transformer": storage}, "train_base": "lora"}
        return make_plan(TrainConfig.model_validate(settings), processes, published=True)

    one = planned(1)
    weights = one.trained
    assert one.parts["transformer"].weights == pytest.approx(2.47e9, rel=0.01)  # with the table of positions
    assert one.training["optimizer state"] == 8 * weights
    for stage, gradients in ((1, 4.0), (2, 1.0)):
        four = planned(4, stage)
        assert four.training["optimizer state"] == (8 + 4) * weights / 4
        saved = one.training["trained weights and gradients"] - four.training["trained weights and gradients"]
        assert saved == pytest.approx((4.0 - gradients) * weights)
    with pytest.raises(OptionError, match=r"(?s)single process.*--processes N"):
        planned(1, 1)
    shares = [planned(n, storage="sharded").parts["transformer"].bytes for n in (1, 2, 4)]
    assert shares[0] - shares[1] == pytest.approx(2 * (shares[1] - shares[2]))
    assert shares[2] < 0.45 * shares[0]


def test_conditioning_is_counted_by_the_chip(tmp_path):
    """Twice the chips keep twice the activations, but for copies of the weights in half precision."""
    files = write_checkpoint(tmp_path, tiny_models())
    settings = {"base": files.name, **{option: str(path) for option, path in files.separate.items()}}

    def kept(batch: int, **changes) -> float:
        options = {**settings, "inject": ["map"], "train": {"batch_size": batch}, **changes}
        return make_plan(TrainConfig.model_validate(options)).training["activations of the conditioning"]

    assert kept(8) == pytest.approx(2 * kept(4), rel=0.05)
    small, large = (kept(4, data={"buckets": {"resolution": [n, n], "min_bucket_reso": 16}}) for n in (32, 64))
    assert large == pytest.approx(4 * small, rel=0.1)
    with pytest.raises(OptionError, match="pictures of 512 pixels"):
        kept(4, data={"buckets": {"resolution": [512, 512]}})


def test_on_the_command_line(tiny_base):
    result = CliRunner().invoke(cli.app, ["plan", "--set", f"base={tiny_base}"])
    assert result.exit_code == 0, result.output
    for row in ("transformer", "T5", "activations", "while captions are encoded", "while a step is trained"):
        assert row in result.output
    published = ["--published", "--processes", "2", "--set", "base=nowhere", "--set", "train.device=cuda"]
    result = CliRunner().invoke(cli.app, ["plan", *published])
    assert result.exit_code == 0, result.output
    assert "4,762,310,656" in result.output  # T5-XXL
    assert "libraries" not in result.output
    with pytest.raises(GeodiffError, match="an existing folder"):
        raise CliRunner().invoke(cli.app, ["plan", "--set", "base=nowhere"]).exception
