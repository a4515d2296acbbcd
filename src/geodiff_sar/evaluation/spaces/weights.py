"""Weights of a network from a local file, every tensor accounted for."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import require_file

WRAPPERS = ("state_dict", "model")
"""Keys under which training scripts keep the tensors."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or PyTorch file; pickled code is never executed.

    Raises:
        FileError: missing, damaged, or not a dictionary of tensors.
    """
    require_file(path, "weights of a feature space", "check --space-weights")
    try:
        found: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, OSError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise FileError(
            path,
            f"cannot be read as weights ({reason})",
            "a .safetensors file, or a PyTorch file of tensors alone (weights_only)",
            "save the model's state_dict() again",
        ) from error
    for key in WRAPPERS:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise FileError(path, "is not a dictionary of tensors", "a state dict", "save the model's state_dict() again")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


def load_strictly(
    network: nn.Module, state: Mapping[str, Tensor], unused: tuple[str, ...], path: Path, name: str
) -> None:
    """Fill every tensor of the network; the file may hold more only under the prefixes ``unused``, such as a classifier.

    Raises:
        FileError: names tensors that are missing, of another shape or not part of the model.
    """
    wanted = network.state_dict()
    kept = {key: value for key, value in state.items() if key in wanted or not key.startswith(unused)}
    missing = sorted(set(wanted) - set(kept))
    extra = sorted(set(kept) - set(wanted))
    other = [key for key in kept if key in wanted and kept[key].shape != wanted[key].shape]
    problems = [
        f"{len(keys)} tensors {what}, such as {keys[0]}"
        for keys, what in ((missing, "are missing"), (extra, "do not belong to it"), (other, "have another shape"))
        if keys
    ]
    if problems:
        raise FileError(
            path,
            f"does not fit {name}: {'; '.join(problems)}",
            f"exactly the tensors of {name}",
            "give the weights of this very model, or name the model that they belong to",
        )
    network.load_state_dict(kept)
