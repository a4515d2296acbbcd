"""How gradients become a step: summed over the processes, or divided among them."""

from accelerate import Accelerator
from torch.optim import Optimizer

from geodiff_sar.core.errors import OptionError
from geodiff_sar.training.loop_options import LoopOptions
from geodiff_sar.training.optimizers import OPTIMIZERS
from geodiff_sar.training.stepping.base import Stepping
from geodiff_sar.training.stepping.summed import SummedGradients
from geodiff_sar.training.stepping.zero import ZeroStages


def build_stepping(optimizer: Optimizer, options: LoopOptions, accelerator: Accelerator) -> Stepping:
    """The stepping that ``train.zero_stage`` asks for; the weights have their values already."""
    if options.zero_stage:
        return ZeroStages(optimizer, options.clip_norm, accelerator, options.zero_stage)
    return SummedGradients(optimizer, options.clip_norm, accelerator)


def check_stepping(options: LoopOptions, optimizer: str, accelerator: Accelerator) -> None:
    """Tell before anything is loaded what ``train.zero_stage`` does not go with; ``optimizer`` is its name.

    Raises:
        OptionError: an optimizer that has to see whole weights, fp16, a single process, no DeepSpeed.
    """
    if not options.zero_stage:
        return
    if optimizer not in OPTIMIZERS.names() or not OPTIMIZERS.get(optimizer).elementwise:
        raise OptionError(
            "optimizer.name",
            f"{optimizer!r} with train.zero_stage = {options.zero_stage}",
            "where processes divide the optimizer's state, the update of a weight follows from its own gradient alone",
            'set optimizer.name = "adamw", or train.zero_stage = 0',
        )
    if options.precision == "fp16":
        raise OptionError(
            "train.precision",
            f"'fp16' with train.zero_stage = {options.zero_stage}",
            "the loss is scaled for fp16 by accelerate, which does not see gradients that are divided",
            'set train.precision = "bf16", or train.zero_stage = 0',
        )
    ZeroStages.check(options.zero_stage, accelerator)
