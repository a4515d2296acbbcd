"""Which device computes, and whether this machine has it."""

import torch

from geodiff_sar.core.errors import OptionError


def choose_device(name: str, option: str) -> torch.device:
    """The device called ``name``; "auto" is the first of CUDA, MPS and the CPU that this machine has.

    Args:
        name: "auto", "cpu", "cuda" or "mps".
        option: the option that names it, for the message.

    Raises:
        OptionError: this machine has no such device.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(kind for kind, present in there.items() if present))
    if not there[name]:
        raise OptionError(
            option,
            repr(name),
            f"a device of this machine: {', '.join(kind for kind, present in there.items() if present)}",
            "choose one of these, or auto",
        )
    return torch.device(name)
