import json
import os
import signal
import threading
import time

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from geodiff_sar.core.errors import FileError, NumericalError, OptionError
from geodiff_sar.training.loop import Hooks, latest_checkpoint, run_loop
from geodiff_sar.training.loop_options import LoopOptions, steps_per_epoch, total_steps
from geodiff_sar.training.state import checkpoints
from geodiff_sar.training.task import BatchSource, Task


class Line(Task[torch.Tensor]):
    """Fits a line, with dropout so that random numbers matter."""

    def __init__(self, pause: float = 0.0):
        torch.manual_seed(0)
        self.model, self.pause = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.3), nn.Linear(8, 1)), pause

    def modules(self):
        return {"model": self.model}

    def parameter_groups(self):
        return [{"params": list(self.model.parameters()), "name": "model"}]

    def loss(self, batch):
        time.sleep(self.pause)
        return (self.model(batch).squeeze() - batch.sum(dim=1)).square().mean(), {}

    def describe(self, batch):
        return f"rows {len(batch)}"


class Numbers(BatchSource[torch.Tensor]):
    def __init__(self, batches: int = 5, bad: bool = False):
        self.batches, self.bad = batches, bad

    def plan(self, epoch):
        return [(epoch * 31 + k) % 97 for k in range(self.batches)]

    def load(self, item, epoch):
        rows = torch.randn(4, 3, generator=torch.Generator().manual_seed(item))
        return rows * (float("nan") if self.bad else 1.0)


