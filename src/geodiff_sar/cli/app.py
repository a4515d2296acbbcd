"""The command itself, and options that several commands share. Loads no heavy library."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar import __version__

app = typer.Typer(
    name="geodiff-sar",
    help="Generate synthetic aperture radar (SAR) images of a target from text, geometry and a reference image.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Config = Annotated[Path | None, typer.Option(help="TOML file with the settings")]
Set = Annotated[list[str] | None, typer.Option("--set", help="override one setting: key=value, may be repeated")]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
