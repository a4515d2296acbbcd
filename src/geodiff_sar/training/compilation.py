"""Regional compilation: the repeated blocks of a transformer, each kind of block compiled once."""

from collections.abc import Iterable

from torch import nn

from geodiff_sar.core.errors import OptionError


def compile_blocks(blocks: Iterable[nn.Module], option: str) -> None:
    """Let torch.compile make kernels of the blocks, at their first use; names of weights and checkpoints stay as they are.

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
    for block in blocks:
        block.compile(dynamic=False)
