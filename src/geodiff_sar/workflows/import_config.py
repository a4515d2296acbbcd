"""From the published training script to a configuration that ``train`` accepts."""

from pathlib import Path
from typing import Any

import tomli_w
from pydantic import Field
from rich.table import Table
from rich.text import Text

from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.console import console, say, warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import atomic_write_text, require_writable
from geodiff_sar.workflows.importing.configure import Row, options_of, require_followed, set_in_blocks, settle
from geodiff_sar.workflows.importing.published import ALIASES
from geodiff_sar.workflows.importing.script import read_script
from geodiff_sar.workflows.train_config import TrainConfig, with_resolved_fusion


class ImportRequest(Options):
    """What to import."""

    source: Path = Field(description="the published training script, .ps1")
    out: Path | None = Field(default=None, description="configuration to write; None: print it")
    overwrite: bool = Field(default=False, description="replace an existing file")


def import_config(request: ImportRequest) -> str:
    """Say what becomes of each setting; returns the configuration, or the path of the file that holds it.

    The script is read, never run. Nothing is written unless ``train`` accepts the configuration.

    Raises:
        FileError: the script cannot be read, or is none.
        OptionError: a setting that would change the training has no counterpart, or the output exists.
    """
    _check_out(request)
    script = read_script(request.source, ALIASES)
    rows = settle(script)
    console.print(_table(rows))
    for place in set_in_blocks(script):
        warn(f"{script.path}, {place}")
    require_followed(script, rows)
    options = options_of(script, rows)
    with_resolved_fusion(parse_options(TrainConfig, options, str(script.path)))
    text = f"# The settings of {script.path.name}, by geodiff-sar import-config.\n{_ordered_toml(options)}"
    mapped = sum(bool(row.outcome.options) for row in rows)
    say(f"{len(rows)} settings: {mapped} have a counterpart, {len(rows) - mapped} have no effect")
    if script.path.resolve().parent != Path.cwd():
        say(f"relative paths start at the script's folder: run the training in {script.path.resolve().parent}")
    if request.out is None:
        return text
    atomic_write_text(request.out, text)
    return str(request.out)


def _check_out(request: ImportRequest) -> None:
    out = request.out
    if out is None:
        return
    if out.suffix != ".toml":
        raise OptionError("--out", str(out), "a file that ends with .toml", "add the ending")
    if out.is_dir():
        raise OptionError("--out", f"{out} is a folder", "a file", "name a file in it")
    if out.exists() and not request.overwrite:
        raise OptionError(
            "--out", f"{out} exists", "files are not overwritten", "name another file, or give --overwrite"
        )
    require_writable(out.parent)


def _table(rows: list[Row]) -> Table:
    table = Table("line", "setting", "value", "here", box=None)
    for row in rows:
        table.add_row(str(row.setting.line), *(Text(text) for text in (row.setting.shown, row.value, row.result)))
    return table


def _ordered_toml(options: dict[str, Any]) -> str:
    """TOML with tables in the order of the configuration's own keys."""
    order = list(TrainConfig.model_fields)
    return tomli_w.dumps({key: options[key] for key in sorted(options, key=order.index)})
