"""Two processes on the CPU: the same training as one process with the same global batch, and no process left waiting."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from geodiff_sar.core.config import write_toml
from geodiff_sar.core.errors import OptionError
from geodiff_sar.training.loop_options import LoopOptions
from geodiff_sar.training.stepping import check_stepping
from geodiff_sar.workflows.processes import start_accelerator
from geodiff_sar.workflows.train import TrainConfig, train

LOGGED = ("loss", "gradient_norm", "gradient_norm/transformer", "gradient_norm/conditioning", "lr/transformer")
TEMPLATE = Path(__file__).resolve().parents[2] / "configs" / "accelerate" / "ddp.yaml"


def settings(root: Path, base: Path, output: Path, transformer: str = "whole", **options) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "base": str(base),
            "output_dir": str(output),
            "output_name": "run",
            "data": {"root": str(root), "buckets": {"min_bucket_reso": 16}},
            "inject": ["pooled"],
            "lora": {"rank": 2, "max_norm": 0.01},
            "memory": {"transformer": transformer},
            "conditioning": {"points": {"heads": 2}},
            "train": {"max_steps": 6, "batch_size": 2, "device": "cpu", "log_every": 1, **options},
        }
    )


WRITES = """import os
replace = os.replace
def noted(source, target, **where):
    with open(os.environ["WRITTEN"], "a") as log:
        log.write(f"{target}\\n")
    return replace(source, target, **where)
os.replace = noted
"""
"""Run when a process starts: notes every file that gets its name, which all of the package's files do by a rename."""


def launch(config: TrainConfig, folder: Path, processes: int) -> subprocess.CompletedProcess:
    folder.mkdir(parents=True, exist_ok=True)
    write_toml(folder / "run.toml", config)
    # without MPI, accelerate starts several processes as for GPUs alone; the variable makes them use the CPU
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(TEMPLATE)]
    command += ["--num_processes", str(processes), "--main_process_port", "0"]
    command = command if processes > 1 else [sys.executable]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "ACCELERATE_USE_CPU": "true",
        "WRITTEN": str(folder / "written"),
    }
    (folder / "site").mkdir(exist_ok=True)
    (folder / "site" / "sitecustomize.py").write_text(WRITES)
    environment["PYTHONPATH"] = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [*command, "-m", "geodiff_sar", "train", "--config", str(folder / "run.toml")],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def curve(folder: Path, name: str) -> dict[int, float]:
    """A logged value by step."""
    log = EventAccumulator(str(folder / "logs"))
    log.Reload()
    return {event.step: event.value for event in log.Scalars(name)}


needs_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed")
WAYS = [
    pytest.param("whole", 0, id="whole"),
    pytest.param("sharded", 0, id="sharded"),
    *(pytest.param("whole", stage, id=f"zero{stage}", marks=needs_deepspeed) for stage in (1, 2)),
    pytest.param("sharded", 2, id="sharded-zero2", marks=needs_deepspeed),
]


@pytest.mark.slow
@pytest.mark.parametrize(("storage", "stage"), WAYS)
def test_two_processes_train_as_one(chips_root, tiny_base, tmp_path, storage, stage):
    """Ten chips in buckets give an odd number of micro-batches, so one has none in the last step of an epoch. They are
    started by `accelerate launch`; loss, gradient norms and learning rate are the same step by step, with the base's
    weights, gradients and optimizer state in both processes or divided among them. Weights that are changed after a step
    (lora.max_norm) stay changed."""
    weights, curves = [], []
    for name, processes, accumulation, kept, divided in (("one", 1, 2, "whole", 0), ("two", 2, 1, storage, stage)):
        config = settings(chips_root, tiny_base, tmp_path / name, kept, accumulation=accumulation, zero_stage=divided)
        done = launch(config, tmp_path / name, processes)
        assert done.returncode == 0, done.stderr[-2000:]
        folder = tmp_path / name / "run"
        written = [file for file in (tmp_path / name / "written").read_text().split("\n") if "/cache/" in file]
        assert len(written) == len(set(written)) > 10, sorted(written)  # every latent and text once, by one process
        assert json.loads((folder / "manifest.json").read_text())["steps"] == 6
        assert "6 steps (3 per epoch)" in " ".join(done.stderr.split()), done.stderr[-2000:]
        weights.append(
            {**load_file(folder / "run.safetensors"), **load_file(folder / "run_fusion_weights.safetensors")}
        )
        curves.append({name: curve(folder, name) for name in LOGGED})
    assert list(curves[0]["loss"]) == list(range(1, 7))
    for name in curves[0]:
        assert curves[1][name] == pytest.approx(curves[0][name], rel=1e-4), name
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], rtol=1e-3, atol=2e-5, msg=key)


