"""Checkpoints: the complete state of a run in one folder, written by atomic rename, read strictly."""

import json
import pickle
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import write_json
from geodiff_sar.core.tensors import mismatch

STEP_NAME = re.compile(r"step-(\d{8})")


def trainable_state(modules: dict[str, nn.Module]) -> dict[str, Tensor]:
    """Trainable parameters and all buffers of the modules, as contiguous copies, keyed ``<module>.<name>``."""
    state = {}
    for prefix, module in modules.items():
        for name, tensor in _tensors(module):
            state[f"{prefix}.{name}"] = tensor.detach().clone().contiguous()
    return state


def load_trainable_state(modules: dict[str, nn.Module], state: dict[str, Tensor], source: Path) -> None:
    """Copy ``state`` into the modules; a missing, extra or wrongly shaped tensor is a FileError."""
    wanted = {f"{prefix}.{name}": tensor for prefix, module in modules.items() for name, tensor in _tensors(module)}
    problems = mismatch(wanted, state)
    if problems:
        raise FileError(
            source,
            problems,
            "a checkpoint holds exactly the tensors of the run",
            "resume with the configuration that wrote the checkpoint, or start in another output folder",
        )
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(state[key])


def write_state(folder: Path, modules: dict[str, nn.Module], parts: dict[str, Any], position: dict[str, Any]) -> None:
    """Write weights, the state dicts of ``parts`` (optimizer, schedule, average) and the position into ``folder``."""
    save_file(trainable_state(modules), folder / "weights.safetensors")
    torch.save(parts, folder / "optimizer.pt")
    write_json(folder / "position.json", position)


def read_state(
    folder: Path, modules: dict[str, nn.Module], names: Iterable[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Load what write_state wrote; returns the state dicts of the parts, among them ``names``, and the position."""
    try:
        state = load_file(folder / "weights.safetensors")
        parts = torch.load(folder / "optimizer.pt", weights_only=True, map_location="cpu")
        position = json.loads((folder / "position.json").read_text(encoding="utf-8"))
    except pickle.UnpicklingError as error:
        raise FileError(
            folder / "optimizer.pt", "is damaged, or holds a pickle, which is never executed", "tensors", _EARLIER
        ) from error
    except (OSError, RuntimeError, ValueError, KeyError, EOFError, SafetensorError) as error:
        lines = [] if isinstance(error, KeyError) else str(error).splitlines()
        reason = (lines or ["a damaged file"])[0][:200]
        raise FileError(folder, f"cannot be read ({reason})", "a complete checkpoint", _EARLIER) from error
    numbers = [position.get(key) for key in ("step", "epoch", "index")] if isinstance(position, dict) else [None]
    if not all(isinstance(number, int) and number >= 0 for number in numbers):
        raise FileError(
            folder / "position.json",
            f"holds {position}",
            "the numbers of step, epoch and index, none of them negative",
            _EARLIER,
        )
    missing = sorted(set(names) - set(parts)) if isinstance(parts, dict) else list(names)
    if missing:
        raise FileError(
            folder / "optimizer.pt",
            f"holds no state of {', '.join(missing)}",
            "the states of the optimizer and of all that belongs to it",
            _EARLIER,
        )
    load_trainable_state(modules, state, folder / "weights.safetensors")
    return parts, position


_EARLIER = "delete this checkpoint folder; the run then resumes from the one before it"


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first (unfinished ones have other names)."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if STEP_NAME.fullmatch(path.name))


def checkpoint_name(step: int) -> str:
    """Folder name of the checkpoint after ``step`` optimizer steps."""
    return f"step-{step:08d}"


def prune(folder: Path, keep_last: int = 0) -> None:
    """Delete all but the newest ``keep_last`` checkpoints (0: none), and what a killed run left unfinished."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    if keep_last:
        for path in checkpoints(folder)[:-keep_last]:
            shutil.rmtree(path)


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    found = [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]
    return found + [(name, buffer) for name, buffer in module.named_buffers() if name in module.state_dict()]
