"""What a LoRA holds, in words: ranks and alphas, which layers, DoRA."""

import re
from collections import Counter
from collections.abc import Iterable

from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.dora import Divisor

RULES: dict[Divisor, str] = {
    "changed": "row lengths over the norms of the changed weight, as PEFT and LyCORIS have it",
    "base": "row lengths over the norms of the base weight, as ComfyUI has it",
}


def ranks_in_words(lora: Lora) -> str:
    """How many modules have which rank and alpha, the commonest first: "8 of rank 4 (alpha 6), 1 of rank 2 (alpha 6)"."""
    found = Counter((factors.rank, f"{factors.alpha:.4g}") for factors in lora.modules.values())
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count} of rank {rank} (alpha {alpha})" for (rank, alpha), count in ordered)


def described(lora: Lora, form: str, titles: dict[str, str]) -> list[str]:
    """Lines about a LoRA.

    Args:
        lora: the LoRA.
        form: name of its file's format.
        titles: parts of a base, and what they are called.
    """
    lines = [f"format {form}; {len(lora.modules)} modules, q, k and v apart: {ranks_in_words(lora)}"]
    for part, title in titles.items():
        names = [name.removeprefix(f"{part}.") for name in lora.modules if name.startswith(f"{part}.")]
        if names:
            lines.append(f"changes {len(names)} modules of {title}: {_places(names)}")
    for over, rule in RULES.items():
        count = len(lora.with_dora(over))
        if count:
            lines.append(f"DoRA in {count} of {len(lora.modules)} modules: {rule}")
    return lines


def _places(names: list[str]) -> str:
    """Kinds of layers with the blocks that they are in; layers outside of blocks by their names."""
    blocks: dict[str, list[int]] = {}
    outside = []
    for name in names:
        found = re.fullmatch(r"(?:.*\.)?(?:transformer_blocks|layers|block)\.(\d+)\.(.+)", name)
        if found is None:
            outside.append(name)
        else:
            blocks.setdefault(found[2], []).append(int(found[1]))
    same: dict[str, list[str]] = {}
    for kind, numbers in blocks.items():
        same.setdefault(_ranges(numbers), []).append(kind)
    listed = [f"{', '.join(sorted(kinds))} in blocks {numbers}" for numbers, kinds in same.items()]
    return "; ".join([*listed, *([", ".join(outside)] if outside else [])])


def _ranges(numbers: Iterable[int]) -> str:
    """0, 1, 2 and 5 as "0-2, 5"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)