@pytest.mark.slow
def test_a_mistake_ends_all_processes(chips_root, tiny_base, tmp_path):
    (tmp_path / "out" / "run").mkdir(parents=True)
    (tmp_path / "out" / "run" / "thesis.tex").touch()
    done = launch(settings(chips_root, tiny_base, tmp_path / "out"), tmp_path / "config", 2)
    assert done.returncode != 0
    assert "is not a run of this tool" in done.stderr


@pytest.mark.slow
def test_shares_are_kept_and_put_together(tmp_path):
    """Each of two processes keeps half of every block; a pass gives what the whole transformer gives, to the bit."""
    script = tmp_path / "shares.py"
    script.write_text(SHARES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    done = subprocess.run(
        [*launcher, str(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("half, equal") == 2


SHARES = """
import torch
from diffusers import SD3Transformer2DModel
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.sharded import count_processes, is_sharded

torch.distributed.init_process_group("gloo")
torch.manual_seed(0)
model = SD3Transformer2DModel(
    sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, num_attention_heads=2, attention_head_dim=8,
    joint_attention_dim=12, caption_projection_dim=16, pooled_projection_dim=6, pos_embed_max_size=8,
    dual_attention_layers=(0,), qk_norm="rms_norm",
).eval().requires_grad_(False)
inputs = dict(
    hidden_states=torch.randn(1, 4, 8, 8), timestep=torch.tensor([500.0]), encoder_hidden_states=torch.randn(1, 3, 12),
    pooled_projections=torch.randn(1, 6), return_dict=False,
)
expected = model(**inputs)[0]
whole = sum(p.numel() for p in model.transformer_blocks.parameters())
STORAGES.get("sharded").check(torch.device("cpu"))
assert STORAGES.get("sharded").bytes_on(torch.device("cuda"), torch.float32, count_processes()) == 2
STORAGES.get("sharded").apply(model, torch.float32, torch.device("cpu"))
assert is_sharded(model)
assert torch.equal(model(**inputs)[0], expected)
mine = sum(p.to_local().numel() for p in model.transformer_blocks.parameters())
assert 0.49 < mine / whole < 0.51, (mine, whole)
print("half, equal", flush=True)
torch.distributed.destroy_process_group()
"""


def test_wrappers_of_the_whole_model_are_refused(monkeypatch):
    for name, remedy in (("FSDP", "sharded"), ("DEEPSPEED", "zero_stage"), ("MEGATRON_LM", "")):
        monkeypatch.setenv(f"ACCELERATE_USE_{name}", "true")
        with pytest.raises(OptionError, match=rf"(?s){name}.*ddp\.yaml.*{remedy}"):
            start_accelerator(LoopOptions(max_steps=1))
        monkeypatch.delenv(f"ACCELERATE_USE_{name}")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MIXED_PRECISION", "bf16", r"(?s)mixed_precision: bf16.*set train\.precision to"),
        ("MIXED_PRECISION", "fp8", r"(?s)mixed_precision: fp8.*'no', 'bf16' or 'fp16'"),
        ("USE_PARALLELISM_CONFIG", "true", r"(?s)PARALLELISM_CONFIG.*ddp\.yaml"),
        ("DYNAMO_BACKEND", "INDUCTOR", r"(?s)dynamo_backend: INDUCTOR.*train\.compile = true"),
        ("GRADIENT_ACCUMULATION_STEPS", "4", r"(?s)steps: 4.*and is 2.*set train\.accumulation = 4"),
    ],
)
def test_what_the_launcher_asks_for_is_not_ignored(monkeypatch, variable, value, message):
    monkeypatch.setenv(f"ACCELERATE_{variable}", value)
    with pytest.raises(OptionError, match=message):
        start_accelerator(LoopOptions(max_steps=1, accumulation=2, device="cpu"))


def test_a_launcher_that_says_the_same_is_taken(monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "no")
    monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "2")
    assert start_accelerator(LoopOptions(max_steps=1, accumulation=2, device="cpu")).num_processes == 1


def test_shares_need_processes(chips_root, tiny_base, tmp_path):
    with pytest.raises(OptionError, match="'sharded' in a single process"):
        train(settings(chips_root, tiny_base, tmp_path, "sharded"))
    with pytest.raises(ValueError, match="sharded"):
        settings(chips_root, tiny_base, tmp_path, "sharded", compile=True)


@pytest.mark.slow
def test_divided_weights_with_all_that_a_preset_asks_for(chips_root, tiny_base, tmp_path):
    """Streamed T5, gradient checkpointing, accumulation, a validation loss and a resume: the curves of one process."""
    common = {"gradient_checkpointing": True, "validate_every_steps": 2, "checkpoint_every_steps": 3, "batch_size": 1}

    def config(name: str, storage: str, accumulation: int) -> TrainConfig:
        made = settings(chips_root, tiny_base, tmp_path / name, storage, accumulation=accumulation)
        values = made.model_dump(mode="json", exclude_unset=True)
        values["memory"] = {"t5": "streamed", "transformer": storage}
        values["data"]["split"] = {"validation": "azimuth-sectors", "sectors": [[100.0, 200.0]]}
        values["train"] |= common
        return TrainConfig.model_validate(values)

    done = launch(config("one", "whole", 4), tmp_path / "one", 1)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = tmp_path / "two" / "run"
    for _ in range(2):
        done = launch(config("two", "sharded", 2), tmp_path / "two", 2)
        assert done.returncode == 0, done.stderr[-2000:]
        shutil.rmtree(folder / "checkpoints" / "step-00000006", ignore_errors="(step 3)" in done.stderr)
    assert "(step 3)" in " ".join(done.stderr.split())
    for name in (*LOGGED, "validation/loss"):
        expected = curve(tmp_path / "one" / "run", name)
        assert expected
        assert curve(folder, name) == pytest.approx(expected, rel=1e-4), name


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize("stages", [(2, 1), (0, 2), (2, 0)])
def test_a_run_goes_on_with_another_division(chips_root, tiny_base, tmp_path, stages):
    """Checkpoints hold whole states: what one division wrote, another reads."""
    whole = settings(chips_root, tiny_base, tmp_path / "whole", accumulation=2)
    assert launch(whole, tmp_path / "whole", 1).returncode == 0
    folder = tmp_path / "parts" / "run"
    for stage in stages:
        parts = settings(chips_root, tiny_base, tmp_path / "parts", checkpoint_every_steps=3, zero_stage=stage)
        done = launch(parts, tmp_path / "parts", 2)
        assert done.returncode == 0, done.stderr[-2000:]
        if stage == stages[0]:
            shutil.rmtree(folder / "checkpoints" / "step-00000006")
    assert "(step 3)" in " ".join(done.stderr.split())
    for name in LOGGED:
        assert curve(folder, name) == pytest.approx(curve(tmp_path / "whole" / "run", name), rel=1e-4), name
    one, two = (load_state(tmp_path / name / "run") for name in ("whole", "parts"))
    assert one["param_groups"] == two["param_groups"]
    assert list(one["state"]) == list(two["state"])
    for number, state in one["state"].items():
        for key, value in state.items():
            torch.testing.assert_close(two["state"][number][key], value, rtol=1e-3, atol=1e-7, msg=f"{number} {key}")


def load_state(folder: Path) -> dict:
    return torch.load(folder / "checkpoints" / "step-00000006" / "optimizer.pt", weights_only=True)["optimizer"]


@pytest.mark.parametrize(
    ("optimizer", "options", "message"),
    [
        ("adamw", {}, "a single process"),
        ("adafactor", {}, "'adafactor' with train.zero_stage = 2"),
        ("torch.optim.SGD", {}, "follows from its own gradient alone"),
        ("adamw", {"precision": "fp16"}, "'fp16' with train.zero_stage"),
    ],
)
def test_what_dividing_does_not_go_with(optimizer, options, message):
    with pytest.raises(OptionError, match=message):
        check_stepping(LoopOptions(max_steps=1, zero_stage=2, **options), optimizer, Accelerator(cpu=True))


def test_dividing_is_refused_before_anything_is_loaded(chips_root, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr("geodiff_sar.workflows.train.load_base", None)
    with pytest.raises(OptionError, match=r"train\.zero_stage"):
        train(settings(chips_root, tiny_base, tmp_path, zero_stage=1))
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(chips_root, tiny_base, tmp_path):
    """Two processes to step 3, then one with twice the accumulation: the curve of one process throughout."""
    whole = settings(chips_root, tiny_base, tmp_path / "whole", accumulation=2)
    assert launch(whole, tmp_path / "whole", 1).returncode == 0
    parts = settings(chips_root, tiny_base, tmp_path / "parts", accumulation=1, checkpoint_every_steps=3)
    assert launch(parts, tmp_path / "parts", 2).returncode == 0
    folder = tmp_path / "parts" / "run"
    shutil.rmtree(folder / "checkpoints" / "step-00000006")
    done = launch(settings(chips_root, tiny_base, tmp_path / "parts", accumulation=1), tmp_path / "parts", 1)
    assert done.returncode != 0
    assert "set it to 2 divided by the number of processes" in " ".join(done.stderr.split())
    done = launch(settings(chips_root, tiny_base, tmp_path / "parts", accumulation=2), tmp_path / "parts", 1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "(step 3)" in " ".join(done.stderr.split())
    for name in ("loss", "lr/transformer"):
        expected, found = curve(tmp_path / "whole" / "run", name), curve(folder, name)
        assert list(found) == list(range(1, 7))
        assert found == pytest.approx(expected, rel=1e-4), name
    expected, found = load_file(tmp_path / "whole" / "run" / "run.safetensors"), load_file(folder / "run.safetensors")
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=2e-5, msg=key)
