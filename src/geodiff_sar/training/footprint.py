"""How much memory a training step takes, counted on modules without weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Condition
from geodiff_sar.training.optimizers import OptimizerOptions, build_optimizer

SAMPLE = (48, 48)
"""Shape of the weight on which an optimizer's state is measured."""


@dataclass(frozen=True)
class Activations:
    """Bytes that the forward pass keeps for the backward pass.

    Attributes:
        whole: all of them.
        checkpointed: the inputs of all blocks and what the largest block keeps, which gradient checkpointing leaves.
    """

    whole: int
    checkpointed: int


class _Attention(torch.autograd.Function):
    """Attention as a fused kernel does it: queries, keys, values and the result are kept, not the matrix. There is no way
    back: the pass is counted, not differentiated."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        result = torch.empty_like(query)
        ctx.save_for_backward(query, key, value, result)
        return result


class _FusedAttention(TorchFunctionMode):
    def __init__(self, dtype: torch.dtype | None):
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is not scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = args[:3]
        if self.dtype is not None:
            return _Attention.apply(query.to(self.dtype), key.to(self.dtype), value.to(self.dtype)).to(query.dtype)  # pyright: ignore
        return _Attention.apply(query, key, value)


def count_activations(
    forward: Callable[[], Any], blocks: Iterable[nn.Module], module: nn.Module, attention: torch.dtype | None = None
) -> Activations:
    """Run a forward pass and count what it keeps for the backward pass; weights are left out.

    Args:
        forward: the pass; on the meta device it needs no memory.
        blocks: repeated blocks, of which gradient checkpointing keeps the inputs alone.
        module: that which has all weights.
        attention: number format in which attention is computed; None: that of its inputs.
    """
    seen = {tensor.untyped_storage()._cdata for tensor in (*module.parameters(), *module.buffers())}
    alive: list[Tensor] = []
    kept: dict[int, int] = defaultdict(int)
    inputs, place = 0, [-1]

    def keep(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in seen:
            seen.add(key)
            alive.append(tensor)
            kept[place[0]] += tensor.untyped_storage().nbytes()
        return tensor

    def enter(number: int) -> Callable[..., None]:
        def hook(block: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
            nonlocal inputs
            place[0] = number
            inputs += sum(t.nbytes for t in (*args, *kwargs.values()) if isinstance(t, Tensor))

        return hook

    def leave(*_: Any) -> None:
        place[0] = -1

    with ExitStack() as stack:
        for number, block in enumerate(blocks):
            stack.callback(block.register_forward_pre_hook(enter(number), with_kwargs=True).remove)
            stack.callback(block.register_forward_hook(leave).remove)
        stack.enter_context(torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor))
        stack.enter_context(_FusedAttention(attention))
        result = forward()
    del result
    largest = max((size for number, size in kept.items() if number >= 0), default=0)
    return Activations(sum(kept.values()), kept[-1] + inputs + largest)


def count_conditioning(
    stack: ConditioningStack, batch: int, points: int, size: tuple[int, int], reduction: int, dtype: torch.dtype
) -> float:
    """Bytes that the conditioning stack keeps for the backward pass, by passes of one chip and of two.

    Args:
        stack: with weights of any values, on the CPU.
        batch: chips per micro-batch.
        points: of each cloud.
        size: width and height of the chips, pixels.
        reduction: pixels of a latent, along a side.
        dtype: number format of its products.
    """

    def kept(chips: int) -> int:
        condition = _full_condition(stack, chips, points, size, reduction)
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            return count_activations(lambda: stack(condition), (), stack).whole

    one, two = kept(1), kept(2)
    return float(one + (batch - 1) * (two - one))


def _full_condition(
    stack: ConditioningStack, chips: int, points: int, size: tuple[int, int], reduction: int
) -> Condition:
    """Chips with everything present, all of it zero."""
    width, height = size
    sizes, yes = stack.sizes, torch.ones(chips, dtype=torch.bool)
    return Condition(
        context=torch.zeros(chips, 1, 1),
        pooled=torch.zeros(chips, sizes.pooled_dim),
        features=torch.zeros(chips, points, sizes.feature_dim),
        coordinates=torch.zeros(chips, points, 3),
        point_mask=torch.ones(chips, points, dtype=torch.bool),
        has_geometry=yes,
        has_coordinates=yes,
        reference=torch.zeros(chips, sizes.latent_channels, height // reduction, width // reduction),
        has_image=yes,
        azimuth_deg=torch.zeros(chips),
        has_azimuth=yes,
        depression_deg=torch.zeros(chips),
        has_depression=yes,
        maps=torch.zeros(chips, len(sizes.map_names), height, width),
        has_maps=yes,
    )


def state_bytes(options: OptimizerOptions) -> float:
    """Bytes of optimizer state for each trained weight, measured by a step on a small one.

    Raises:
        OptionError: as build_optimizer.
    """
    weight = nn.Parameter(torch.ones(SAMPLE))
    weight.grad = torch.full(SAMPLE, 1e-3)
    optimizer = build_optimizer([{"params": [weight]}], options.model_copy(update={"conditioning_lr": None}))
    if hasattr(optimizer, "train"):
        optimizer.train()  # pyright: ignore
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]
    return sum(tensor.nbytes for tensor in tensors if tensor.ndim) / weight.numel()
