"""One matrix for q, k and v, or three: fusing at the lowest rank that is exact, and taking apart again."""

from collections.abc import Sequence
from functools import reduce

import torch

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.canonical import Factors


def fuse(parts: Sequence[Factors | None], name: str, source: str) -> Factors:
    """Factors of the matrix whose thirds are q, k and v.

    Equal down factors are shared: three equal ones give the rank they had. Others are stacked, each with its own columns of
    ``up``: three different ones give the sum of their ranks, with ``up`` block-diagonal.

    Args:
        parts: of q, k and v; None: not adapted, its rows become zeros.
        name, source: for messages.

    Raises:
        DataError: shapes that differ, or DoRA of some of the three only or of two kinds.
    """
    present = [part for part in parts if part is not None]
    first = present[0]
    shapes = {(part.down.shape[1], part.up.shape[0]) for part in present}
    doras = [part.dora for part in present if part.dora is not None]
    if len(shapes) > 1 or any(part.down.ndim != 2 for part in present):
        raise DataError(
            source,
            f"q, k and v of '{name}' have shapes {sorted(shapes)} (in, out)",
            "q, k and v have the same shape",
            "write the file again with the program it comes from",
        )
    if doras and (len(doras) < 3 or len({dora.over for dora in doras}) > 1):
        kinds = "" if len(doras) < 3 else ", of two kinds"
        raise DataError(
            source,
            f"'{name}' has DoRA magnitudes for {len(doras)} of q, k and v{kinds}",
            "one matrix holds q, k and v, so all or none have them, of one kind",
            "convert to diffusers, which keeps them apart",
        )
    downs = _distinct(present)
    starts = [sum(down.shape[0] for down in downs[:number]) for number in range(len(downs) + 1)]
    rows = first.up.shape[0]
    ups = [None if part is None else _rescaled(part, first.scale) for part in parts]
    dtype = reduce(torch.promote_types, (up.dtype for up in ups if up is not None))
    fused = torch.zeros(3 * rows, starts[-1], dtype=dtype)
    for third, (part, up) in enumerate(zip(parts, ups, strict=True)):
        if part is not None and up is not None:
            place = next(number for number, down in enumerate(downs) if torch.equal(down, part.down))
            fused[third * rows : (third + 1) * rows, starts[place] : starts[place + 1]] = up
    dora = doras[0].of(torch.cat([dora.magnitude for dora in doras])) if doras else None
    return Factors(torch.cat(downs), fused, first.scale, dora)


def take_apart(fused: Factors) -> tuple[Factors | None, Factors | None, Factors | None] | None:
    """Factors of q, k and v; None in place of one that is not changed while another is; None if rows are no multiple of 3.

    Columns of ``up`` that are zero in a third contribute nothing to it: they are left out, so a block-diagonal fusion comes
    apart into the three factors that it was made of.
    """
    if fused.up.shape[0] % 3 or fused.down.ndim != 2:
        return None
    thirds = fused.up.chunk(3, dim=0)
    dora = fused.dora
    doras = (None, None, None) if dora is None else tuple(dora.of(third) for third in dora.magnitude.chunk(3, dim=0))
    untrained = not bool(fused.up.any())
    apart: list[Factors | None] = []
    for up, own in zip(thirds, doras, strict=True):
        used = (up != 0).any(dim=0)
        if untrained or bool(used.all()) or (own is not None and not bool(used.any())):
            apart.append(Factors(fused.down, up.contiguous(), fused.scale, own))
        elif bool(used.any()):
            apart.append(Factors(fused.down[used], up[:, used].contiguous(), fused.scale, own))
        else:
            apart.append(None)
    return apart[0], apart[1], apart[2]


def _distinct(parts: Sequence[Factors]) -> list[torch.Tensor]:
    downs: list[torch.Tensor] = []
    for part in parts:
        if not any(torch.equal(part.down, down) for down in downs):
            downs.append(part.down)
    return downs


def _rescaled(part: Factors, scale: float) -> torch.Tensor:
    """``up`` for another scale of the whole; float32 where the number format would round it."""
    if part.scale == scale:
        return part.up
    exact = part.up.double() * (part.scale / scale)
    rounded = exact.to(part.up.dtype)
    return rounded if torch.equal(rounded.double(), exact) else exact.float()
