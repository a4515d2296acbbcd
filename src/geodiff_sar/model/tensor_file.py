"""Safetensors files: read strictly and with their header, written with the same bytes for the same content."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from geodiff_sar.core.errors import DataError, FileError, GeodiffError, listed
from geodiff_sar.core.files import open_binary, require_file

LARGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""

FLOATS = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}
"""Number formats of weights that can be cast, by what safetensors calls them."""

PICKLE_ENDINGS = (".pt", ".pth", ".ckpt", ".bin", ".pkl")


@dataclass(frozen=True)
class TensorEntry:
    """What a header says of one tensor: its number format as safetensors calls it (BF16, F8_E4M3, ...) and its shape."""

    format: str
    shape: tuple[int, ...]

    def cast_bytes(self, dtype: torch.dtype) -> int:
        """Memory that it takes when it is loaded in ``dtype``: none where it is stored so and stays in the file."""
        return 0 if FLOATS.get(self.format) == dtype else prod(self.shape) * dtype.itemsize


@dataclass(frozen=True)
class TensorFile:
    """What a safetensors file holds: tensors by name, and the texts of its header."""

    path: Path
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_tensor_file(path: Path) -> TensorFile:
    """All tensors and header texts of a safetensors file; errors as open_tensors."""
    with open_tensors(path) as file:
        names = list(file.keys())
        return TensorFile(path, {name: file.get_tensor(name) for name in names}, dict(file.metadata() or {}))


def read_header(path: Path) -> dict[str, TensorEntry]:
    """Number format and shape of every tensor, by name; no tensor is read. Errors as open_tensors."""
    with open_tensors(path) as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return {name: TensorEntry(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}


def non_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors that hold NaN or Inf."""
    return [name for name, value in tensors.items() if value.is_floating_point() and not _finite(value)]


def require_finite(path: Path) -> TensorFile:
    """As read_tensor_file, of a file without NaN or Inf.

    Raises:
        DataError: tensors that hold NaN or Inf.
    """
    file = read_tensor_file(path)
    names = non_finite(file.tensors)
    if names:
        raise DataError(
            path,
            f"NaN or Inf in {listed(names, 5)}",
            "finite numbers",
            "take an earlier checkpoint of that training",
        )
    return file


@contextmanager
def open_tensors(path: Path) -> Iterator[Any]:
    """A safetensors file as the library opens it: mapped into memory, so that a tensor costs memory when it is used.

    Lengths, offsets and shapes are checked before any tensor is made. A pickle is refused without being read.

    Raises:
        FileError: no such file, a pickle or another kind of file, or a file that is cut off or contradicts its own header.
    """
    require_file(path, "a safetensors file", "check the path")
    _check_beginning(path)
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except GeodiffError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        if "not fully covered" in str(error):
            raise _damaged(path, "its header promises more or fewer bytes than it holds: it is cut off") from error
        raise _damaged(path, f"cannot be read ({str(error)[:200]})") from error


def packed(state: dict[str, Tensor], header: dict[str, str]) -> bytes:
    """A safetensors file, the same bytes for the same content: the library writes the keys of the header in random order."""
    content = save(state, header)
    size = int.from_bytes(content[:8], "little")
    table = json.loads(content[8 : 8 + size])
    table["__metadata__"] = dict(sorted(table["__metadata__"].items()))
    text = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8 bytes
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def _finite(tensor: Tensor) -> bool:
    if tensor.dtype.itemsize == 1:
        tensor = tensor.half()  # torch has no such test for 8-bit formats
    return bool(torch.isfinite(tensor).all())


def _check_beginning(path: Path) -> None:
    with open_binary(path) as file:
        start = file.read(64)
    _refuse_others(path, start)
    pickled = start[8:9] != b"{" and (
        start[:2] == b"PK" or start[:1] == b"\x80"
    )  # either may also be the length of a header
    if path.suffix.lower() in PICKLE_ENDINGS or pickled:
        raise FileError(
            path,
            "is a PyTorch pickle (.pt, .ckpt, .bin), which may run code when it is read; it was not read",
            "a safetensors file",
            "let the program that wrote it save it as .safetensors",
        )
    held, declared = path.stat().st_size - 8, int.from_bytes(start[:8], "little")
    if declared > LARGEST_HEADER:
        raise _damaged(path, f"declares a header of {declared} bytes (at most {LARGEST_HEADER} are allowed)")
    if held < 0 or declared > held:
        raise _damaged(path, f"declares a header of {declared} bytes and holds {max(held, 0)}: it is cut off")
    if start[8:9] != b"{":
        raise _damaged(path, "does not begin with a safetensors header")


def _refuse_others(path: Path, start: bytes) -> None:
    """What is often found under the name of a safetensors file, by how it begins."""
    if start[8:9] == b"{":  # the bytes before are the length of a header
        return
    kinds = (
        (
            start.startswith(b"version https://git-lfs"),
            "is a pointer of Git LFS, not the file that it stands for",
            "run `git lfs pull` in the folder it was cloned to",
        ),
        (
            start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"),
            "is a web page: the download did not return the file",
            "log in where the file is published, accept its licence, and download it again",
        ),
        (
            start.startswith(b"GGUF"),
            "is a GGUF file, which is not read",
            "take the .safetensors file of the same model",
        ),
    )
    for found, kind, remedy in kinds:
        if found:
            raise FileError(path, kind, "a safetensors file", remedy)


def _damaged(path: Path, found: str) -> FileError:
    return FileError(path, found, "an intact safetensors file", "copy the file again")
