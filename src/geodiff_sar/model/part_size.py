"""What the parts of a base take in memory, and whether there is so much."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base_parts import T5, BaseShape, BaseSource
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import block_linears

TITLES = {"transformer": "transformer", "vae": "VAE", "text_encoder": "CLIP-L", "text_encoder_2": "CLIP-G", T5: "T5"}


@dataclass(frozen=True)
class PartSize:
    """Weights of one part.

    Attributes:
        weights: how many.
        bytes: that they take in memory.
        made_from: bytes of the CPU's memory while the part is loaded, where its weights are kept in another form than the
            run's number format: they are made from whole ones, of which those in another format than the run's are cast
            first. As ``bytes`` where nothing is made, or where it is not known how a file stores them.
    """

    weights: int
    bytes: float
    made_from: float

    @property
    def making(self) -> float:
        """What loading takes for a time, above what is kept."""
        return max(0.0, self.made_from - self.bytes)


def part_size(
    shape: BaseShape, part: str, dtype: torch.dtype, memory: MemoryOptions, device: torch.device, processes: int = 1
) -> PartSize:
    """Size of a part as it is kept on the device that computes, in each process; counted on a module without weights."""
    module = shape.empty(part)
    stored = storage_of(part, memory)
    unique = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    weights = sum(tensor.numel() for tensor in unique.values())
    if stored == "streamed":
        largest = float(max(_own(layer) for layer in module.modules()) * dtype.itemsize)
        return PartSize(weights, largest, largest)
    per_weight = STORAGES.get(stored).bytes_on(device, dtype, processes)
    inside = sum(layer.weight.numel() for _, layer in block_linears(module))
    kept = float(inside * per_weight + (weights - inside) * dtype.itemsize)
    made = STORAGES.get(stored).bytes_per_weight is not None and isinstance(shape, BaseSource)
    return PartSize(weights, kept, float(shape.cast_bytes(part, dtype)) if made else kept)  # pyright: ignore


def storage_of(part: str, memory: MemoryOptions) -> str:
    """How a part is kept."""
    return {"transformer": memory.transformer, T5: memory.t5}.get(part, "whole")


def require_memory(parts: Mapping[str, PartSize], device: torch.device) -> None:
    """Make sure that the device has room for the text encoders together, and for transformer and VAE together, and the CPU
    for making weights of 8 or 4 bits.

    Raises:
        OptionError: it has not.
    """
    free = free_bytes(device)
    smaller = "8bit or 4bit" if device.type == "cpu" else "offloaded, 8bit or 4bit"
    phases = [
        ([part for part in parts if part.startswith("text_encoder")], "--t5 streamed (memory.t5) or --no-t5"),
        (["transformer", "vae"], f"--transformer-storage {smaller} (memory.transformer)"),
    ]
    for names, remedy in phases:
        there = {name: parts[name] for name in names if name in parts}
        needed = sum((part.bytes for part in there.values()), 0.0)
        if free is not None and needed > free:
            listed = ", ".join(f"{TITLES[name]} {gib(part.bytes)}" for name, part in there.items())
            raise OptionError(
                "memory",
                f"{listed}: {gib(needed)} for weights alone",
                f"{gib(free)} are free on {device}",
                f"use {remedy}, half precision (--dtype bf16, train.precision), or free memory",
            )
        _require_room_to_make(there, needed if device.type == "cpu" else 0.0)


def _require_room_to_make(parts: Mapping[str, PartSize], kept: float) -> None:
    """Make sure that the CPU's memory holds the whole weights of a part that others are made from.

    Args:
        parts: that are in memory together.
        kept: bytes of the CPU's memory that they all take, this part's own weights included.
    """
    free = free_bytes(torch.device("cpu"))
    for name, part in parts.items():
        needed = max(kept + part.making, part.made_from)
        if free is not None and part.making and needed > free:
            raise OptionError(
                "memory",
                f"{TITLES[name]}: {gib(part.made_from)} while it is loaded, for {gib(part.bytes)} that are kept",
                f"{gib(free)} are free on cpu; weights in another number format than the run's are cast before they are made"
                " smaller",
                "take a file in the run's number format, which is not cast (or --dtype, train.precision), or free memory",
            )


def free_bytes(device: torch.device) -> float | None:
    """Free memory of a device; None where the system does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    found = [_meminfo(Path("/proc/meminfo")), _cgroup(Path("/sys/fs/cgroup"))]
    known = [value for value in found if value is not None]
    return min(known) if known and device.type == "cpu" else None


def _meminfo(path: Path) -> float | None:
    if not path.is_file():
        return None
    line = next((line for line in path.read_text().splitlines() if line.startswith("MemAvailable:")), None)
    return None if line is None else float(line.split()[1]) * 1024


def _cgroup(folder: Path) -> float | None:
    """What a container's limit leaves; pages of files are given back when they are needed."""
    limit, used, pages = folder / "memory.max", folder / "memory.current", folder / "memory.stat"
    if not (limit.is_file() and used.is_file() and pages.is_file()) or limit.read_text().strip() == "max":
        return None
    files = next((line.split()[1] for line in pages.read_text().splitlines() if line.startswith("file ")), "0")
    return float(limit.read_text()) - float(used.read_text()) + float(files)


def _own(layer: Any) -> int:
    return sum(parameter.numel() for parameter in layer.parameters(recurse=False))


def gib(size: float) -> str:
    """Bytes in words."""
    return f"{size / 2**30:.1f} GiB"
