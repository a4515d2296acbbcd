"""Values of simple PowerShell expressions. Nothing is executed.

An expression is made of numbers, strings, $true, $false, $null, lists, other variables, and sums of these.
"""

import re
from collections.abc import Mapping
from typing import Any


class NotPlain(Exception):
    """An expression that only PowerShell could evaluate."""


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<double>"(?:`[\s\S]|""|[^"`])*") | (?P<single>'(?:''|[^'])*')
      | (?P<number>-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>\$(?:\{[\w:]+\}|[\w:]+)) | (?P<cast>\[(?:string|int|float|double|bool)\]) | (?P<mark>@\(|[(),+])
    )""",
    re.VERBOSE | re.IGNORECASE,
)
_EMPTY_LIST = re.compile(
    r"\[System\.Collections\.[\w.<>\[\]]+\]::new\(\)|New-Object\s+System\.Collections\.\w+", re.IGNORECASE
)
Tokens = list[tuple[str, str]]
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


def evaluate(expression: str, variables: Mapping[str, Any]) -> Any:
    """The value of an expression; variables go by their names in lower case.

    Raises:
        NotPlain: it needs PowerShell.
    """
    if _EMPTY_LIST.fullmatch(expression.strip()):
        return []
    tokens: Tokens = []
    at, text = 0, expression.strip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise NotPlain(text[at:])
        tokens.append((found.lastgroup, found[found.lastgroup]))
        at = found.end()
    value, left = _list(tokens, variables)
    if left:
        raise NotPlain(expression)
    return value


def _list(tokens: Tokens, variables: Mapping[str, Any]) -> tuple[Any, Tokens]:
    value, left = _sum(tokens, variables)
    if not left or left[0][1] != ",":
        return value, left
    values = [value]
    while left and left[0][1] == ",":
        value, left = _sum(left[1:], variables)
        values.append(value)
    return values, left


def _sum(tokens: Tokens, variables: Mapping[str, Any]) -> tuple[Any, Tokens]:
    value, left = _term(tokens, variables)
    while left and left[0][1] == "+":
        other, left = _term(left[1:], variables)
        if isinstance(value, str):
            value = value + _text(other)
        elif isinstance(value, list):
            value = [*value, *(other if isinstance(other, list) else [other])]
        elif _is_number(value) and _is_number(other):
            value = value + other
        else:
            raise NotPlain("+")
    return value, left


def _term(tokens: Tokens, variables: Mapping[str, Any]) -> tuple[Any, Tokens]:
    if not tokens:
        raise NotPlain("")
    (kind, text), left = tokens[0], tokens[1:]
    if kind == "cast":
        return _term(left, variables)
    if kind == "double":
        return _interpolated(text[1:-1], variables), left
    if kind == "single":
        return text[1:-1].replace("''", "'"), left
    if kind == "number":
        return (int(text) if re.fullmatch(r"-?\d+", text) else float(text)), left
    if kind == "name":
        return _variable(text.strip("${}"), variables), left
    if text in ("(", "@("):
        if left and left[0][1] == ")":
            return [], left[1:]
        value, left = _list(left, variables)
        if not left or left[0][1] != ")":
            raise NotPlain(text)
        return ([value] if text == "@(" and not isinstance(value, list) else value), left[1:]
    raise NotPlain(text)


def _variable(name: str, variables: Mapping[str, Any]) -> Any:
    constants = {"true": True, "false": False, "null": None}
    key = name.lower()
    if key in constants:
        return constants[key]
    if key not in variables:
        raise NotPlain(f"${name}")
    return variables[key]


def _interpolated(text: str, variables: Mapping[str, Any]) -> str:
    def replaced(match: re.Match[str]) -> str:
        if match["escape"]:
            return _ESCAPES.get(match["escape"][1], match["escape"][1])
        if match["quote"]:
            return '"'
        if match["call"]:
            raise NotPlain(text)
        return _text(_variable((match["name"] or "").strip("${}"), variables))

    pattern = r'(?P<escape>`[\s\S])|(?P<quote>"")|(?P<call>\$\()|(?P<name>\$(?:\{[\w:]+\}|(?:env:)?\w+))'
    return re.sub(pattern, replaced, text, flags=re.IGNORECASE)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
