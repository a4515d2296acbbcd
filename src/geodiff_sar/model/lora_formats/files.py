"""A LoRA file of any format: read, and written only if it reads back as what was meant."""

from collections.abc import Sequence
from pathlib import Path

from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import atomic_path
from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import LoraFormat, Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.pairs import unplaced
from geodiff_sar.model.lora_formats.plausible import check_plausible
from geodiff_sar.model.lora_formats.verify import verify
from geodiff_sar.model.tensor_file import TensorFile, packed, read_tensor_file


def format_of(file: TensorFile) -> str:
    """Name of the format that a file is in.

    Raises:
        DataError: none, or names of several formats in one file.
    """
    found = [name for name in LORA_FORMATS.names() if LORA_FORMATS.get(name)().recognises(file)]
    if not found:
        if not file.tensors:
            raise DataError(file.path, "holds no tensors", "a LoRA", "copy the file again")
        raise unplaced(file.path, file.tensors)
    if len(found) > 1:
        raise DataError(
            file.path, f"holds names of {' and '.join(found)}", "one format in one file", "convert the parts one by one"
        )
    return found[0]


def read_lora(path: Path, mend_split_qkv: bool = False) -> tuple[Lora, str]:
    """The LoRA in a file, and the name of its format.

    Args:
        path: safetensors file of any registered format.
        mend_split_qkv: give modules with the split-qkv defect the scale they were meant to have.

    Raises:
        FileError: a damaged file, or a pickle.
        DataError: another model's LoRA, incomplete or ill-shaped pairs, NaN or Inf.
    """
    file = read_tensor_file(path)
    name = format_of(file)
    lora = LORA_FORMATS.get(name)().read(file, mend_split_qkv)
    check_plausible(lora)
    if mend_split_qkv and not lora.thirds:
        warn("--mend-split-qkv has no effect: the file does not show the split-qkv defect")
    return lora, name


def write_lora(path: Path, to: LoraFormat, lora: Lora, written: Sequence[Written]) -> float:
    """Write a file and read it back; it appears under ``path`` only if every weight changes as ``lora`` says.

    Args:
        path: where to.
        to: its format.
        lora: what is converted.
        written: its modules as ``to`` arranges them, possibly truncated.

    Returns:
        The largest relative difference of a module that was not truncated.

    Raises:
        DataError: the file does not read back as what was meant.
    """
    state, header = to.spell(written, lora, path.stem)
    with atomic_path(path) as temporary:
        temporary.write_bytes(packed(state, header))
        copy = to.read(read_tensor_file(temporary), mend_split_qkv=False)
        copy.source = str(path)
        return verify(lora, copy, written)
