"""Optimizers by name, one file each, and any optimizer class by dotted path."""

import importlib
from typing import Any

import torch
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.registry import Registry
from geodiff_sar.training.optimizers.base import OptimizerMethod

OPTIMIZERS: Registry[type[OptimizerMethod]] = Registry("optimizer", "optimizer.name", "geodiff_sar.training.optimizers")


class OptimizerOptions(Options):
    """The optimizer and its learning rates."""

    name: str = Field(
        default="adamw", description="see `geodiff-sar list optimizers`, or a class such as torch.optim.RAdam"
    )
    lr: float | None = Field(default=None, gt=0, description="learning rate; None: the optimizer's usual one")
    conditioning_lr: float | None = Field(
        default=None, gt=0, description="learning rate of the conditioning modules; None: lr"
    )
    args: dict[str, Any] = Field(default={}, description="further arguments of the optimizer's class")


def build_optimizer(groups: list[dict[str, Any]], options: OptimizerOptions) -> torch.optim.Optimizer:
    """Optimizer over parameter groups; a group may carry its own ``lr``.

    Raises:
        OptionError: unknown name, missing package, or arguments that the class does not take.
    """
    if "." in options.name:
        kind = _dotted(options.name)
        rate = options.lr if options.lr is not None else 1e-4

        def make(rated: list[dict[str, Any]]) -> Any:
            return kind(rated, lr=rate, **options.args)
    else:
        method = OPTIMIZERS.get(options.name)
        rate = options.lr if options.lr is not None else method.default_lr

        def make(rated: list[dict[str, Any]]) -> Any:
            return method.build(rated, rate, options.args)

    rated = [{**group, "lr": group.get("lr", rate)} for group in groups]
    if options.name == "prodigy" and len({group["lr"] for group in rated}) > 1:
        raise OptionError(
            "optimizer.conditioning_lr",
            f"{[group['lr'] for group in rated]}",
            "Prodigy adapts one step size for all groups and takes one learning rate",
            "leave conditioning_lr out, or use another optimizer",
        )
    try:
        return make(rated)
    except (TypeError, ValueError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            "optimizer.args", f"{options.args} ({error})", f"arguments that {options.name} takes", "correct them"
        ) from error


def _dotted(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise OptionError(
            "optimizer.name", repr(name), "a class that can be imported", f"correct it ({error})"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        raise OptionError("optimizer.name", repr(name), "a subclass of torch.optim.Optimizer", "name such a class")
    return kind
