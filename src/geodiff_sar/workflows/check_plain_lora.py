"""What a LoRA file without a record holds, and whether a base takes it as `generate` would."""

from pathlib import Path

from geodiff_sar.core.errors import GeodiffError
from geodiff_sar.model.base_parts import BaseSource
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.describe import described
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.lora_formats.placed import require_fit
from geodiff_sar.model.part_size import TITLES
from geodiff_sar.model.text_lora import text_parts


def check_plain_lora(path: Path, source: BaseSource, with_t5: bool) -> tuple[list[str], list[str]]:
    """Read a LoRA file, every tensor of it, and compare it with a base.

    Args:
        path: file of any known format, or what is taken for one.
        source: the base, whose weights are not loaded.
        with_t5: whether T5 is used.

    Returns:
        Lines about what it holds, none where it cannot be read; and what is wrong with it.
    """
    try:
        lora, form = read_lora(path)
    except GeodiffError as error:
        return [], [str(error)]
    notes = [f"{path.name}: a LoRA without a record, nothing but the text conditions it"]
    notes += [f"{path.name}: {line}" for line in described(lora, form, TITLES)]
    if lora.thirds:
        notes.append(
            f"{path.name}: q, k and v of {len(lora.thirds)} attentions show the split-qkv defect of their trainer;"
            " --mend-split-qkv of `generate` and `convert-lora` mends it"
        )
    try:
        _require_fit_everywhere(lora, source, with_t5)
    except GeodiffError as error:
        return notes, [str(error)]
    return notes, []


def _require_fit_everywhere(lora: Lora, source: BaseSource, with_t5: bool) -> None:
    for part in ("transformer", *text_parts(lora, "whole" if with_t5 else "none")):
        require_fit(source.empty(part), lora, part, TITLES[part])
