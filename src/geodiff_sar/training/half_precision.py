"""Mixed precision in bfloat16 on the CPU: attention stays in float32, the rest is autocast's choice."""

from collections.abc import Callable
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class AttentionInFloat32(TorchFunctionMode):
    """While entered, attention under autocast is computed in float32, whatever its inputs are in.

    PyTorch's attention on a CPU takes five times as long in bfloat16, backward, as in float32. Not for gradient
    checkpointing: the backward pass, which then computes attention again, is never inside. Outside autocast (a caption
    encoded on the way, a preview) attention stays as it is: the layers after it want the inputs' type.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not scaled_dot_product_attention or not torch.is_autocast_enabled("cpu"):
            return func(*args, **(kwargs or {}))
        query, key, value, *others = args
        with torch.autocast("cpu", enabled=False):
            return func(query.float(), key.float(), value.float(), *others, **(kwargs or {}))


def has_fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware tiles (AMX); without, float32 is the faster.

    True, too, where this PyTorch cannot tell.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    return capabilities is None or bool(capabilities().get("amx_bf16", False))
