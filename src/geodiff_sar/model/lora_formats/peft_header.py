"""The header text in which diffusers keeps PEFT's settings: rank, alpha and their exceptions by module.

``lora_adapter_metadata`` is JSON with the keys of PEFT's ``LoraConfig`` behind the part: ``transformer.r``.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.canonical import Factors

KEY = "lora_adapter_metadata"


class PeftSettings:
    """PEFT's settings of one file, by part.

    Raises:
        DataError: text that is not JSON, ranks or alphas that are not numbers, patterns that are not names.
    """

    def __init__(self, path: Path, text: str | None):
        self.path = path
        table = {} if text is None else _parsed(path, text)
        self.parts: dict[str, dict[str, Any]] = {}
        for key, value in table.items():
            part, dot, name = key.partition(".")
            known = part == "transformer" or part.startswith("text_encoder")
            self.parts.setdefault(part if dot and known else "transformer", {})[name if dot and known else key] = value

    def scale(self, name: str, rank: int) -> float | None:
        """Scale of the module ``<part>.<module>`` with factors of ``rank``; None where the header does not speak of its part.

        alpha / rank, or alpha / sqrt(rank) with ``use_rslora`` (peft.tuners.lora.layer: ``update_layer``).
        """
        part, _, module = name.partition(".")
        settings = self.parts.get(part)
        if settings is None or "r" not in settings:
            return None
        declared = self._number(settings, "rank_pattern", "r", module)
        if declared != rank:
            raise DataError(
                self.path,
                f"'{name}' has rank {rank}, the header says {declared:g}",
                "the header states the rank of every module",
                "write the file again with the program it comes from",
            )
        alpha = self._number(settings, "alpha_pattern", "lora_alpha", module, 8.0)
        return alpha / math.sqrt(rank) if settings.get("use_rslora") is True else alpha / rank

    def check_dora(self, name: str, has: bool) -> None:
        """Make sure that a module has DoRA magnitudes where the header says so, and only there.

        Args:
            name: ``<part>.<module>``.
            has: whether the file has magnitudes for it.

        Raises:
            DataError: the header says otherwise.
        """
        says = self.parts.get(name.partition(".")[0], {}).get("use_dora")
        if isinstance(says, bool) and says != has:
            raise DataError(
                self.path,
                f"'{name}' has {'' if has else 'no '}DoRA magnitudes, the header says use_dora = {str(says).lower()}",
                "PEFT has DoRA in all modules of a part or in none, as its header says",
                "write the file again with the program it comes from",
            )

    def _number(
        self, settings: Mapping[str, Any], pattern: str, key: str, module: str, default: float | None = None
    ) -> float:
        value = settings.get(key, default)
        exceptions = settings.get(pattern) or {}
        if not isinstance(exceptions, dict):
            raise self._wrong(f"{pattern} is {str(exceptions)[:80]!r}", "a table")
        for name, exception in exceptions.items():
            if self._fits(str(name), module):
                value = exception
                break
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value == 0:
            raise self._wrong(f"{key} of '{module}' is {str(value)[:80]!r}", "a finite number other than 0")
        return float(value)

    def _fits(self, pattern: str, module: str) -> bool:
        """As peft.utils.other.get_pattern_key for patterns that are names; a regular expression is refused, since one can be
        made to take for ever."""
        name = pattern.removeprefix("^").removesuffix("$").replace("\\.", ".")
        if not re.fullmatch(r"[\w.]+", name):
            raise self._wrong(f"has the pattern {pattern[:80]!r}", "patterns that are names of modules")
        return module == name or (not pattern.startswith("^") and module.endswith(f".{name}"))

    def _wrong(self, found: str, rule: str) -> DataError:
        return DataError(self.path, f"in '{KEY}' of the header: {found}", rule, "write the file again with PEFT")


def peft_tables(modules: Mapping[str, Factors]) -> dict[str, dict[str, Any]]:
    """Settings of each part for modules ``<part>.<module>``: the commonest rank and alpha, the others as exceptions.

    Scales become alpha / rank, whatever they were read from.
    """
    tables: dict[str, dict[str, Any]] = {}
    for part in sorted({name.partition(".")[0] for name in modules}):
        mine = {name.partition(".")[2]: factors for name, factors in modules.items() if name.startswith(f"{part}.")}
        alphas = {name: _plain(factors.alpha) for name, factors in sorted(mine.items())}
        rank = Counter(factors.rank for factors in mine.values()).most_common(1)[0][0]
        alpha = Counter(alphas.values()).most_common(1)[0][0]
        tables[part] = {
            "r": rank,
            "lora_alpha": alpha,
            "rank_pattern": {name: factors.rank for name, factors in sorted(mine.items()) if factors.rank != rank},
            "alpha_pattern": {name: value for name, value in alphas.items() if value != alpha},
            "target_modules": sorted(mine),
            "use_rslora": False,
            "use_dora": any(factors.dora is not None for factors in mine.values()),
        }
    return tables


def peft_header(modules: Mapping[str, Factors]) -> str:
    """The header text for modules ``<part>.<module>``."""
    tables = peft_tables(modules)
    flat = {f"{part}.{key}": value for part, table in tables.items() for key, value in table.items()}
    return json.dumps(flat, sort_keys=True)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        table = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise DataError(
            path,
            f"'{KEY}' of the header is not a JSON table",
            "PEFT's settings as JSON",
            "write the file again with PEFT",
        )
    return table


def _plain(number: float) -> int | float:
    """A whole number as such, where it is one but for rounding."""
    whole = round(number)
    return whole if abs(number - whole) <= 1e-9 * abs(number) else number
