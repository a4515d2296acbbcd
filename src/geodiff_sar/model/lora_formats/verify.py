"""Whether a written file changes every weight as its source does.

Without DoRA the changes themselves are compared. What a DoRA does depends on the base weight, so both are applied to one,
each by the rule of its own format, and the changed weights are compared. That base is random, with as many rows as the layer
has, each about as long as the change: beside much longer ones, the row norms of base and changed weight could not be told
apart.
"""

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

OUTSIDE = 8
"""Directions of a random base weight outside the span of the change."""


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
            worst = max(worst, found)
            found = _dora_difference(source.modules.get(name), copy.modules.get(name))
            if not found <= EXACT:
                raise _differs(copy, name, f"with its DoRA changes a base weight to one that differs by {found:.3g}")
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


def _dora_difference(ours: Factors | None, theirs: Factors | None) -> float:
    """Relative Frobenius difference of what a random base weight becomes by two modules; 0 where neither has DoRA.

    Norms of rows are the same in every orthonormal basis of the columns, and both changes lie in the span of the rows of
    their ``down``: so a basis of that span, and some directions outside of it for the base, stand for all columns.
    """
    present = [factors for factors in (ours, theirs) if factors is not None]
    if all(factors.dora is None for factors in present):
        return 0.0
    basis, _ = torch.linalg.qr(torch.cat([factors.matrices()[1] for factors in present]).T)
    base = _trial_weight(present[0], basis.shape[1] + OUTSIDE)
    wanted, found = (base if factors is None else _changed(factors, base, basis) for factors in (ours, theirs))
    return float((found - wanted).norm() / wanted.norm())


def _trial_weight(factors: Factors, columns: int) -> torch.Tensor:
    """A random base weight for a layer, (out, columns) in float64, the same at every call.

    Entries are normal. Each row has another length, between half and twice that of the change's rows in the mean, so that
    every rule of DoRA gives another weight.
    """
    rows, generator = factors.up.shape[0], torch.Generator().manual_seed(0)
    length = math.sqrt(_product(factors, factors) / rows) or 1.0
    base = torch.randn(rows, columns, generator=generator).double() * (length / math.sqrt(columns))
    return base * torch.exp2(2 * torch.rand(rows, 1, generator=generator).double() - 1)


def _changed(factors: Factors, base: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """What a base weight becomes, given in a basis (columns, size) of the span of ``down`` and directions outside of it."""
    up, down = factors.matrices()
    delta = torch.nn.functional.pad(up @ (down @ basis), (0, OUTSIDE))
    return base + delta if factors.dora is None else factors.dora.applied(base, delta)


def _differs(copy: Lora, name: str, found: str) -> DataError:
    return DataError(
        copy.source,
        f"'{name}' {found}; nothing was kept",
        "a converted file changes every weight as its source does",
        "report this with the header of the source file: it is a mistake of this program",
    )