def run(folder, task=None, source=None, hooks=None, resume=True, **options):
    task = task or Line()
    optimizer = torch.optim.AdamW(task.parameter_groups(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    loop = LoopOptions(**{"max_steps": 12, "checkpoint_every_steps": 5, "device": "cpu", **options})
    latest = latest_checkpoint(folder) if resume else None
    result = run_loop(
        task, source or Numbers(), optimizer, schedule, loop, folder, Accelerator(cpu=True), hooks, None, latest
    )
    return task, result


def same(one: Line, two: Line) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_resume_from_any_checkpoint_is_exact(tmp_path, accumulation):
    whole, _ = run(tmp_path / "a", accumulation=accumulation, keep_last=0, checkpoint_every_steps=1)
    import shutil

    for step in (1, 4, 7, 11):
        folder = tmp_path / f"from{step}"
        folder.mkdir()
        name = f"step-{step:08d}"
        shutil.copytree(tmp_path / "a" / name, folder / name)
        again, result = run(folder, accumulation=accumulation, keep_last=0, checkpoint_every_steps=1)
        assert len(result.losses) == 12 - step
        assert same(whole, again)


def test_a_stopped_run_writes_a_checkpoint_and_goes_on_exactly(tmp_path):
    whole, _ = run(tmp_path / "a")
    threading.Timer(0.25, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    _, result = run(tmp_path / "b", Line(pause=0.06))
    assert not result.finished
    assert 0 < result.steps < 12
    again, result = run(tmp_path / "b")
    assert result.finished
    assert same(whole, again)


def test_epochs_steps_and_triggers(tmp_path):
    seen: dict[str, list] = {"preview": [], "validate": [], "checkpoint": []}
    hooks = Hooks(
        validate=lambda: seen["validate"].append(1) or {"v": 1.0},
        preview=lambda step: seen["preview"].append(step),
        checkpoint=lambda path, step: seen["checkpoint"].append(step),
    )
    run(
        tmp_path, hooks=hooks, max_steps=None, max_epochs=3, checkpoint_every_steps=None, checkpoint_every_epochs=1,
        preview_every_steps=4, validate_every_epochs=2, keep_last=2,
    )  # fmt: skip
    assert seen["preview"] == [4, 8, 12]
    assert seen["checkpoint"] == [5, 10, 15]
    assert len(seen["validate"]) == 2
    assert [p.name for p in checkpoints(tmp_path)] == ["step-00000010", "step-00000015"]
    options = LoopOptions(max_epochs=3, accumulation=2)
    assert steps_per_epoch(options, 5) == 3
    assert total_steps(options, 5) == 9


def test_previews_do_not_change_the_training(tmp_path):
    plain, _ = run(tmp_path / "a")
    drawn, _ = run(tmp_path / "b", hooks=Hooks(preview=lambda step: torch.randn(5)), preview_every_steps=1)
    assert same(plain, drawn)


def test_nan_names_the_batch(tmp_path):
    with pytest.raises(NumericalError, match="step 1: the loss is nan for the chips rows 4"):
        run(tmp_path, source=Numbers(bad=True))


def test_damaged_or_foreign_checkpoints_are_refused(tmp_path):
    run(tmp_path)
    weights = tmp_path / "step-00000012" / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-20])
    with pytest.raises(FileError, match="complete checkpoint"):
        run(tmp_path)
    weights.write_bytes(content)

    class Wider(Line):
        def __init__(self):
            super().__init__()
            self.model.append(nn.Linear(1, 1))

    with pytest.raises(FileError, match="exactly the tensors"):
        run(tmp_path, Wider())


def test_unfinished_checkpoints_are_ignored_and_removed(tmp_path):
    (tmp_path / ".tmp-half").mkdir(parents=True)
    assert latest_checkpoint(tmp_path) is None
    run(tmp_path)
    assert not (tmp_path / ".tmp-half").exists()


@pytest.mark.parametrize(
    ("position", "words"),
    [
        ({"step": -2, "epoch": 0, "index": 0}, "none of them negative"),
        ({"step": "2", "epoch": 0, "index": 0}, "step, epoch and index"),
        ({"step": 2}, "step, epoch and index"),
        ([1], "step, epoch and index"),
        ({"step": 2, "epoch": 0, "index": 99}, "batch 99 of an epoch of 5"),
    ],
)
def test_a_changed_position_is_refused(tmp_path, position, words):
    run(tmp_path, max_steps=3)
    (tmp_path / "step-00000003" / "position.json").write_text(json.dumps(position))
    with pytest.raises(FileError, match=words):
        run(tmp_path, max_steps=6)


def test_states_of_another_optimizer_are_refused(tmp_path):
    run(tmp_path, max_steps=3)
    path = tmp_path / "step-00000003" / "optimizer.pt"
    states = torch.load(path, weights_only=True)
    for wrong, words in (({"optimizer": states["optimizer"]}, "no state of schedule"), ([1], "no state of")):
        torch.save(wrong, path)
        with pytest.raises(FileError, match=words):
            run(tmp_path, max_steps=6)
    torch.save({**states, "optimizer": {}}, path)
    with pytest.raises(FileError, match="state of the optimizer does not fit"):
        run(tmp_path, max_steps=6)


def test_a_pickle_in_a_checkpoint_is_never_executed(tmp_path):
    class Payload:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    run(tmp_path, max_steps=3)
    torch.save({"optimizer": Payload()}, tmp_path / "step-00000003" / "optimizer.pt")
    with pytest.raises(FileError, match="never executed"):
        run(tmp_path, max_steps=6)
    assert not (tmp_path / "executed").exists()


def test_steps_and_epochs_together_are_refused():
    with pytest.raises(OptionError, match="one of them says when to stop"):
        total_steps(LoopOptions(max_steps=3, max_epochs=2), 5)


@pytest.mark.parametrize("name", ["adamw_schedulefree", "adamw"])
def test_looking_at_the_weights_changes_nothing(tmp_path, name):
    from geodiff_sar.training.optimizers import OptimizerOptions, build_optimizer

    found = []
    for folder, often in ((tmp_path / "a", 12), (tmp_path / "b", 1)):
        task = Line()
        optimizer = build_optimizer(task.parameter_groups(), OptimizerOptions(name=name, lr=1e-2))
        options = LoopOptions(max_steps=12, checkpoint_every_steps=often, preview_every_steps=often, device="cpu")
        hooks = Hooks(preview=lambda step: None, checkpoint=lambda path, step: None)
        run_loop(task, Numbers(), optimizer, None, options, folder, Accelerator(cpu=True), hooks)
        found.append(task)
    assert same(*found)


def test_gradient_norms_are_logged_for_each_group(tmp_path):
    logged: list[dict] = []
    run(tmp_path, hooks=Hooks(log=lambda step, values: logged.append(values)), log_every=3)
    assert len(logged) == 4
    assert all(values["gradient_norm/model"] == pytest.approx(values["gradient_norm"]) for values in logged)


def test_no_limit_of_the_gradient_norm(tmp_path):
    limited, _ = run(tmp_path / "a", clip_norm=1e-6)
    free, _ = run(tmp_path / "b", clip_norm=0)
    assert not same(limited, free)
