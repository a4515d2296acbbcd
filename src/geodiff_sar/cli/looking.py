"""Commands that look at files and say what there is to choose from."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import app


@app.command()
def show(file: Annotated[Path, typer.Argument(help="a PNG that this tool wrote")]) -> None:
    """Print the recipe inside a generated picture as JSON."""
    import json

    from geodiff_sar.data.recipe import read_recipe

    typer.echo(json.dumps(read_recipe(file), indent=2, ensure_ascii=False))


@app.command(name="check-weights")
def check_weights(
    pretrained_model: Annotated[str, typer.Option(help="mini, or a folder in diffusers' layout")] = "mini",
    lora_weights: Annotated[str | None, typer.Option(help="an adapter: folder, file or glob")] = None,
) -> None:
    """Say which parts are found, their sizes, number formats, key counts and hashes, and what is missing or damaged."""
    from geodiff_sar.workflows.check_weights import check_weights as run

    text, intact = run(pretrained_model, lora_weights)
    typer.echo(text)
    if not intact:
        raise typer.Exit(2)


@app.command(name="list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="fusion, optimizers, solvers, schedules, layouts, loras, bases, targets, radars, engines, options or"
            " tracing"
        ),
    ],
) -> None:
    """List what there is to choose from."""
    from geodiff_sar.workflows.listing import listing

    typer.echo(listing(what))
