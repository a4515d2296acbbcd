"""Commands that split, measure and compare."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import Set, app

Classes = Annotated[str | None, typer.Option(help="targets to take, separated by commas; default: all")]


@app.command()
def split(
    data: Annotated[Path, typer.Option(help="folder of chips")],
    out: Annotated[Path, typer.Option(help="split file to write")],
    layout: Annotated[str, typer.Option(help="see `geodiff-sar list layouts`")] = "auto",
    classes: Classes = None,
    sectors: Annotated[float | None, typer.Option(help="width of the held-out azimuth sectors, degrees")] = None,
    every: Annotated[float | None, typer.Option(help="from one held-out sector to the next, degrees")] = None,
    start: Annotated[float, typer.Option(help="where the first one begins, degrees")] = 0.0,
    guard: Annotated[float, typer.Option(help="degrees beside held-out sectors that belong to no part")] = 0.0,
    protocol: Annotated[
        str | None, typer.Option(help="instead: alternate, serials:132,C71 or azimuth-sectors:0-30,90-120")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace another split")] = False,
) -> None:
    """Decide before any training which chips are held out, and seal it in a file."""
    settings = dict(locals())
    settings["classes"] = _names(classes)
    from geodiff_sar.workflows.split import make_split

    typer.echo(make_split(**settings))


@app.command()
def evaluate(
    real: Annotated[Path, typer.Option(help="real chips")],
    generated: Annotated[Path, typer.Option(help="chips to judge")],
    out: Annotated[Path, typer.Option(help="folder for report.html, metrics.json, metrics.csv")],
    train: Annotated[Path | None, typer.Option(help="real chips that the generator was trained on")] = None,
    split: Annotated[str | None, typer.Option(help="split file, or azimuth-sectors:0-30,90-120")] = None,
    layout: Annotated[str, typer.Option(help="layout of --real and --train; see `geodiff-sar list layouts`")] = "auto",
    classes: Classes = None,
    generated_layout: Annotated[str, typer.Option(help="layout of --generated")] = "auto",
    crop: Annotated[int | None, typer.Option(help="cut every chip to a square of this side, pixels")] = None,
    common_remap: Annotated[str | None, typer.Option(help="bring all sets to: linear, root or rank")] = None,
    space: Annotated[str, typer.Option(help="feature space: sar, timm:<model>, inception or clip")] = "sar",
    space_weights: Annotated[Path | None, typer.Option(help="weights of the space")] = None,
    metrics: Annotated[str | None, typer.Option(help="names, separated by commas; default: all")] = None,
    no_azimuth: Annotated[bool, typer.Option("--no-azimuth", help="chips have no azimuth; do not judge it")] = False,
    encoder_steps: Annotated[int, typer.Option(help="training steps of the SAR encoder")] = 400,
    estimator_steps: Annotated[int, typer.Option(help="training steps of the azimuth estimator")] = 800,
    cache: Annotated[Path | None, typer.Option(help="folder for networks and features; default: OUT/cache")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of every random draw")] = 0,
) -> None:
    """Judge generated chips against real ones, beside controls that show what good and bad look like."""
    settings = dict(locals())
    settings["azimuth"] = not settings.pop("no_azimuth")
    settings["metrics"], settings["classes"] = _names(metrics), _names(classes)
    from geodiff_sar.core.config import parse_options
    from geodiff_sar.workflows.evaluate import evaluate as run
    from geodiff_sar.workflows.evaluate_options import EvaluateRequest

    typer.echo(run(parse_options(EvaluateRequest, settings, "the command line")))


@app.command()
def atr(
    real: Annotated[Path, typer.Option(help="real chips")],
    out: Annotated[Path, typer.Option(help="folder for report.html, atr.json, atr.csv")],
    generated: Annotated[Path | None, typer.Option(help="synthetic chips whose use is to be proved")] = None,
    test: Annotated[Path | None, typer.Option(help="real chips to test on; excludes --split")] = None,
    split: Annotated[
        str | None,
        typer.Option(help="alternate, azimuth-sectors:30/90 or a split file; default: azimuth-sectors:30/90"),
    ] = None,
    layout: Annotated[str, typer.Option(help="layout of --real and --test; see `geodiff-sar list layouts`")] = "auto",
    classes: Classes = None,
    generated_layout: Annotated[str, typer.Option(help="layout of --generated")] = "auto",
    crop: Annotated[int | None, typer.Option(help="cut every chip to a square of this side, pixels")] = None,
    common_remap: Annotated[str | None, typer.Option(help="bring all sets to: linear, root or rank")] = None,
    backbone: Annotated[str | None, typer.Option(help="small, or any timm model; default: small")] = None,
    weights: Annotated[Path | None, typer.Option(help="file with weights of the timm model")] = None,
    seeds: Annotated[int | None, typer.Option(help="repetitions, at least 3; default: 3")] = None,
    first_seed: Annotated[int | None, typer.Option(help="seed of the first repetition; default: 0")] = None,
    fractions: Annotated[str | None, typer.Option(help="shares of the real training chips; default: 0.1,0.3,1")] = None,
    ratios: Annotated[
        str | None, typer.Option(help="synthetic chips per chip of the real training part; default: 0.5,1")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="training steps of every network; default: 600")] = None,
    batch: Annotated[int | None, typer.Option(help="chips per step; default: 32")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="highest learning rate; default: 0.006")] = None,
    cache: Annotated[Path | None, typer.Option(help="folder for finished runs; default: OUT/cache")] = None,
) -> None:
    """Train classifiers on real, synthetic and mixed chips, and test them on real chips that none of them saw."""
    settings = dict(locals())
    settings["classes"] = _names(classes)
    from geodiff_sar.workflows.atr import atr as run
    from geodiff_sar.workflows.atr_options import atr_request

    typer.echo(run(atr_request(settings)))


@app.command()
def study(
    config: Annotated[Path, typer.Option(help="TOML file of the study, such as configs/study/quick.toml")],
    out: Annotated[Path | None, typer.Option(help="folder of the study; default: output/study/<name>")] = None,
    row: Annotated[list[str] | None, typer.Option(help="one row, may be repeated; default: all")] = None,
    only: Annotated[str | None, typer.Option(help="one stage: train, generate, measure or report")] = None,
    workers: Annotated[int, typer.Option(help="processes that work on different adapters at the same time")] = 1,
    docs: Annotated[Path | None, typer.Option(help="Markdown file whose marked place gets the tables")] = None,
    results: Annotated[
        Path | None, typer.Option(help="folder where numbers are kept; what is kept is not trained again")
    ] = None,
    overrides: Set = None,
) -> None:
    """Train, generate and measure every row of a study, and write its tables. Goes on where it stopped."""
    from geodiff_sar.core.config import load_options, parse_options
    from geodiff_sar.workflows.study.options import StudyConfig
    from geodiff_sar.workflows.study.run import StudyRequest
    from geodiff_sar.workflows.study.run import study as run

    loaded = load_options(StudyConfig, config, overrides or [])
    settings = {
        "config": loaded,
        "out": out or Path("output/study") / loaded.name,
        "rows": row or (),
        "only": only,
        "workers": workers,
        "docs": docs,
        "results": results,
    }
    typer.echo(run(parse_options(StudyRequest, settings, "geodiff-sar study")))


def _names(text: str | None) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())
