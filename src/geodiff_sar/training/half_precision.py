"""Matrix products in bfloat16 on the CPU: linear layers and convolutions; attention stays in float32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


class AttentionInFloat32(TorchFunctionMode):
    """While entered, attention is computed in float32, whatever its inputs are in.

    PyTorch's attention on a CPU takes five times as long in bfloat16, backward, as in float32. Not for gradient
    checkpointing: the backward pass, which then computes attention again, is never inside.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value, *others = args
        with torch.autocast("cpu", enabled=False):
            return func(query.float(), key.float(), value.float(), *others, **(kwargs or {}))


@contextmanager
def bfloat16_products() -> Iterator[None]:
    """Linear layers and convolutions in bfloat16 on the CPU, weights and gradients of weights in float32."""
    with AttentionInFloat32(), torch.autocast("cpu", torch.bfloat16):
        yield


def has_fast_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 matrices in hardware tiles (AMX); without, float32 is the faster.

    True, too, where this PyTorch cannot tell.
    """
    capabilities = getattr(torch.cpu, "get_capabilities", None)
    return capabilities is None or bool(capabilities().get("amx_bf16", False))
