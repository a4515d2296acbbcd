"""Tensors and content hash of one part of a file, in the number format that is wanted."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.single_file.convert import is_scale
from geodiff_sar.model.single_file.layout import PartFile
from geodiff_sar.model.tensor_file import FLOATS, open_tensors

MAPPED_TOGETHER = 2**27
"""Bytes of a file that are hashed or cast before it is closed and opened again: pages of a mapped file count as memory until
it is closed."""


def read_part(file: PartFile, dtype: torch.dtype, kept_float: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Tensors of a part by name without prefix.

    The file is mapped into memory: what is stored in ``dtype`` already costs no memory of its own, and of the rest one piece
    of the file at a time is there beside the result. An fp8 weight with a scale beside it is multiplied by that.

    Args:
        file: the part.
        dtype: number format of the result.
        kept_float: modules whose weights stay float32.

    Raises:
        FileError: a damaged file, or weights in a format that cannot be cast.
    """
    check_formats(file)
    wanted = {name: dtype for name in file.entries if not is_scale(name)}
    for name in wanted:
        if any(word in name.split(".") for word in kept_float):
            wanted[name] = torch.float32
    mapped = [name for name in wanted if _is_stored_as(file, name, wanted[name])]
    tensors = {}
    for piece in (mapped, *_pieces(file, set(wanted) - set(mapped))):
        with open_tensors(file.path) as opened:
            for name in piece:
                tensors[name] = _tensor(opened, file, name, wanted[name])
    return {name: tensors[name] for name in wanted}


def read_one(file: PartFile, name: str, dtype: torch.dtype) -> Tensor:
    """One tensor of a part, as read_part; the file is closed again."""
    with open_tensors(file.path) as opened:
        return _tensor(opened, file, name, dtype)


def _tensor(opened: Any, file: PartFile, name: str, dtype: torch.dtype) -> Tensor:
    tensor = opened.get_tensor(file.prefix + name)
    scale = _scale_of(name, file)
    if scale is not None:
        tensor = tensor.to(torch.float32) * opened.get_tensor(file.prefix + scale).to(torch.float32)
    return tensor.to(dtype)


def _is_stored_as(file: PartFile, name: str, dtype: torch.dtype) -> bool:
    return FLOATS[file.entries[name].format] == dtype and _scale_of(name, file) is None


def _pieces(file: PartFile, names: Iterable[str]) -> Iterator[list[str]]:
    """The tensors in pieces of the file, so that what is mapped at a time stays small."""
    piece, size = [], 0
    for name in sorted(names):
        piece.append(name)
        entry = file.entries[name]
        size += prod(entry.shape) * FLOATS[entry.format].itemsize
        if size >= MAPPED_TOGETHER:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def check_formats(file: PartFile) -> None:
    """Make sure that the weights are stored in floating point.

    Raises:
        FileError: they are not.
    """
    wrong = [name for name, entry in file.entries.items() if entry.format not in FLOATS]
    if wrong:
        kinds = ", ".join(sorted({file.entries[name].format for name in wrong}))
        raise FileError(
            file.path,
            f"{len(wrong)} tensors are stored as {kinds} ({file.prefix + wrong[0]} ...)",
            f"weights in floating point ({', '.join(FLOATS)})",
            "take the file in bf16, fp16 or fp8",
        )


def part_digest(file: PartFile) -> str:
    """Content hash of the tensors of a part: names without prefix, formats, shapes and bytes, whatever file they are in."""
    state = file.path.stat()
    return _digest(file.path, file.prefix, tuple(sorted(file.entries)), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=32)  # a run asks for the hash before and after loading
def _digest(path: Path, prefix: str, names: tuple[str, ...], size: int, modified: int) -> str:
    digest = hashlib.sha256()
    left = list(names)
    while left:
        mapped, tensor = 0, None
        with open_tensors(path) as opened:
            while left and mapped < MAPPED_TOGETHER:
                name = left.pop(0)
                tensor = opened.get_tensor(prefix + name)
                digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
                mapped += tensor.nbytes
            tensor = None
    return digest.hexdigest()


def _scale_of(name: str, file: PartFile) -> str | None:
    if not name.endswith(".weight"):
        return None
    module = name.removesuffix(".weight")
    choices = (f"{module}.scale_weight", f"{module}.weight_scale")
    return next((choice for choice in choices if choice in file.entries), None)
