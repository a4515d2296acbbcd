"""Registries: a variant is one class in one file of a package, found by its name."""

import importlib
import pkgutil
from collections.abc import Callable
from typing import Generic, TypeVar

from geodiff_sar.core.errors import OptionError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names of one kind of thing, filled by the modules of one package.

    Args:
        kind: what the things are, in the singular, for messages ("fusion method").
        option: the option that names one, for messages ("fusion.method").
        package: dotted package whose modules register themselves when imported.
    """

    def __init__(self, kind: str, option: str, package: str):
        self.kind, self.option, self.package = kind, option, package
        self._items: dict[str, T] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that files a class or function under ``name``."""

        def add(item: T) -> T:
            if name in self._items:
                raise RuntimeError(f"{self.kind} '{name}' is registered twice")
            self._items[name] = item
            return item

        return add

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load()
        return sorted(self._items)

    def get(self, name: str) -> T:
        """The thing called ``name``; an unknown name is an OptionError that lists the known ones."""
        self._load()
        if name not in self._items:
            raise OptionError(self.option, repr(name), f"a {self.kind}: {', '.join(self.names())}", "choose one")
        return self._items[name]

    def _load(self) -> None:
        if self._loaded:
            return
        package = importlib.import_module(self.package)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self.package}.{module.name}")
        self._loaded = True
