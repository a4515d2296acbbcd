"""From a training script to a configuration: one row for each of its settings, and the options they come to."""

import difflib
from dataclasses import dataclass, replace
from typing import Any

from geodiff_sar.core.config import shorten
from geodiff_sar.core.errors import GeodiffError, OptionError
from geodiff_sar.workflows.importing.outcome import Outcome, View
from geodiff_sar.workflows.importing.published import FIXED, FIXED_SIZES, SETTINGS
from geodiff_sar.workflows.importing.published_blocks import SET_IN_BLOCKS
from geodiff_sar.workflows.importing.script import Script, Setting

SECRETS = ("wandb_api_key",)
DEFAULT_STEPS = 1600
"""Length of a training that states none, in the published trainer."""

PREVIEW: dict[str, Any] = {"preview.sample_steps": 30, "preview.guidance_scale": 7.5}
"""How the published trainer draws its previews."""


@dataclass(frozen=True)
class Row:
    """A setting and what became of it."""

    setting: Setting
    outcome: Outcome

    @property
    def value(self) -> str:
        """The value as shown."""
        name = self.setting.shown.lstrip("$-").lower()
        return "(not shown)" if name in SECRETS and self.setting.value else shorten(self.setting.value, 60)

    @property
    def result(self) -> str:
        """What became of it, in one line."""
        if self.outcome.remedy is not None:
            return f"cannot be followed: {self.outcome.why}; {self.outcome.remedy}"
        if not self.outcome.options:
            return self.outcome.why if self.outcome.why.startswith("no effect") else f"no effect: {self.outcome.why}"
        listed = ", ".join(f"{key} = {shorten(value, 60)}" for key, value in self.outcome.options.items())
        return listed + (f" ({self.outcome.why})" if self.outcome.why else "")


def settle(script: Script) -> list[Row]:
    """What becomes of each setting, in the script's order."""
    view = View(script)
    return [Row(setting, _outcome(name, setting, view)) for name, setting in script.settings.items()]


def require_followed(script: Script, rows: list[Row]) -> None:
    """Refuse a script with settings that change the training and have no counterpart.

    Raises:
        OptionError: lists them, each with its remedy.
    """
    wrong = [row for row in rows if row.outcome.remedy is not None]
    if wrong:
        raise OptionError(
            script.path,
            "; ".join(
                f"line {row.setting.line}: {row.setting.shown} = {row.value}: {row.outcome.why}" for row in wrong
            ),
            "every setting has a counterpart here, or has no effect",
            "; ".join(dict.fromkeys(f"{row.setting.shown}: {row.outcome.remedy}" for row in wrong)),
        )


def options_of(script: Script, rows: list[Row]) -> dict[str, Any]:
    """The options as nested tables: what the published trainer does by itself, and over it what the script states."""
    described = "data.dataset_config" in {key for row in rows for key in row.outcome.options}
    flat = {**FIXED, **({} if described else FIXED_SIZES)}
    for row in rows:
        flat |= row.outcome.options
    if not {"train.max_epochs", "train.max_steps"} & flat.keys():
        flat["train.max_steps"] = DEFAULT_STEPS
    if "preview.prompts_file" in flat:
        flat |= PREVIEW
    result: dict[str, Any] = {}
    for key, value in flat.items():
        *tables, name = key.split(".")
        node = result
        for table in tables:
            node = node.setdefault(table, {})
        node[name] = value
    return result


def set_in_blocks(script: Script) -> list[str]:
    """Places where a block sets a variable that the published script sets outside of blocks only."""
    return [
        f"line {line}: ${name} is set in a block, which is not followed"
        for name, line in script.inside.items()
        if name in SETTINGS and name not in SET_IN_BLOCKS
    ]


def _outcome(name: str, setting: Setting, view: View) -> Outcome:
    rule = SETTINGS.get(name)
    if rule is None:
        return _unknown(name, setting, view)
    if setting.plain:
        if isinstance(setting.value, bool):
            setting = replace(setting, value=int(setting.value))
        return rule(setting, view)
    try:
        outcome = rule(setting, view)
    except GeodiffError:
        outcome = Outcome(remedy="")
    if not outcome.options and outcome.remedy is None:
        return outcome
    return Outcome(
        why="an expression that only PowerShell could evaluate, and scripts are read, not run",
        remedy="write its value in the script",
    )


def _unknown(name: str, setting: Setting, view: View) -> Outcome:
    close = difflib.get_close_matches(name, SETTINGS, n=1, cutoff=0.8)
    hint = f" (did you mean ${close[0]}?)" if close else ""
    if name.startswith("env:"):
        return Outcome(why=f"no environment variable that training reads{hint.replace('$env:', '')}")
    if setting.shown.startswith("$") and name not in view.script.read:
        return Outcome(why=f"the script passes it to nothing{hint}")
    return Outcome(why=f"unknown here{hint}", remedy="correct or remove it")
