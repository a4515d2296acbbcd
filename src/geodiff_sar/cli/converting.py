"""Commands that convert files."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import app


@app.command(name="convert-lora")
def convert_lora(
    source: Annotated[Path, typer.Argument(metavar="IN", help="LoRA file of any format, or the folder of an adapter")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".safetensors file to write")],
    to: Annotated[str, typer.Option(help="diffusers, kohya, comfyui or reference")],
    rank: Annotated[
        int | None, typer.Option(help="truncate to this rank by singular values, and print the error; default: exact")
    ] = None,
    mend_split_qkv: Annotated[
        bool,
        typer.Option(
            "--mend-split-qkv", help="q, k and v that their trainer saved at a third of their strength get it back"
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing file")] = False,
) -> None:
    """Convert a LoRA between programs; the file is kept only if it changes every weight as its source does."""
    settings = dict(locals())
    from geodiff_sar.core.config import parse_options
    from geodiff_sar.workflows.convert_lora import ConvertRequest
    from geodiff_sar.workflows.convert_lora import convert_lora as run

    typer.echo(run(parse_options(ConvertRequest, settings, "the command line")))


@app.command(name="import-config")
def import_config(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="the published training script, .ps1; it is not run")],
    out: Annotated[Path | None, typer.Option(help=".toml file to write; default: print it")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an existing file")] = False,
) -> None:
    """Turn the settings of the published training script into a configuration for `train`, and say what became of each."""
    settings = dict(locals())
    from geodiff_sar.core.config import parse_options
    from geodiff_sar.workflows.import_config import ImportRequest
    from geodiff_sar.workflows.import_config import import_config as run

    typer.echo(run(parse_options(ImportRequest, settings, "the command line")))
