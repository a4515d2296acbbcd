"""Whether the shapes of a LoRA can be those of one SD3 transformer, whatever its size."""

import re

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.canonical import Factors, Lora

SQUARE = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
MODULATIONS = {"norm1.linear": (6, 9), "norm1_context.linear": (2, 6)}
"""Rows for each column: shift, scale and gate of attention and feed-forward, and three more for a second attention; shift
and scale alone for the text of the last block (diffusers.models.normalization)."""

ENDED = ("attn.to_add_out", "ff_context.net.0.proj", "ff_context.net.2")
"""What the text has in every block but the last."""


def check_plausible(lora: Lora) -> None:
    """Compare the shapes of the transformer's modules with each other.

    Raises:
        DataError: a module whose shape cannot be that of an SD3 transformer of the width that the others have.
    """
    width = lora.width
    blocks: dict[int, dict[str, Factors]] = {}
    for name, factors in lora.modules.items():
        if found := re.fullmatch(r"transformer\.transformer_blocks\.(\d+)\.(.+)", name):
            blocks.setdefault(int(found[1]), {})[found[2]] = factors
    ended = [number for number, block in blocks.items() if _ratio(block, "norm1_context.linear") == 2]
    for number, block in blocks.items():
        for name, factors in block.items():
            rows, columns = factors.up.shape[0], factors.down.shape[1]
            width = columns if width is None and name in MODULATIONS else width
            if width is not None and not _fits(name, rows, columns, width):
                raise _bad(lora, f"block {number}: '{name}' is {rows} x {columns} where attention is {width} wide")
        surplus = [name for name in ENDED if name in block]
        if number in ended and (number != max(blocks) or surplus):
            raise _bad(
                lora,
                f"block {number} modulates the text as the last block does, but "
                + (f"has {surplus[0]}" if surplus else f"block {max(blocks)} follows"),
            )
        if _ratio(block, "norm1.linear") == 6 and any(name.startswith("attn2.") for name in block):
            raise _bad(lora, f"block {number} has a second attention, but a modulation for one")


def _fits(name: str, rows: int, columns: int, width: int) -> bool:
    if name in MODULATIONS:
        return columns == width and rows in [ratio * width for ratio in MODULATIONS[name]]
    if name.partition(".")[2] in SQUARE:
        return rows == width and columns == width
    return (rows if name.endswith("net.2") else columns) == width


def _ratio(block: dict[str, Factors], name: str) -> float | None:
    return block[name].up.shape[0] / block[name].down.shape[1] if name in block else None


def _bad(lora: Lora, found: str) -> DataError:
    return DataError(
        lora.source,
        found,
        "one width throughout, q, k, v and outputs square, and no text output in the last block, as in every SD3 transformer",
        "give a LoRA of Stable Diffusion 3 or 3.5",
    )
