"""Reading sd-scripts' dataset configuration: a subset's setting wins over its data set's, that over [general]."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geodiff_sar.core.config import read_toml, shorten
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json
from geodiff_sar.data.dataset_config.keys import DATASET, GENERAL, KEYS, SUBSET

OPTION = "data.dataset_config"


@dataclass(frozen=True)
class Subset:
    """One folder of chips.

    Attributes:
        where: its place in the file, for messages.
        stated: settings that the file states for it, by the table they stand in or inherited.
        settings: every setting: stated, from the run's configuration, or sd-scripts' default.
    """

    where: str
    stated: dict[str, Any]
    settings: dict[str, Any]


@dataclass(frozen=True)
class DescribedSet:
    """Subsets that share batch size and picture sizes; attributes as those of Subset."""

    where: str
    stated: dict[str, Any]
    settings: dict[str, Any]
    subsets: list[Subset]


def read_dataset_config(path: Path, fallback: Mapping[str, Any]) -> list[DescribedSet]:
    """The data sets of a TOML (or JSON) file.

    Args:
        path: the file.
        fallback: settings under sd-scripts' names that count where the file states none, as its command line does.

    Raises:
        FileError: missing or malformed.
        OptionError: an unknown key, a key in a table where it may not stand, or a value of another kind.
    """
    data = read_json(path) if path.suffix == ".json" else read_toml(path, OPTION)
    if not isinstance(data, dict):
        raise FileError(path, f"holds {shorten(data)}", "a table with [[datasets]]", "see docs/formats.md")
    for key in data:
        if key not in ("general", "datasets"):
            known = f"'{key}' is a setting of {' and '.join(KEYS[key].tables)}" if key in KEYS else "unknown"
            raise OptionError(
                path,
                f"{key} = {shorten(data[key])} at the top of the file",
                f"{GENERAL} and {DATASET} stand there; {known}",
                "move it into one of these tables, or remove it",
            )
    general = _table(path, data.get("general", {}), GENERAL, GENERAL)
    return [
        _described_set(path, entry, f"data set {number}", general, fallback)
        for number, entry in enumerate(_tables(path, data.get("datasets"), DATASET), start=1)
    ]


def _described_set(
    path: Path, entry: Any, where: str, general: dict[str, Any], fallback: Mapping[str, Any]
) -> DescribedSet:
    if not isinstance(entry, dict):
        raise OptionError(path, f"{where} is {shorten(entry)}", f"{DATASET} is a table", "write it as a table")
    own = _table(path, {key: value for key, value in entry.items() if key != "subsets"}, DATASET, where)
    stated = {**general, **own}
    subsets = []
    for number, table in enumerate(_tables(path, entry.get("subsets"), SUBSET, where), start=1):
        place = f"subset {number} of {where}"
        inner = {**stated, **_table(path, table, SUBSET, place)}
        subsets.append(Subset(place, inner, complete_settings(inner, fallback)))
    described = ["metadata_file" in subset.stated for subset in subsets]
    if any(described) and not all(described):
        raise OptionError(
            path,
            f"{where} holds subsets with a metadata_file and without one",
            "all subsets of a data set, or none, have a metadata_file",
            f"put them into a {DATASET} of their own",
        )
    return DescribedSet(where, stated, complete_settings(stated, fallback), subsets)


def complete_settings(stated: Mapping[str, Any], fallback: Mapping[str, Any]) -> dict[str, Any]:
    """Every setting: as stated, else from ``fallback``, else sd-scripts' default."""
    defaults = {name: key.default for name, key in KEYS.items()}
    return {**defaults, **fallback, **stated}


def _tables(path: Path, value: Any, name: str, where: str = "the file") -> list[Any]:
    if not isinstance(value, list) or not value:
        found = "states none" if value is None else f"has {shorten(value)}"
        raise OptionError(path, f"{where} {found}", f"at least one {name}", f"add {name}")
    return value


def _table(path: Path, value: Any, table: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OptionError(path, f"{where} is {shorten(value)}", f"{table} is a table", "write it as a table")
    for name, item in value.items():
        key = KEYS.get(name)
        if key is None:
            close = difflib.get_close_matches(name, KEYS, n=1)
            raise OptionError(
                path,
                f"{where}: {name} = {shorten(item)}",
                "keys are those of sd-scripts' dataset configuration (docs/formats.md)",
                f"write '{close[0]}', or remove it" if close else "correct or remove it",
            )
        if table not in key.tables:
            raise OptionError(
                path,
                f"{where}: {name} = {shorten(item)}",
                f"'{name}' is a setting of {' and '.join(key.tables)}",
                "move it there",
            )
        if not key.accepts(item):
            raise OptionError(path, f"{where}: {name} = {shorten(item)}", f"'{name}' is {key.words}", "correct it")
    return dict(value)
