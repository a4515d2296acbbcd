"""Packages that are needed for some options only."""

import importlib
from types import ModuleType

from geodiff_sar.core.errors import OptionError


def require(module: str, package: str, option: str, value: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: what is imported.
        package: what pip calls it.
        option: the option that asks for it, and its ``value``, for the message.

    Raises:
        OptionError: it is not there; says how to install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise OptionError(
            option, repr(value), f"needs the package {package} ({error})", f"pip install {package}"
        ) from error
