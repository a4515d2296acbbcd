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


WRAPPERS = {
    "FSDP": ', and memory.transformer = "sharded" to divide the weights of the base (FSDP2)',
    "DEEPSPEED": ", and train.zero_stage = 1 or 2 to divide optimizer state and gradients (DeepSpeed)",
    "MEGATRON_LM": "",
    "PARALLELISM_CONFIG": "",
}
"""accelerate's wrappers of whole models, by the name in its environment, and what the settings have in their place."""


def start_accelerator(options: LoopOptions) -> Accelerator:
    """Device, precision and processes, by accelerate.

    Raises:
        OptionError: this machine lacks the device, or the device the precision; accelerate's configuration asks for what
            the configuration of the training says otherwise.
    """
    _check_launcher(options)
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


def _check_launcher(options: LoopOptions) -> None:
    """`accelerate launch` hands its configuration on in the environment; what contradicts the training's is refused."""

    def refuse(found: str, rule: str, remedy: str) -> None:
        raise OptionError("accelerate's configuration", found, rule, remedy)

    for name, remedy in WRAPPERS.items():
        if os.environ.get(f"ACCELERATE_USE_{name}", "false").lower() == "true":
            refuse(
                f"distributed_type: {name}",
                "accelerate's wrappers take a model as a whole; here a part of it is trained, and the settings of the"
                " training say what processes divide",
                f"take configs/accelerate/ddp.yaml{remedy}",
            )
    precision = os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()
    if precision not in ("no", "", options.precision):
        refuse(
            f"mixed_precision: {precision}",
            f"train.precision says the number format, and is {options.precision!r}",
            "set train.precision to 'no', 'bf16' or 'fp16', and mixed_precision to the same or to 'no'",
        )
    compiler = os.environ.get("ACCELERATE_DYNAMO_BACKEND", "no")
    if compiler.lower() not in ("no", ""):
        refuse(
            f"dynamo_backend: {compiler}",
            "train.compile compiles, block by block, by inductor",
            "set train.compile = true, and leave dynamo_config out",
        )
    accumulation = os.environ.get("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", "1")
    if accumulation not in ("1", "", str(options.accumulation)):
        refuse(
            f"gradient_accumulation_steps: {accumulation}",
            f"train.accumulation says how many batches make a step, and is {options.accumulation}",
            f"set train.accumulation = {accumulation}, or leave gradient_accumulation_steps out",
        )


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
