"""From tensors by name to the two factors of each module, every mistake of the file named."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geodiff_sar.core.errors import DataError, listed
from geodiff_sar.model.lora_formats.canonical import Factors
from geodiff_sar.model.lora_formats.dora import Divisor, Dora
from geodiff_sar.model.lora_formats.foreign import looks_like
from geodiff_sar.model.tensor_file import TensorFile

ENDINGS = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    ".alpha": "alpha",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
    ".lora_magnitude_vector.default.weight": "magnitude",
    ".dora_scale": "dora_scale",
}
"""What the endings of names mean: sd-scripts', PEFT's, older diffusers', and the two of DoRA."""

NUMBER_FORMATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass
class Pair:
    """Tensors of one module as they lie in the file."""

    down: Tensor | None = None
    up: Tensor | None = None
    alpha: Tensor | None = None
    magnitude: Tensor | None = None
    dora_scale: Tensor | None = None


def module_and_kind(name: str) -> tuple[str, str] | None:
    """Module and meaning of a tensor's name; None where it has none of the known endings."""
    for ending, kind in ENDINGS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), kind
    return None


def gather(file: TensorFile, place: Callable[[str], str | None]) -> dict[str, Pair]:
    """Tensors by module.

    Args:
        file: the LoRA.
        place: from a module's name in the file to the name wanted; None where there is no such module.

    Raises:
        DataError: names without a place (listed), a module given twice, NaN or Inf, integers.
    """
    pairs: dict[str, Pair] = {}
    lost = []
    for key, tensor in file.tensors.items():
        found = module_and_kind(key)
        name = place(found[0]) if found else None
        if found is None or name is None:
            lost.append(key)
            continue
        _check_numbers(file.path, key, tensor)
        pair = pairs.setdefault(name, Pair())
        if getattr(pair, found[1]) is not None:
            raise _bad(file.path, f"gives '{name}' twice (last by '{key}')", "one pair of factors for each module")
        setattr(pair, found[1], tensor)
    if lost:
        raise unplaced(file.path, lost)
    return pairs


def unplaced(path: Path, names: Iterable[str]) -> DataError:
    """The error about names that have no place in SD3."""
    unknown = sorted(names)
    return DataError(
        path,
        f"{len(unknown)} tensors have no place in Stable Diffusion 3.5: {listed(unknown)}{looks_like(unknown)}",
        "every tensor is a factor, alpha or magnitude of a linear layer of SD3's transformer or text encoders",
        "give a LoRA of Stable Diffusion 3.5",
    )


def factors_of(path: Path, name: str, pair: Pair, scale: float | None, scale_over: Divisor = "changed") -> Factors:
    """Factors of one module.

    Args:
        path, name: for messages.
        pair: its tensors.
        scale: as the file's header says; None: by the alpha tensor, or 1 without one.
        scale_over: what ``dora_scale`` is divided by.

    Raises:
        DataError: a factor is missing, shapes do not fit, alpha contradicts the header, or DoRA of columns.
    """
    if pair.down is None or pair.up is None:
        missing = "lora_down (lora_A)" if pair.down is None else "lora_up (lora_B)"
        raise _bad(path, f"'{name}' has no {missing}", "two factors for each module")
    _check_shapes(path, name, pair.down, pair.up)
    rank = pair.down.shape[0]
    if pair.alpha is not None:
        alpha = _alpha(path, name, pair.alpha)
        if scale is not None and abs(scale * rank - alpha) > 1e-2 * abs(alpha):
            raise _bad(
                path,
                f"'{name}' has alpha {alpha:g} as a tensor and {scale * rank:g} in the header",
                "one scale for each module",
            )
        scale = alpha / rank if scale is None else scale
    return Factors(pair.down, pair.up, 1.0 if scale is None else scale, _dora(path, name, pair, scale_over))


def _check_numbers(path: Path, key: str, tensor: Tensor) -> None:
    if tensor.dtype not in NUMBER_FORMATS:
        name = str(tensor.dtype).removeprefix("torch.")
        raise _bad(path, f"'{key}' is {name}", "float16, bfloat16, float32 or float64")
    if not bool(torch.isfinite(tensor).all()):
        raise _bad(path, f"'{key}' holds NaN or Inf", "finite numbers", "take an earlier checkpoint of that training")


def _check_shapes(path: Path, name: str, down: Tensor, up: Tensor) -> None:
    plain = down.ndim == 2 and up.ndim == 2
    convolution = down.ndim == 4 and up.ndim == 4 and tuple(up.shape[2:]) == (1, 1)
    if not (plain or convolution) or up.shape[1] != down.shape[0] or 0 in (*down.shape, *up.shape):
        raise _bad(
            path,
            f"'{name}' has down {tuple(down.shape)} and up {tuple(up.shape)}, which do not fit",
            "down is (rank, in) and up (out, rank) with one rank",
        )


def _alpha(path: Path, name: str, tensor: Tensor) -> float:
    value = float(tensor.reshape(-1)[0]) if tensor.numel() == 1 else 0.0
    if value == 0.0:
        found = f"{tuple(tensor.shape)} numbers" if tensor.numel() != 1 else "0"
        raise _bad(path, f"alpha of '{name}' is {found}", "one number other than 0: readers do not agree what 0 means")
    return value


def _dora(path: Path, name: str, pair: Pair, scale_over: Divisor) -> Dora | None:
    assert pair.up is not None
    assert pair.down is not None
    if pair.magnitude is not None and pair.dora_scale is not None:
        raise _bad(path, f"'{name}' has lora_magnitude_vector and dora_scale", "one of the two, or none")
    tensor = pair.magnitude if pair.dora_scale is None else pair.dora_scale
    if tensor is None:
        return None
    rows, columns, kernel = pair.up.shape[0], pair.down.shape[1], [1] * (pair.down.ndim - 2)
    shape, of_columns = (rows, 1, *kernel), (1, columns, *kernel)
    if pair.dora_scale is None:
        shape, of_columns = (1, rows, *kernel) if kernel else (rows,), None
    if tuple(tensor.shape) == shape:
        return Dora(tensor.reshape(rows), "changed" if pair.dora_scale is None else scale_over)
    if tuple(tensor.shape) == of_columns:
        raise _bad(
            path,
            f"DoRA of '{name}' has a length for each of {columns} columns, shape {tuple(tensor.shape)}, as LyCORIS writes it"
            " before 3.2 or with wd_on_output=False, and OneTrainer without its output axis",
            f"a length for each of the {rows} rows: scaled columns are another network, for which PEFT has no form",
            "train it again with wd_on_output=True, or without DoRA; ComfyUI takes the file as it is",
        )
    raise _bad(
        path, f"DoRA magnitudes of '{name}' have shape {tuple(tensor.shape)}", f"{shape}: one for each of its rows"
    )


def _bad(
    path: Path, found: str, rule: str, remedy: str = "write the file again with the program it comes from"
) -> DataError:
    return DataError(path, found, rule, remedy)
