"""Strengths that the published code reads from environment variables; here they set the defaults of options."""

import math
import os

from geodiff_sar.core.errors import OptionError


def env_float(name: str, default: float, low: float = -math.inf, high: float = math.inf) -> float:
    """The number in an environment variable, or the default where it is unset or blank.

    Args:
        name: the variable.
        default: value without it.
        low, high: the closed range allowed.

    Raises:
        OptionError: not a finite number, or out of the range. The published code clips some of these silently.
    """
    text = os.environ.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or not low <= value <= high:
        bounded = math.isfinite(low) or math.isfinite(high)
        rule = f"a number from {low} to {high}" if bounded else "a finite number"
        raise OptionError(f"environment variable {name}", repr(text), rule, f"set {name}={default}, or unset it")
    return value
