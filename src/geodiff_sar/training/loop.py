"""The training loop: steps, accumulation, clipping, logs, checkpoints, exact resume. It knows nothing of what it trains.

Every random number of a step comes from generators seeded by (seed, step, micro-batch, process), and every batch from
(seed, epoch): a run that is killed and resumed therefore repeats the uninterrupted run bit for bit on the same machine.
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from accelerate import Accelerator

from geodiff_sar.core.console import console, progress_bar, say
from geodiff_sar.core.errors import FileError, NumericalError
from geodiff_sar.core.files import atomic_directory, sha256_bytes
from geodiff_sar.core.stop import StopSignal
from geodiff_sar.training.half_precision import AttentionInFloat32
from geodiff_sar.training.loop_options import LoopOptions, total_steps
from geodiff_sar.training.state import checkpoint_name, checkpoints, prune, read_state, write_state
from geodiff_sar.training.stepping import build_stepping
from geodiff_sar.training.stepping.base import Stepping
from geodiff_sar.training.task import BatchSource, Task


@runtime_checkable
class Stateful(Protocol):
    """A thing with a state dict that takes part in resume."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


@runtime_checkable
class Average(Stateful, Protocol):
    """A running average of the weights."""

    def update(self) -> None: ...


@dataclass
class Hooks:
    """What the caller wants done at certain steps.

    Attributes:
        log: gets the step and values for the training log.
        validate: returns values to log, such as the validation loss.
        preview: gets the step; writes pictures.
        checkpoint: gets the unfinished checkpoint folder and the step, and may add files to the folder.
    """

    log: Callable[[int, dict[str, float]], None] | None = None
    validate: Callable[[], dict[str, float]] | None = None
    preview: Callable[[int], None] | None = None
    checkpoint: Callable[[Path, int], Any] | None = None


