"""Weights divided among the processes of a training."""

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.base import Storage


def is_sharded(module: nn.Module) -> bool:
    """Whether a pass through the module needs all processes."""
    return any(isinstance(part, FSDPModule) for part in module.modules())


@STORAGES.register("sharded")
class Sharded(Storage):
    """torch's FSDP2 on the blocks: each process keeps its share, and a block is put together while it computes. LoRA layers
    come later and are whole in every process."""

    @classmethod
    def bytes_on(cls, device: torch.device, dtype: torch.dtype, processes: int = 1) -> float:
        """A share; on a CPU each process loads all of it before it keeps its share."""
        return dtype.itemsize / (1 if device.type == "cpu" else processes)

    @staticmethod
    def check(device: torch.device) -> None:
        if count_processes() < 2:
            raise OptionError(
                "memory.transformer (--transformer-storage)",
                "'sharded' in a single process",
                "weights are divided among the processes of a training",
                "start it by `accelerate launch --num_processes N -m geodiff_sar train ...`, or use another storage",
            )

    @staticmethod
    def apply(module: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
        for block in module.get_submodule("transformer_blocks").children():
            fully_shard(block, mesh=mesh, reshard_after_forward=True)


def count_processes() -> int:
    """Processes of this training."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1
