"""The split-qkv defect of the published trainer: files in which q, k and v have a third of the effect they were trained with.

With ``split_qkv=True`` (kohya-ss/sd-scripts issue 2204, also in its fork that the published code trains with) q, k and v have
factors of rank r each and are trained with the scale alpha / r. They are saved as one pair of rank 3 r with the same alpha,
and every program reads that pair with the scale alpha / (3 r).
"""

import json
from collections.abc import Mapping

import torch

from geodiff_sar.model.lora_formats.canonical import Factors


def has_a_third(fused: Factors, metadata: Mapping[str, str]) -> bool:
    """Whether a fused pair shows the defect.

    ``up`` has to be block-diagonal, three blocks of a third of the columns each; and the header has to say that q, k and v
    were split, or that the rank of the training was a third of this one. A pair whose alpha is no longer the training's has
    been mended.

    Args:
        fused: the pair as it is in the file.
        metadata: texts of the file's header.
    """
    rank = fused.rank
    if rank % 3 or fused.up.shape[0] % 3 or not _block_diagonal(fused.up.flatten(1)):
        return False
    dim, alpha = _number(metadata.get("ss_network_dim")), _number(metadata.get("ss_network_alpha"))
    if not _says_split(metadata) and dim != rank // 3:
        return False
    return alpha is None or abs(fused.alpha - alpha) <= 1e-2 * abs(alpha)


def mended(fused: Factors) -> Factors:
    """The pair with the scale it was trained with: alpha / r instead of alpha / (3 r)."""
    return Factors(fused.down, fused.up, 3.0 * fused.scale, fused.dora)


def _block_diagonal(up: torch.Tensor) -> bool:
    blocks = [row.chunk(3, dim=1) for row in up.chunk(3, dim=0)]
    outside = (blocks[row][column] for row in range(3) for column in range(3) if row != column)
    return not any(bool(block.any()) for block in outside)


def _says_split(metadata: Mapping[str, str]) -> bool:
    try:
        arguments = json.loads(metadata.get("ss_network_args", "{}"))
    except (json.JSONDecodeError, RecursionError):
        return False
    return isinstance(arguments, dict) and str(arguments.get("split_qkv")) == "True"


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:  # sd-scripts writes "None" or "Dynamic" for some kinds of network
        return None
