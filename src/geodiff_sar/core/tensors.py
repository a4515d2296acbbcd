"""Comparing named tensors with those that are wanted. Loads no heavy library."""

from collections.abc import Mapping
from typing import Any


def mismatch(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    """What of ``found`` is missing, unexpected or of another shape, in words; empty when all is as wanted.

    Args:
        wanted, found: by name, tensors (compared by their ``shape``) or shapes.
    """

    def shape(value: Any) -> tuple[int, ...]:
        return tuple(getattr(value, "shape", value))

    kinds = {
        "missing": wanted.keys() - found.keys(),
        "unexpected": found.keys() - wanted.keys(),
        "of another shape": {key for key in wanted.keys() & found.keys() if shape(wanted[key]) != shape(found[key])},
    }
    return ", ".join(f"{len(keys)} tensors {kind} {sorted(keys)[:3]}" for kind, keys in kinds.items() if keys)
