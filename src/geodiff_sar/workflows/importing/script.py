"""The settings of a training script in PowerShell: variables, environment variables, and options that it always passes on.

Blocks (``if``, ``foreach``, ``try``) are not followed: what the published script does in them is known, and is part of the
meaning of its settings (``published``).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import read_text
from geodiff_sar.workflows.importing.expressions import NotPlain, evaluate
from geodiff_sar.workflows.importing.powershell import Statement, read_statements

_ASSIGNMENT = re.compile(
    r"(?:\[[\w.]+\]\s*)?\$\{?(?P<name>(?:env:)?\w+)\}?\s*(?P<sign>\+?=)\s*(?P<value>.+)", re.I | re.S
)
_ADD = re.compile(r"(?:\[void\]\s*)?\$(?P<name>\w+)\.Add\((?P<value>.*)\)(?:\s*\|\s*Out-Null)?", re.I | re.S)
_OPTION = re.compile(r"--(?P<name>[A-Za-z]\w*)(?:=(?P<value>\"[^\"]*\"|'[^']*'|\S*))?")
_LAUNCH = re.compile(r"(?:&\s*)?(?:python\S*|accelerate)\s", re.I)


@dataclass(frozen=True)
class Setting:
    """One setting of a script.

    Attributes:
        shown: its name as the script writes it: ``$name``, ``$Env:NAME`` or ``--name``.
        value: its value; None where it is not plain.
        line: where it stands.
        plain: False where the value is an expression that only PowerShell could evaluate.
    """

    shown: str
    value: Any
    line: int
    plain: bool = True


@dataclass(frozen=True)
class Script:
    """What a script says.

    Attributes:
        path: the file.
        settings: by name in lower case: ``name`` of variables and options, ``env:name`` of environment variables.
        inside: names set in blocks, with the line.
        read: names of variables that the script reads other than to set an unconditional variable.
    """

    path: Path
    settings: dict[str, Setting] = field(default_factory=dict)
    inside: dict[str, int] = field(default_factory=dict)
    read: frozenset[str] = frozenset()


def read_script(path: Path, aliases: Mapping[str, str]) -> Script:
    """Read a script; of a setting that is set twice, the last one counts.

    Args:
        path: the file.
        aliases: option that the script passes on -> variable that stands for it, where the names differ.

    Raises:
        FileError: it cannot be read as a script, or sets nothing.
    """
    if path.suffix.lower() != ".ps1":
        raise FileError(path, f"ends with {path.suffix!r}", "a PowerShell script, .ps1", "give the training script")
    statements = read_statements(read_text(path, "a PowerShell script"), path)
    script = Script(path, read=frozenset(_names_read(statements)))
    values: dict[str, Any] = {}
    for statement in statements:
        assigned = _ASSIGNMENT.fullmatch(statement.text)
        if assigned and statement.depth:
            script.inside.setdefault(assigned["name"].lower(), statement.line)
        elif assigned:
            _assign(script, values, assigned, statement)
        elif not statement.depth:
            _take_options(script, values, statement, aliases)
    if not script.settings:
        raise FileError(path, "sets no variable", "a training script with lines $name = value", "give another file")
    return script


def _assign(script: Script, values: dict[str, Any], assigned: re.Match[str], statement: Statement) -> None:
    name = assigned["name"].lower()
    shown = "$" + assigned["name"]
    expression = f"${assigned['name']} + ({assigned['value']})" if assigned["sign"] == "+=" else assigned["value"]
    try:
        value = evaluate(expression, values)
    except NotPlain:
        values.pop(name, None)
        script.settings[name] = Setting(shown, assigned["value"], statement.line, plain=False)
        return
    values[name] = value
    script.settings[name] = Setting(shown, value, statement.line)


def _take_options(script: Script, values: dict[str, Any], statement: Statement, aliases: Mapping[str, str]) -> None:
    """Options of an unconditional ``.Add("--name=value")``, or of the line that starts the training."""
    added = _ADD.fullmatch(statement.text)
    if added:
        try:
            text = str(evaluate(added["value"], values))
        except NotPlain:
            text = added["value"].strip("\"'")
        own = f"${added['name']}.Add({added['value']})"
        options = [_OPTION.fullmatch(text)]
        if options[0] is None:
            script.settings[own.lower()] = Setting(own, text, statement.line)
            return
    elif _LAUNCH.match(statement.text):
        options = list(_OPTION.finditer(statement.text))
    else:
        return
    for option in options:
        assert option is not None
        raw = option["value"]
        passed = re.fullmatch(r"\$\{?(\w+)\}?", raw or "")
        if passed and passed[1].lower() in script.settings:
            continue  # hands a variable on
        name = aliases.get(option["name"].lower(), option["name"].lower())
        script.settings[name] = _option(f"--{option['name']}", raw, values, statement.line)


def _option(shown: str, raw: str | None, values: dict[str, Any], line: int) -> Setting:
    if raw is None:
        return Setting(shown, 1, line)
    try:
        return Setting(shown, evaluate(raw, values), line)
    except NotPlain:
        return Setting(shown, raw, line, plain="$" not in raw)


def _names_read(statements: list[Statement]) -> set[str]:
    names: set[str] = set()
    for statement in statements:
        assigned = _ASSIGNMENT.fullmatch(statement.text)
        if assigned and not statement.depth:
            continue
        text = assigned["value"] if assigned else statement.text
        names |= {name.lower() for name in re.findall(r"\$\{?((?:env:)?\w+)", text, flags=re.IGNORECASE)}
    return names
