"""A part whose weights stay on disk and are read layer by layer while it computes, by accelerate's hooks."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from accelerate.hooks import attach_align_device_hook
from torch import Tensor


class WeightsOnDisk(Mapping[str, Tensor]):
    """Tensors by the names of a module, each read when it is asked for.

    Args:
        names: of all tensors.
        read: reads one.
    """

    def __init__(self, names: list[str], read: Callable[[str], Tensor]):
        self.names, self.read = names, read

    def __getitem__(self, name: str) -> Tensor:
        return self.read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def streamed(module: Any, read: Callable[[str], Tensor], dtype: torch.dtype, device: torch.device) -> Any:
    """Let a module without weights read each layer's weights when it computes, and forget them afterwards.

    Args:
        module: on the meta device.
        read: reads the tensor of a name, in ``dtype``.
        dtype: number format of weights and computation.
        device: where it computes.
    """
    if device.type == "cpu":
        device = torch.device(
            "cpu"
        )  # moving a parameter to "cpu:0", as one of several processes has it, makes it a tensor
    module.to(dtype)
    weights = WeightsOnDisk(list(module.state_dict()), read)
    attach_align_device_hook(module, execution_device=device, offload=True, weights_map=weights, offload_buffers=False)
    return module
