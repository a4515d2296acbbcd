"""Two processes on the CPU: the same training as one process with the same global batch, and no process left waiting."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from geodiff_sar.core.config import write_toml
from geodiff_sar.workflows.train import TrainConfig


def settings(root: Path, base: Path, output: Path, **options) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "base": str(base),
            "output_dir": str(output),
            "output_name": "run",
            "data": {"root": str(root), "buckets": {"min_bucket_reso": 16}},
            "lora": {"rank": 2},
            "conditioning": {"points": {"heads": 2}},
            "train": {"max_steps": 6, "batch_size": 2, "device": "cpu", "log_every": 1, **options},
        }
    )


def launch(config: TrainConfig, folder: Path, processes: int) -> subprocess.CompletedProcess:
    folder.mkdir(parents=True, exist_ok=True)
    write_toml(folder / "run.toml", config)
    # without MPI, accelerate starts several processes by --multi_gpu alone; the variable makes them use the CPU
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", str(processes)]
    command += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    command = command if processes > 1 else [sys.executable]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(
        [*command, "-m", "geodiff_sar", "train", "--config", str(folder / "run.toml")],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


def curve(folder: Path, name: str) -> dict[int, float]:
    """A logged value by step."""
    log = EventAccumulator(str(folder / "logs"))
    log.Reload()
    return {event.step: event.value for event in log.Scalars(name)}


@pytest.mark.slow
def test_two_processes_train_as_one(chips_root, tiny_base, tmp_path):
    """Ten chips in buckets give an odd number of micro-batches, so one has none in the last step of an epoch. They are
    started by `accelerate launch`; loss and learning rate are the same step by step."""
    weights, curves = [], []
    for name, processes, accumulation in (("one", 1, 2), ("two", 2, 1)):
        config = settings(chips_root, tiny_base, tmp_path / name, accumulation=accumulation)
        done = launch(config, tmp_path / name, processes)
        assert done.returncode == 0, done.stderr[-2000:]
        folder = tmp_path / name / "run"
        assert json.loads((folder / "manifest.json").read_text())["steps"] == 6
        assert "6 steps (3 per epoch)" in " ".join(done.stderr.split()), done.stderr[-2000:]
        weights.append(
            {**load_file(folder / "run.safetensors"), **load_file(folder / "run_fusion_weights.safetensors")}
        )
        curves.append({name: curve(folder, name) for name in ("loss", "lr/transformer")})
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
