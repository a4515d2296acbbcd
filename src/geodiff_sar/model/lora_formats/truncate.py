"""A LoRA of lower rank: the nearest one, and how near it is."""

import math
from dataclasses import replace

import torch

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.base import Written
from geodiff_sar.model.lora_formats.canonical import Factors


def truncated(module: Written, rank: int, source: str) -> Written:
    """The module at ``rank`` at most, with its error; unchanged where it has no more than that.

    Eckart and Young (1936): of all matrices of that rank the sum of the largest singular triples is nearest in the Frobenius
    norm, ``|dW - dW_r| / |dW| = sqrt(sum_{i>r} s_i^2 / sum_i s_i^2)``. They are found from the QR factors of ``up`` and
    ``down``, so the full matrix is never formed. Both new factors are float32 and carry the square root of the values.

    Raises:
        DataError: DoRA, whose magnitudes belong to the untruncated matrix.
    """
    if module.factors.rank <= rank:
        return module
    if module.factors.dora is not None:
        raise DataError(
            source, f"'{module.name}' is DoRA", "a DoRA keeps its rank", "convert without --rank, or train at that rank"
        )
    up, down = module.factors.matrices()
    left, r_left = torch.linalg.qr(up)
    right, r_right = torch.linalg.qr(down.T)
    u, values, vh = torch.linalg.svd(r_left @ r_right.T)
    total, lost = float((values**2).sum()), float((values[rank:] ** 2).sum())
    root = values[:rank].sqrt()
    new_up, new_down = (left @ u[:, :rank]) * root, root[:, None] * (vh[:rank] @ right.T)
    shape_up, shape_down = module.factors.up.shape, module.factors.down.shape
    factors = Factors(
        new_down.reshape(rank, *shape_down[1:]).float(), new_up.reshape(shape_up[0], rank, *shape_up[2:]).float(), 1.0
    )
    return replace(module, factors=factors, error=math.sqrt(lost / total) if total else 0.0)


def in_float32(module: Written) -> Written:
    """The module with its factors in float32."""
    factors = module.factors
    dora = None if factors.dora is None else factors.dora.of(factors.dora.magnitude.float())
    return replace(module, factors=Factors(factors.down.float(), factors.up.float(), factors.scale, dora))
