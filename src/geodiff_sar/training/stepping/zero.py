"""DeepSpeed's ZeRO (Rajbhandari and others 2020): processes divide the optimizer's state, and in stage 2 the gradients.

The engine is given the trained parameters alone, since the loss is computed outside of it, and what it is asked for is in
torch's form: checkpoints are those of every other training, without DeepSpeed's own, which are pickles.
"""

import logging
import os
from copy import deepcopy
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.optional import require
from geodiff_sar.training.stepping.base import Stepping, group_name

OPTION = "train.zero_stage"
BUCKET = 50_000_000
"""Weights of which gradients are exchanged at a time; DeepSpeed's own size takes 2 GB for it."""


def require_several(stage: int, processes: int, remedy: str) -> None:
    """Make sure that there are processes to divide among; ``remedy`` says how to have more.

    Raises:
        OptionError: there is one.
    """
    if stage and processes == 1:
        raise OptionError(
            OPTION,
            f"{stage} in a single process",
            "the optimizer's state is divided among several processes",
            f"{remedy}, or set it to 0",
        )


class ZeroStages(Stepping):
    """Each process holds the optimizer state of its share of the trained weights, and updates that share.

    Args:
        optimizer: over all that is trained; each weight's update follows from its own gradient alone.
        clip_norm: limit of the gradient norm; 0: none.
        accelerator: the processes, more than one.
        stage: 1 divides the optimizer's state, 2 the gradients too.

    Raises:
        OptionError: DeepSpeed is not installed; a single process.
    """

    even_passes = True

    @staticmethod
    def check(stage: int, accelerator: Accelerator) -> ModuleType:
        """DeepSpeed, if it is installed and there are processes to divide among.

        Raises:
            OptionError: DeepSpeed is not installed; a single process.
        """
        require_several(
            stage, accelerator.num_processes, "start several by accelerate launch (configs/accelerate/ddp.yaml)"
        )
        if accelerator.device.type == "cpu":
            os.environ.setdefault("DS_ACCELERATOR", "cpu")  # on a machine with a GPU it would take that
        deepspeed = require("deepspeed", "deepspeed", OPTION, str(stage))
        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        return deepspeed

    def __init__(self, optimizer: Optimizer, clip_norm: float, accelerator: Accelerator, stage: int):
        deepspeed = self.check(stage, accelerator)
        self.utils: Any = deepspeed.utils
        self.accelerator = accelerator
        self.groups = [list(group["params"]) for group in optimizer.param_groups]
        self.engine, self.zero, _, _ = deepspeed.initialize(
            model=_Held([p for group in self.groups for p in group]),
            optimizer=optimizer,
            config={
                "train_micro_batch_size_per_gpu": 1,
                "gradient_accumulation_steps": 1,
                "gradient_clipping": clip_norm,
                "zero_optimization": {
                    "stage": stage,
                    "reduce_bucket_size": BUCKET,
                    "allgather_bucket_size": BUCKET,
                },
                "zero_allow_untested_optimizer": True,
                "zero_force_ds_cpu_optimizer": False,
            },
            dist_init_required=False,
        )

    def zero_grad(self) -> None:
        self.zero.zero_grad()

    def backward(self, loss: Tensor, last: bool) -> None:
        self.engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed takes the mean over processes where the loop asks for the sum
        self.engine.backward(loss * self.accelerator.num_processes)

    def exchange(self, values: tuple[float, ...]) -> tuple[float, ...]:
        extra = torch.tensor(values, device=self.accelerator.device, dtype=torch.float32)
        found: Any = self.accelerator.reduce(extra, "sum")
        return tuple(found.tolist())

    def group_norms(self) -> dict[str, float]:
        result = {}
        for number, group in enumerate(self.zero.optimizer.param_groups):
            gradients, parameters = self.zero.averaged_gradients[number], self.zero.params_in_partition[number]
            norm = self.zero.get_grad_norm_direct(gradients, parameters)
            result[f"gradient_norm/{group_name(number, group)}"] = float(norm)
        return result

    def step(self) -> float:
        self.engine.step()
        return float(self.engine.get_global_grad_norm())

    def weights_changed(self) -> None:
        """Take the weights as they are: DeepSpeed keeps a copy of its share, which it would write back over them."""
        for group in self.groups:
            for parameter in group:
                mapping: Any = parameter._hp_mapping  # pyright: ignore[reportAttributeAccessIssue]
                if mapping is not None:
                    mapping.update_hp()

    def state_dict(self) -> dict[str, Any]:
        self._link()
        state, groups, number = {}, [], 0
        for place, (parameters, group) in enumerate(zip(self.groups, self.zero.optimizer.param_groups, strict=True)):
            share = self.zero.single_partition_of_fp32_groups[place]
            numbers = list(range(number, number + len(parameters)))
            for parameter, key in zip(parameters, numbers, strict=True):
                state[key] = {
                    name: self._gather(parameter, name) if _divided(value, share) else deepcopy(value)
                    for name, value in self.zero.optimizer.state[share].items()
                }
            groups.append({**{name: value for name, value in group.items() if name != "params"}, "params": numbers})
            number += len(parameters)
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        saved, groups = state_dict["state"], state_dict["param_groups"]
        found = [len(group["params"]) for group in groups]
        if found != [len(parameters) for parameters in self.groups]:
            raise ValueError(f"groups of {found} weights instead of {[len(of) for of in self.groups]}")
        number = 0
        for place, (parameters, group) in enumerate(zip(self.groups, self.zero.optimizer.param_groups, strict=True)):
            group.update({name: value for name, value in groups[place].items() if name != "params"})
            # a weight without gradient has no state: that of its share stays zero
            mine = [(of, saved[number + k]) for k, of in enumerate(parameters) if number + k in saved]
            number += len(parameters)
            if not mine:
                continue  # saved before the first step
            share = self.zero.single_partition_of_fp32_groups[place]
            first, values = mine[0]
            whole = [name for name, value in values.items() if torch.is_tensor(value) and value.shape == first.shape]
            self.zero.optimizer.state[share] = {
                name: torch.zeros_like(share) if name in whole else value for name, value in values.items()
            }
            self._link(place)
            for parameter, values in mine:
                for name in whole:
                    if values[name].shape != parameter.shape:
                        raise ValueError(f"{name} of shape {tuple(values[name].shape)} for {tuple(parameter.shape)}")
                    value = values[name].to(parameter.device, torch.float32)
                    self.utils.safe_set_full_optimizer_state(parameter, value, name)

    def _link(self, place: int | None = None) -> None:
        """Tell the parameters where in the shares of optimizer state they stand; DeepSpeed does so for one group alone."""
        for number, parameters in enumerate(self.groups):
            share = self.zero.single_partition_of_fp32_groups[number]
            if place in (None, number):
                self.utils.lazy_init_hp_params_optimizer_state(parameters, share, self.zero.optimizer.state)

    def _gather(self, parameter: Tensor, name: str) -> Tensor:
        whole = self.utils.safe_get_full_optimizer_state(parameter, name)
        return whole.cpu() if self.accelerator.is_main_process else torch.empty(0)


class _Held(nn.Module):
    """Parameters as a module."""

    def __init__(self, parameters: list[nn.Parameter]):
        super().__init__()
        self.parameters_held = nn.ParameterList(parameters)


def _divided(value: Any, share: Tensor) -> bool:
    return torch.is_tensor(value) and value.shape == share.shape