@dataclass
class LoopResult:
    """Outcome of a run.

    Attributes:
        steps: optimizer steps done in all.
        finished: False when the run was stopped by a signal.
        losses: loss of every step of this call, in order.
        seconds: time this call spent in steps.
    """

    steps: int
    finished: bool
    losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def run_loop(
    task: Task,
    source: BatchSource,
    optimizer: torch.optim.Optimizer,
    schedule: Stateful | None,
    options: LoopOptions,
    folder: Path,
    accelerator: Accelerator,
    hooks: Hooks | None = None,
    average: Average | None = None,
    resume_from: Path | None = None,
    title: str = "training",
) -> LoopResult:
    """Train until the options' last step, from a checkpoint if given.

    Args:
        task: what is trained.
        source: where batches come from.
        optimizer: over the task's parameter groups, not wrapped by accelerate.
        schedule: learning-rate schedule with ``step()``, or None.
        options: see LoopOptions.
        folder: where ``step-XXXXXXXX`` checkpoints go.
        accelerator: device, precision and processes.
        hooks: what to do at certain steps.
        average: running average of the weights, updated after each step.
        resume_from: a checkpoint folder of the same run.
        title: text of the progress bar.

    Raises:
        NumericalError: the loss or the gradient norm is not finite; names step and chips.
    """
    hooks = hooks or Hooks()
    parts: dict[str, Stateful] = {}
    if schedule is not None:
        parts["schedule"] = schedule
    if average is not None:
        parts["average"] = average
    if accelerator.scaler is not None:
        parts["scaler"] = accelerator.scaler
    step, epoch, index = 0, 0, 0
    modules = task.modules()
    saved = None if resume_from is None else read_state(resume_from, modules, ("optimizer", *parts))
    stepping = build_stepping(optimizer, options, accelerator)
    parts["optimizer"] = stepping
    if resume_from is not None and saved is not None:
        states, position = saved
        for name, part in parts.items():
            try:
                part.load_state_dict(states[name])
            except (ValueError, KeyError, TypeError, RuntimeError) as error:
                raise FileError(
                    resume_from,
                    f"the state of the {name} does not fit ({error})",
                    "a checkpoint is resumed with the settings that wrote it",
                    "restore these settings, or choose another output folder",
                ) from error
        step, epoch, index = position["step"], position["epoch"], position["index"]
        say(f"resumed from {resume_from} (step {step})")
    if accelerator.is_main_process:
        prune(folder)
    accelerator.wait_for_everyone()
    plan = source.plan(epoch)
    if resume_from is not None and index >= len(plan):
        raise FileError(
            resume_from / "position.json",
            f"stands at batch {index} of an epoch of {len(plan)}",
            "a place within the epoch",
            "delete this checkpoint folder; the run then resumes from the one before it",
        )
    processes = accelerator.num_processes
    last = total_steps(options, len(plan), processes)
    result = LoopResult(step, True)
    for module in modules.values():
        module.train()
    _set_mode(optimizer, training=True)
    stop = StopSignal()
    started = time.perf_counter()
    on_cpu = accelerator.device.type == "cpu" and accelerator.mixed_precision == "bf16"
    attention = AttentionInFloat32() if on_cpu and not options.gradient_checkpointing else nullcontext()
    with stop, attention, progress_bar(accelerator.is_main_process) as bar:
        line = bar.add_task(title, total=last, completed=step, note="")
        while step < last and result.finished:
            micro = plan[index : index + options.accumulation * processes]
            stepping.zero_grad()
            loss, values, trouble = _accumulate(task, source, accelerator, stepping, micro, epoch, step, options.seed)
            loss, broken, asked = stepping.exchange((loss, float(trouble is not None), float(stop.asked)))
            if broken:
                raise trouble or _not_finite(step, "the loss of another process is not finite")
            logging = hooks.log is not None and ((step + 1) % options.log_every == 0 or step + 1 == last)
            norms = stepping.group_norms() if logging else {}
            norm = stepping.step()
            if not math.isfinite(norm) and accelerator.scaler is None:
                chips = "; ".join(task.describe(source.load(item, epoch)) for item in micro)
                raise _not_finite(step, f"the gradient norm is {norm} for the chips {chips}")
            if schedule is not None:
                schedule.step()  # type: ignore[attr-defined]
            task.after_step()
            stepping.weights_changed()
            if average is not None:
                average.update()
            step, index = step + 1, index + len(micro)
            result.losses.append(loss)
            epoch_ended = index >= len(plan)
            if epoch_ended:
                epoch, index = epoch + 1, 0
                plan = source.plan(epoch)
            bar.update(line, completed=step, note=f"loss {loss:.4f}")
            if hooks.log and logging:
                rates = {f"lr/{g.get('name', i)}": float(g["lr"]) for i, g in enumerate(optimizer.param_groups)}
                hooks.log(
                    step, {"loss": loss, "gradient_norm": norm, "epoch": float(epoch), **norms, **rates, **values}
                )
            done = step == last
            result.finished = done or not asked

            def due(steps: int | None, epochs: int | None) -> bool:
                by_epoch = epochs is not None and epoch_ended and epoch % epochs == 0  # noqa: B023
                return bool((steps is not None and step % steps == 0) or by_epoch)  # noqa: B023

            if done or asked or due(options.checkpoint_every_steps, options.checkpoint_every_epochs):
                position = {"step": step, "epoch": epoch, "index": index}
                states = {name: part.state_dict() for name, part in parts.items()}
                if accelerator.is_main_process:
                    _write_checkpoint(folder, task, optimizer, states, position, hooks, options)
                accelerator.wait_for_everyone()
            if hooks.validate and (done or due(options.validate_every_steps, options.validate_every_epochs)):
                with accelerator.autocast():
                    measured = _in_eval_mode(task, optimizer, hooks.validate)
                if hooks.log:
                    hooks.log(step, measured)
            if due(options.preview_every_steps, options.preview_every_epochs):
                if hooks.preview:
                    _in_eval_mode(task, optimizer, lambda: hooks.preview(step))  # type: ignore[misc]  # noqa: B023
                accelerator.wait_for_everyone()  # here, and not in an exchange of gradients, which may have a shorter limit
    result.steps, result.seconds = step, time.perf_counter() - started
    _set_mode(optimizer, training=False)
    for module in modules.values():
        module.eval()
    if not result.finished:
        console.print(f"stopped after step {step}; the checkpoint is written, run the same command again to go on")
    return result


