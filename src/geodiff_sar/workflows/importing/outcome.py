"""What can become of a setting: options of ours, no effect, or a refusal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from geodiff_sar.core.config import shorten
from geodiff_sar.core.errors import OptionError
from geodiff_sar.workflows.importing.script import Script, Setting


@dataclass(frozen=True)
class Outcome:
    """What became of a setting.

    Attributes:
        options: our keys, dotted, with their values.
        why: why it has no effect, or what there is to know about it.
        remedy: what to do about a setting that cannot be followed; None where nothing is wrong.
    """

    options: dict[str, Any] = field(default_factory=dict)
    why: str = ""
    remedy: str | None = None


@dataclass(frozen=True)
class View:
    """A script's settings as the rules ask for them; names are those of its variables, in lower case."""

    script: Script

    def value(self, name: str, default: Any = None) -> Any:
        """The value; ``default`` where it is not set, or set to an empty string or $null."""
        setting = self.script.settings.get(name)
        return default if setting is None or setting.value in (None, "") else setting.value

    def text(self, name: str, default: str = "") -> str:
        """The value as text."""
        return str(self.value(name, default))

    def on(self, name: str, default: bool = False) -> bool:
        """Whether a switch is on; 0 and $false are off."""
        return is_on(self.value(name, default))

    def number(self, name: str, default: float = 0) -> float | int:
        """The value as a number.

        Raises:
            OptionError: it is none.
        """
        setting = self.script.settings.get(name)
        value = self.value(name)
        return default if setting is None or value is None else number_of(value, setting, self.script)


Rule = Callable[[Setting, View], Outcome]
_ALWAYS = "always so here"


def is_on(value: Any) -> bool:
    """Whether a value switches something on."""
    return str(value).strip().lower() not in ("", "0", "0.0", "false", "none")


def number_of(value: Any, setting: Setting, script: Script) -> float | int:
    """A number, or the text of one.

    Raises:
        OptionError: it is none.
    """
    for kind in (int, float):
        try:
            return kind(str(value))
        except ValueError:
            continue
    raise OptionError(
        script.path, f"line {setting.line}: {setting.shown} = {shorten(value)}", "a number", "correct it in the script"
    )


def number_to(key: str, whole: bool = False) -> Rule:
    """The number goes to ``key``; an empty one is left out."""

    def rule(setting: Setting, view: View) -> Outcome:
        if setting.value in (None, ""):
            return Outcome(why="empty: not passed on")
        value = number_of(setting.value, setting, view.script)
        return Outcome({key: int(value) if whole and value == int(value) else value if whole else float(value)})

    return rule


def switch_to(key: str) -> Rule:
    """The switch goes to ``key``."""
    return lambda setting, view: Outcome({key: is_on(setting.value)})


def text_to(key: str) -> Rule:
    """The text goes to ``key``; an empty one is left out."""

    def rule(setting: Setting, view: View) -> Outcome:
        return (
            Outcome(why="empty: not passed on") if setting.value in (None, "") else Outcome({key: str(setting.value)})
        )

    return rule


def nothing(why: str) -> Rule:
    """Any value is without effect."""
    return lambda setting, view: Outcome(why=why)


def only_off(why: str, remedy: str, off: tuple[Any, ...] = ()) -> Rule:
    """Without effect while it is off (or one of the values ``off``), refused otherwise."""

    def rule(setting: Setting, view: View) -> Outcome:
        if not is_on(setting.value):
            return Outcome(why="off")
        return Outcome(why=_ALWAYS) if str(setting.value) in map(str, off) else Outcome(why=why, remedy=remedy)

    return rule


def with_switch(switch: str, rule: Rule) -> Rule:
    """``rule`` while another switch is on; without effect otherwise."""

    def rule_or_nothing(setting: Setting, view: View) -> Outcome:
        return rule(setting, view) if view.on(switch) else Outcome(why=f"not read while ${switch} is off")

    return rule_or_nothing
