"""Commands that look at files and say what there is to choose from."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import app
from geodiff_sar.cli.base_options import ClipG, ClipL, NoT5, Pretrained, T5Xxl, TokenizerFolder, Vae


@app.command()
def show(file: Annotated[Path, typer.Argument(help="a PNG that this tool wrote")]) -> None:
    """Print the recipe inside a generated picture as JSON."""
    import json

    from geodiff_sar.data.recipe import read_recipe

    typer.echo(json.dumps(read_recipe(file), indent=2, ensure_ascii=False))


@app.command(name="check-weights")
def check_weights(
    pretrained_model: Pretrained = "mini",
    lora_weights: Annotated[
        str | None, typer.Option(help="an adapter: folder, file or glob; or a LoRA file of another program")
    ] = None,
    clip_l: ClipL = None,
    clip_g: ClipG = None,
    t5xxl: T5Xxl = None,
    vae: Vae = None,
    tokenizers: TokenizerFolder = None,
    no_t5: NoT5 = False,
) -> None:
    """Say which parts are found, their sizes, number formats, key counts and hashes, and what is missing or damaged."""
    from geodiff_sar.model.base_files import BaseFiles
    from geodiff_sar.workflows.check_weights import check_weights as run

    base = BaseFiles(pretrained_model, clip_l, clip_g, t5xxl, vae, tokenizers)
    text, intact = run(base, lora_weights, with_t5=not no_t5)
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
