"""Typed options: the base class, reading TOML with ``key=value`` overrides, writing it back."""

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import atomic_write_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

import tomli_w


class Options(BaseModel):
    """Base of every options class: frozen, unknown keys forbidden, non-finite numbers forbidden.

    Attributes:
        remedy: what a message about wrong keys advises; classes that a command reads name where the keys are listed.
    """

    remedy: ClassVar[str] = "correct these keys"

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, protected_namespaces=()
    )


OptionsT = TypeVar("OptionsT", bound=Options)


def _plain_name(name: str) -> str:
    if re.search(r"[/\\\x00-\x1f]", name) or name.strip() in ("", ".", ".."):
        raise ValueError("must be a plain name, without folders")
    return name


PlainName = Annotated[str, AfterValidator(_plain_name)]
"""A name that becomes part of a file name: nothing in it leads to another folder."""


def parse_options(cls: type[OptionsT], data: Mapping[str, Any], source: str) -> OptionsT:
    """Validate ``data`` as ``cls``; a mistake becomes one OptionError that lists every wrong key.

    Args:
        cls: the options class.
        data: nested mapping as read from TOML.
        source: file or command that the data came from, named in the message.
    """
    try:
        return cls.model_validate(data)
    except ValidationError as error:
        raise _option_error(cls, error, source) from None


def read_toml(path: Path, option: str = "--config") -> dict[str, Any]:
    """Read a TOML file, given to ``option``; a missing or malformed one is a FileError naming line and column."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FileError(path, "no such file", "a readable TOML file", f"check the path given to {option}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(path, f"cannot be read ({error})", "a UTF-8 text file", "check the file") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FileError(path, f"is not valid TOML: {error}", "TOML 1.0", "correct the line named above") from None


def load_options(cls: type[OptionsT], path: Path | None, overrides: Iterable[str] = ()) -> OptionsT:
    """Read options from a TOML file (or defaults only) and apply ``key.sub=value`` overrides; see read_settings.

    Override values are read as TOML (``3``, ``1e-4``, ``true``, ``[128, 128]``, ``"text"``); a value that is not TOML is
    taken as a string.
    """
    data, source = read_settings(path) if path is not None else ({}, "")
    texts = list(overrides)
    sources = [*([source] if source else []), *(["--set"] if texts else [])]
    return parse_options(cls, apply_overrides(data, texts), " with ".join(sources) or "options")


def read_settings(path: Path) -> tuple[dict[str, Any], str]:
    """Read a TOML file given to ``--config``: what is in it, and how messages name where it came from.

    ``extends = "other.toml"``, beside the file, begins with the settings of another file: tables are merged, everything else
    takes the place of what was there.
    """
    data, files = _extended(path, ())
    return data, ", which extends ".join(str(file) for file in files)


def _extended(path: Path, before: tuple[Path, ...]) -> tuple[dict[str, Any], list[Path]]:
    data = read_toml(path, f"extends in {before[-1].name}" if before else "--config")
    name = data.pop("extends", None)
    if name is None:
        return data, [path]
    if not isinstance(name, str):
        raise FileError(path, f"extends = {name!r}", "the name of a file", 'write extends = "other.toml"')
    other = path.parent / name
    chain = [file.resolve() for file in (*before, path)]
    if other.resolve() in chain:
        raise FileError(path, f'extends = "{name}", which extends this file', "a chain with an end", "leave one out")
    base, files = _extended(other, (*before, path))
    return _merged(base, data), [path, *files]


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        result[key] = _merged(old, value) if both else value  # pyright: ignore[reportArgumentType]
    return result


def apply_overrides(data: Mapping[str, Any], overrides: Iterable[str], option: str = "--set") -> dict[str, Any]:
    """Copy of ``data`` with ``a.b=value`` texts, given to ``option``, applied; see load_options."""
    result = _copy(data)
    for text in overrides:
        key, sign, raw = text.partition("=")
        parts = key.strip().split(".")
        if not sign or not all(re.fullmatch(r"[A-Za-z0-9_\-]+", part) for part in parts):
            rule = "KEY=VALUE with KEY like train.max_steps" if option == "--set" else "KEY=VALUE"
            raise OptionError(option, repr(text), rule, f"write {option} key=value")
        node = result
        for part in parts[:-1]:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise OptionError(option, repr(text), f"'{part}' is a value, not a table", "name a key inside a table")
        node[parts[-1]] = _parse_value(raw.strip())
    return result


def dump_toml(options: BaseModel) -> str:
    """The resolved options as TOML text; keys whose value is None are left out."""
    return tomli_w.dumps(_without_none(options.model_dump(mode="json")))


def write_toml(path: Path, options: BaseModel) -> None:
    """Write ``dump_toml(options)`` atomically."""
    atomic_write_text(path, dump_toml(options))


def flat_settings(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every setting of nested tables by its dotted name; those that are None are left out."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            result |= flat_settings(item, f"{prefix}{key}.")
        elif item is not None:
            result[f"{prefix}{key}"] = item
    return result


def _parse_value(raw: str) -> Any:
    try:
        return tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        return raw


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return value


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


def _option_error(cls: type[Options], error: ValidationError, source: str) -> OptionError:
    problems = []
    errors = error.errors(include_url=False)
    for item in errors:
        if item["type"] == "too_short" and any(other["loc"][:-1] == item["loc"] for other in errors):
            continue  # the list is short of the entries that are wrong, and those are named
        key = ".".join(str(part) for part in item["loc"]) or cls.__name__
        if item["type"] == "extra_forbidden":
            problems.append(f"unknown key '{key}'{_suggestion(cls, item['loc'])}")
        elif item["type"] == "missing":
            problems.append(f"the key '{key}' is missing")
        else:
            problems.append(f"{key} = {shorten(item['input'])}: {item['msg'].removeprefix('Value error, ')}")
    return OptionError(
        source,
        "; ".join(problems),
        "every key is known and every value within its range",
        cls.remedy,
    )


def shorten(value: Any, limit: int = 160) -> str:
    """``repr(value)`` cut to ``limit`` characters, for messages."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]} ..."


def _suggestion(cls: type[BaseModel], location: tuple[int | str, ...]) -> str:
    import difflib

    node: Any = cls
    for part in location[:-1]:
        info = node.model_fields.get(str(part)) if isinstance(node, type) and issubclass(node, BaseModel) else None
        node = info.annotation if info is not None else None
    if not (isinstance(node, type) and issubclass(node, BaseModel)):
        return ""
    close = difflib.get_close_matches(str(location[-1]), list(node.model_fields), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
