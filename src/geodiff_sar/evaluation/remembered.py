"""What several metrics need of the same chips is computed once."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.data.chip_set import ChipSet

T = TypeVar("T")


class Remembered(Generic[T]):
    """The last ``size`` results by key; metrics run row by row, so that a few suffice.

    Args:
        size: results kept; the one used longest ago goes first.
    """

    def __init__(self, size: int):
        self._size = size
        self._items: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """The result under ``key``, made now unless it is remembered."""
        if key not in self._items:
            self._items[key] = make()
            while len(self._items) > self._size:
                self._items.popitem(last=False)
        self._items.move_to_end(key)
        return self._items[key]


def content_key(*sets: ChipSet, options: object = "") -> str:
    """Hash of everything in chip sets that a measurement may depend on, and of ``options`` by its text."""
    parts = [repr(options).encode()]
    for chips in sets:
        parts += [
            chips.fingerprint.encode(),
            chips.depression_deg.tobytes(),
            repr((chips.ids, chips.serial, chips.remap, chips.grid, chips.priors)).encode(),
            b"" if chips.masks is None else sha256_bytes(chips.masks.tobytes()).encode(),
        ]
    return sha256_bytes(*parts)
