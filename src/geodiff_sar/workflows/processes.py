"""Device, precision and processes of a training."""

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list

from geodiff_sar.core.errors import GeodiffError, OptionError
from geodiff_sar.model.device import choose_device
from geodiff_sar.training.loop_options import LoopOptions

WAIT = timedelta(hours=24)
"""How long processes wait for each other: the first one encodes all captions and chips."""


def start_accelerator(options: LoopOptions) -> Accelerator:
    """Device, precision and processes, by accelerate.

    Raises:
        OptionError: this machine lacks the device, or the device the precision; accelerate is configured for FSDP or
            DeepSpeed.
    """
    for name in ("FSDP", "DEEPSPEED"):
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            raise OptionError(
                "accelerate's configuration",
                f"distributed_type: {name}",
                "processes exchange the gradients of LoRA and conditioning, which are small, once per step; wrappers of the"
                " whole model have no place here",
                'take configs/accelerate/ddp.yaml, and memory.transformer = "sharded" to divide the weights (FSDP2)',
            )
    wanted = choose_device(options.device, "train.device").type
    if options.precision == "fp16" and wanted == "cpu":
        raise OptionError("train.precision", "'fp16' on the CPU", "fp16 trains on a GPU only", 'set "no" or "bf16"')
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:  # another training in this process may have had other settings
        AcceleratorState._reset_state(reset_partial_state=True)
    patient = InitProcessGroupKwargs(timeout=WAIT)
    accelerator = Accelerator(cpu=options.device == "cpu", mixed_precision=options.precision, kwargs_handlers=[patient])
    found = accelerator.device.type
    if options.device not in ("auto", found):
        raise OptionError("train.device", repr(options.device), f"accelerate chose {found}", f"set {found} or auto")
    return accelerator


def on_main_process(accelerator: Accelerator, call: Callable[[], Any]) -> Any:
    """The result of a call that only the main process makes; its user error is raised in all processes."""
    if accelerator.num_processes == 1:
        return call()
    outcome: list[Any] = [None, None]
    if accelerator.is_main_process:
        try:
            outcome[0] = call()
        except GeodiffError as error:
            outcome[1] = (error.subject, error.found, error.rule, error.remedy)
    outcome = broadcast_object_list(outcome)
    if outcome[1] is not None:
        raise OptionError(*outcome[1])
    return outcome[0]
