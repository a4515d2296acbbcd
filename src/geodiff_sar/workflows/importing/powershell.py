"""Statements of a PowerShell script: comments, strings, continued lines and blocks are told apart. Nothing is executed."""

import re
from dataclasses import dataclass

from geodiff_sar.core.errors import FileError

OPEN, CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Statement:
    """One statement.

    Attributes:
        text: without comments, on one line.
        line: where it begins.
        depth: number of blocks around it; 0 runs whatever happens.
    """

    text: str
    line: int
    depth: int


def read_statements(text: str, path: object) -> list[Statement]:
    """The statements of a script in their order.

    Raises:
        FileError: a string, comment or block that does not end.
    """
    result: list[Statement] = []
    piece: list[str] = []
    brackets: list[str] = []
    depth, line, begin, at = 0, 1, 1, 0

    def finish() -> None:
        found = "".join(piece).strip()
        if found:
            result.append(Statement(found, begin, depth))
        piece.clear()

    while at < len(text):
        rest = text[at : at + 2]
        char = text[at]
        if not "".join(piece).strip():
            begin = line
        if rest == "<#":
            end = text.find("#>", at)
            taken = "" if end < 0 else text[at : end + 2]
        elif char == "#" and not (piece and re.match(r"[\w./\\-]", piece[-1]) and not _assigns(piece)):
            end = text.find("\n", at)
            taken = text[at:] if end < 0 else text[at:end]
        elif char in "\"'" or rest in ('@"', "@'"):
            taken = _string(text, at)
            piece.append(taken)
        elif char == "`" and re.match(r"`[ \t]*\r?\n", text[at:]):
            taken = text[at : text.index("\n", at) + 1]
            piece.append(" ")
        elif char == "$" and rest == "${":
            end = text.find("}", at)
            taken = "" if end < 0 else text[at : end + 1]
            piece.append(taken)
        else:
            taken = char
            if char in "([" or (char == "{" and (brackets or (piece and piece[-1] == "@"))):
                brackets.append(char)
                piece.append(char)
            elif brackets and char == CLOSE[OPEN.index(brackets[-1])]:
                brackets.pop()
                piece.append(char)
            elif char == "{":
                finish()
                depth += 1
            elif char == "}":
                finish()
                depth -= 1
            elif (char == ";" and not brackets) or (
                char == "\n" and not brackets and not re.search(r"[,+|=]\s*$", "".join(piece))
            ):
                finish()
            else:
                piece.append(" " if char in "\r\n" else char)
        if not taken or depth < 0:
            raise FileError(
                path,
                f"line {line}: {'a block ends that did not begin' if depth < 0 else 'a string or comment does not end'}",
                "a PowerShell script",
                "check the quotation marks and braces around this line",
            )
        line += taken.count("\n")
        at += len(taken)
    finish()
    if depth or brackets:
        raise FileError(path, "ends inside a block", "a PowerShell script", "close its braces")
    return result


def _assigns(piece: list[str]) -> bool:
    return "".join(piece).lstrip().startswith("$")


def _string(text: str, at: int) -> str:
    """The string literal that begins at ``at``, quotation marks included; empty where it does not end."""
    if text[at] == "@":
        end = text.find("\n" + text[at + 1] + "@", at)
        return "" if end < 0 else text[at : end + 3]
    pattern = r'"(?:`[\s\S]|""|[^"`])*"' if text[at] == '"' else r"'(?:''|[^'])*'"
    found = re.match(pattern, text[at:])
    return found[0] if found else ""
