"""All processes hold all gradients and the whole optimizer state; gradients are summed once per step."""

import math
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.optim import Optimizer

from geodiff_sar.training.stepping.base import Stepping, group_name


class SummedGradients(Stepping):
    """One process, or several of which each makes the same step.

    Args:
        optimizer: over all that is trained, not wrapped by accelerate.
        clip_norm: limit of the gradient norm; 0: none.
        accelerator: processes, and the scaler of fp16.
    """

    def __init__(self, optimizer: Optimizer, clip_norm: float, accelerator: Accelerator):
        self.optimizer, self.clip_norm, self.accelerator = optimizer, clip_norm, accelerator
        self.prepared: Any = accelerator.prepare_optimizer(optimizer)
        self.parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def zero_grad(self) -> None:
        self.prepared.zero_grad()

    def backward(self, loss: Tensor, last: bool) -> None:
        self.accelerator.backward(loss)

    def exchange(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Sum gradients and values in one exchange."""
        if self.accelerator.num_processes > 1:
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.parameters]
            extra = torch.tensor(values, device=self.accelerator.device, dtype=torch.float32)
            flat = torch.cat([*(g.flatten().float() for g in gradients), extra])
            del gradients
            self.prepared.zero_grad()  # they are in one piece now
            torch.distributed.all_reduce(flat)
            start = 0
            for parameter in self.parameters:
                part = flat[start : start + parameter.numel()]
                parameter.grad = part.view_as(parameter).to(parameter.dtype)
                start += parameter.numel()
            values = tuple(flat[start:].tolist())
        if self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients(self.prepared)
        return values

    def group_norms(self) -> dict[str, float]:
        result = {}
        for number, group in enumerate(self.optimizer.param_groups):
            squares = [p.grad.float().square().sum() for p in group["params"] if p.grad is not None]
            norm = float(torch.stack(squares).sum().sqrt()) if squares else 0.0
            result[f"gradient_norm/{group_name(number, group)}"] = norm
        return result

    def step(self) -> float:
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.clip_norm or math.inf))
        if math.isfinite(norm) or self.accelerator.scaler is not None:
            self.prepared.step()
        return norm

    def weights_changed(self) -> None:
        return

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state_dict)
