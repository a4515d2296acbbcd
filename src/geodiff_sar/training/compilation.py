"""Regional compilation: the repeated blocks of a transformer, each kind of block compiled once."""

from collections.abc import Iterable

import torch
from torch import nn

from geodiff_sar.core.errors import OptionError

GRAPHS = 256
"""Kernels that are kept: one for each kind of block, batch size, picture size and mode, and each block that sees tokens.
PyTorch's own limit of 8 is passed by a training with two buckets; from there on it would run uncompiled, silently."""


def compile_blocks(blocks: Iterable[nn.Module], option: str) -> None:
    """Let torch.compile make kernels of the blocks, at their first use; names of weights and checkpoints stay as they are.

    Dropout draws the numbers that it draws without compilation. Kernels are kept on disk by PyTorch: another training of the
    same shapes begins in seconds.

    Args:
        blocks: modules with static shapes.
        option: name of the option that asks for it, for messages.

    Raises:
        OptionError: no C++ compiler, which inductor needs on a CPU.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise OptionError(
            option, "true", "a C++ compiler that torch.compile can use", "install g++, or set it to false"
        ) from error
    torch._dynamo.config.cache_size_limit = GRAPHS
    torch._dynamo.config.accumulated_cache_size_limit = 4 * GRAPHS
    for block in blocks:
        block.compile(dynamic=False, options={"fallback_random": True})