def latest_checkpoint(folder: Path) -> Path | None:
    """Newest complete checkpoint in ``folder``, or None."""
    found = checkpoints(folder)
    return found[-1] if found else None


def step_seed(seed: int, step: int, part: int) -> int:
    """Seed of torch's global generator for one micro-batch of one step."""
    return int(sha256_bytes(f"{seed}/{step}/{part}".encode())[:15], 16)


def _accumulate(
    task: Task,
    source: BatchSource,
    accelerator: Accelerator,
    stepping: Stepping,
    micro: list[Any],
    epoch: int,
    step: int,
    seed: int,
) -> tuple[float, dict[str, float], NumericalError | None]:
    """Gradients of this process's share of a step's micro-batches; its part of the loss, values to log, and what went wrong.

    Where all processes have to make the same number of passes, one without a batch passes the first and counts nothing.
    """
    processes, rank = accelerator.num_processes, accelerator.process_index
    even = task.even_passes or stepping.even_passes
    loss, values, trouble = 0.0, {}, None
    end = math.ceil(len(micro) / processes) * processes
    for place in range(rank, end, processes):
        idle = place >= len(micro)
        if idle and not even:
            break
        torch.manual_seed(step_seed(seed, step, place))
        batch = source.load(micro[0 if idle else place], epoch)
        with accelerator.autocast():
            part_loss, found = task.loss(batch)
        if idle:
            part_loss = part_loss * 0.0
        elif bool(torch.isfinite(part_loss)):
            loss, values = loss + float(part_loss.detach()) / len(micro), found
        else:
            trouble = _not_finite(step, f"the loss is {part_loss.item()} for the chips {task.describe(batch)}")
            if not even:
                break
        stepping.backward(part_loss / len(micro), last=place + processes >= end)
    return loss, values, trouble


def _write_checkpoint(
    folder: Path,
    task: Task,
    optimizer: torch.optim.Optimizer,
    states: dict[str, Any],
    position: dict[str, Any],
    hooks: Hooks,
    options: LoopOptions,
) -> None:
    with atomic_directory(folder / checkpoint_name(position["step"])) as path:
        if hooks.checkpoint:
            checkpoint = hooks.checkpoint
            _in_eval_mode(task, optimizer, lambda: checkpoint(path, position["step"]))
        write_state(path, task.modules(), states, position)
    prune(folder, options.keep_last)


def _in_eval_mode(task: Task, optimizer: torch.optim.Optimizer, call: Callable[[], Any]) -> Any:
    """Call with modules and optimizer in eval mode; weights and random state are as before afterwards, bit for bit."""
    modules = task.modules().values()
    state = torch.get_rng_state()
    parameters = [p for group in optimizer.param_groups for p in group["params"]] if _has_modes(optimizer) else []
    kept = [parameter.detach().clone() for parameter in parameters]
    for module in modules:
        module.eval()
    _set_mode(optimizer, training=False)
    try:
        with torch.no_grad():
            return call()
    finally:
        for module in modules:
            module.train()
        _set_mode(optimizer, training=True)
        with torch.no_grad():
            for parameter, before in zip(parameters, kept, strict=True):
                parameter.copy_(before)  # going there and back rounds the weights of a schedule-free optimizer
        torch.set_rng_state(state)


def _has_modes(optimizer: torch.optim.Optimizer) -> bool:
    return callable(getattr(optimizer, "eval", None))


def _set_mode(optimizer: torch.optim.Optimizer, training: bool) -> None:
    """Schedule-free optimizers keep two sets of weights, for training and for use."""
    if _has_modes(optimizer):
        getattr(optimizer, "train" if training else "eval")()


def _not_finite(step: int, found: str) -> NumericalError:
    return NumericalError(
        f"step {step + 1}",
        found,
        "finite losses and gradients",
        'look at these chips and their features; lower the learning rate, or set train.precision = "no"',
    )
