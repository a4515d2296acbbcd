"""Whether a written file changes every weight as its source does."""

import math
from collections.abc import Sequence

import torch

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.base import Written
from geodiff_sar.model.lora_formats.canonical import Factors, Lora

EXACT = 1e-6
"""Largest relative Frobenius difference that counts as equal: alphas and rescaled factors are rounded to float32."""

AS_STATED = 1e-5
"""How far the error of a truncation may be from the one that was stated."""


def verify(source: Lora, copy: Lora, written: Sequence[Written]) -> float:
    """Compare the weight changes of ``copy``, read back from a file, with those of ``source``, module by module.

    Args:
        source: what was converted.
        copy: what a reader finds in the file.
        written: the modules of the file, with the errors that were stated.

    Returns:
        The largest relative difference of a module that was not truncated.

    Raises:
        DataError: a module differs by more than rounding, or by another error than was stated.
    """
    groups = [(module.parts, module.error) for module in written]
    listed = {name for parts, _ in groups for name in parts}
    groups += [((name,), 0.0) for name in copy.modules if name not in listed]
    missed = [name for name in source.modules if name not in listed]
    if missed:
        raise _differs(copy, missed[0], "is not written")
    worst = 0.0
    for parts, stated in groups:
        if stated:
            found = _difference(source, copy, parts)
            if abs(found - stated) > AS_STATED:
                raise _differs(copy, parts[0], f"differs by {found:.3g} where {stated:.3g} was stated")
            continue
        for name in parts:
            found = _difference(source, copy, (name,))
            if not found <= EXACT:
                raise _differs(copy, name, f"differs by {found:.3g} of its size")
            ours, theirs = _magnitude(source, name), _magnitude(copy, name)
            if (ours is None) != (theirs is None) or (ours is not None and not torch.equal(ours, _like(theirs, ours))):
                raise _differs(copy, name, "has other DoRA magnitudes")
            worst = max(worst, found)
    return worst


def _difference(source: Lora, copy: Lora, parts: Sequence[str]) -> float:
    """Relative Frobenius difference of the weight changes of some modules together."""
    size = difference = 0.0
    for name in parts:
        ours, theirs = source.modules.get(name), copy.modules.get(name)
        size += _product(ours, ours)
        difference += _product(ours, ours) - 2 * _product(ours, theirs) + _product(theirs, theirs)
    if not math.isfinite(difference) or size == 0.0:
        return 0.0 if difference == 0.0 else math.inf
    return math.sqrt(max(difference, 0.0) / size)


def _product(one: Factors | None, other: Factors | None) -> float:
    """Sum of the products of the entries of two weight changes: ``<B A, D C> = sum((B^T D) * (A C^T))``, so that no matrix of
    full size is formed."""
    if one is None or other is None:
        return 0.0
    (up, down), (other_up, other_down) = one.matrices(), other.matrices()
    if up.shape[0] != other_up.shape[0] or down.shape[1] != other_down.shape[1]:
        return math.nan
    return float(((up.T @ other_up) * (down @ other_down.T)).sum())


def _magnitude(lora: Lora, name: str) -> torch.Tensor | None:
    return lora.modules[name].magnitude if name in lora.modules else None


def _like(tensor: torch.Tensor | None, other: torch.Tensor) -> torch.Tensor:
    return torch.empty(0) if tensor is None else tensor.to(other.dtype)


def _differs(copy: Lora, name: str, found: str) -> DataError:
    return DataError(
        copy.source,
        f"'{name}' {found}; nothing was kept",
        "a converted file changes every weight as its source does",
        "report this with the header of the source file: it is a mistake of this program",
    )
