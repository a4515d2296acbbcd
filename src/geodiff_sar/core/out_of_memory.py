"""Running out of memory, as a message for users."""

from geodiff_sar.core.errors import OptionError


def memory_message(error: BaseException) -> OptionError | None:
    """What to tell the user where an exception says that memory is full; None: it says something else.

    torch has a class for a GPU's memory (``torch.OutOfMemoryError``) and a plain RuntimeError for that of the CPU.
    """
    text = str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError"
    if not (on_gpu or isinstance(error, MemoryError) or "can't allocate memory" in text):
        return None
    return OptionError(
        "memory",
        f"the {'GPU' if on_gpu else 'CPU'} has no more: {text.splitlines()[0] if text else type(error).__name__}",
        "what a command computes with has to fit; `geodiff-sar plan` counts a training before it starts",
        "training: train.gradient_checkpointing = true, a smaller train.batch_size with more train.accumulation, or another"
        " memory.transformer, and the run goes on from its last checkpoint; generation: a smaller --batch_size or"
        " --transformer-storage",
    )
