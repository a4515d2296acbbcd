"""One stage of pre-training: optimizer, schedule, log, checkpoints."""

import json
import math
from pathlib import Path

import torch

from geodiff_sar.core.errors import Interrupted
from geodiff_sar.training.ema import WeightAverage
from geodiff_sar.training.loop import Hooks, latest_checkpoint, run_loop
from geodiff_sar.training.pretrain.options import StageOptions
from geodiff_sar.training.task import BatchSource, Task
from geodiff_sar.workflows.processes import start_accelerator


def run_stage(
    task: Task,
    source: BatchSource,
    options: StageOptions,
    folder: Path,
    title: str,
    average: WeightAverage | None = None,
) -> None:
    """Train a task to the end of its stage; goes on from the newest checkpoint in ``folder``.

    AdamW; the learning rate rises over ``warmup`` steps and falls along a cosine to 2 %. Values go to
    ``<folder>.jsonl``, one line per entry.

    Raises:
        Interrupted: stopped by a signal, after a checkpoint.
    """
    steps = options.max_steps or 1

    def rate(step: int) -> float:
        rise = min(1.0, (step + 1) / max(options.warmup, 1))
        return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1.0))))

    optimizer = torch.optim.AdamW(task.parameter_groups(), weight_decay=options.weight_decay, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    log = (folder.parent / f"{folder.name}.jsonl").open("a", encoding="utf-8")

    def write_log(step: int, values: dict[str, float]) -> None:
        log.write(json.dumps({"step": step, **values}) + "\n")
        log.flush()

    with log:
        result = run_loop(
            task,
            source,
            optimizer,
            schedule,
            options,
            folder,
            start_accelerator(options.model_copy(update={"device": "cpu"})),
            hooks=Hooks(log=write_log),
            average=average,
            resume_from=latest_checkpoint(folder),
            title=title,
        )
    if not result.finished:
        raise Interrupted(f"{title} stopped after step {result.steps}")


def read_log(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Logged values of a stage by name; where a run was resumed, the last value of each step counts."""
    path = folder.parent / f"{folder.name}.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        step = row.pop("step")
        for name, value in row.items():
            curves.setdefault(name, {})[step] = value
    return {name: sorted(values.items()) for name, values in curves.items()}
