"""Commands that train: the demo, a base, an adapter."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import Config, Set, app


@app.command()
def demo(
    output_dir: Annotated[Path, typer.Option(help="folder for pictures and report")] = Path("demo_output"),
    seed: Annotated[int, typer.Option(min=0, help="seed of data, training and generation")] = 1026,
) -> None:
    """Train an adapter on the embedded base and generate chips under text, geometry and image. Takes minutes."""
    from geodiff_sar.workflows.demo import demo as run

    typer.echo(run(output_dir, seed))


@app.command()
def pretrain(config: Config = None, overrides: Set = None) -> None:
    """Train a small base model from scratch: tokenizers, text encoders, VAE, transformer."""
    from geodiff_sar.core.config import load_options
    from geodiff_sar.training.pretrain.options import PretrainOptions
    from geodiff_sar.workflows.pretrain import pretrain as run

    typer.echo(run(load_options(PretrainOptions, config, overrides or [])))


@app.command()
def train(
    config: Config = None,
    overrides: Set = None,
    dataset_config: Annotated[
        Path | None,
        typer.Option(help="data set as sd-scripts describes it (TOML or JSON), as data.dataset_config"),
    ] = None,
    allow_missing_geometry: Annotated[
        bool,
        typer.Option(
            "--allow-missing-geometry",
            help="train chips without features on the learned null embedding, as data.allow_missing_geometry = true",
        ),
    ] = False,
    compile_: Annotated[
        bool, typer.Option("--compile", help="compile the transformer's blocks, as train.compile = true")
    ] = False,
) -> None:
    """Train an adapter: LoRA on the transformer and the conditioning modules. Goes on where it stopped."""
    import json

    from geodiff_sar.core.config import load_options
    from geodiff_sar.workflows.train import TrainConfig
    from geodiff_sar.workflows.train import train as run

    flags = ["data.allow_missing_geometry=true"] if allow_missing_geometry else []
    flags += ["train.compile=true"] if compile_ else []
    flags += [f"data.dataset_config={json.dumps(str(dataset_config))}"] if dataset_config is not None else []
    typer.echo(run(load_options(TrainConfig, config, [*(overrides or []), *flags])))


@app.command()
def plan(
    config: Config = None,
    overrides: Set = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="count for one of so many processes")] = 1,
    published: Annotated[
        bool,
        typer.Option("--published", help="count Stable Diffusion 3.5 Medium as published; its files are not needed"),
    ] = False,
) -> None:
    """Count what a training, and generation with its base, will take in memory, before anything is loaded."""
    from geodiff_sar.core.config import load_options
    from geodiff_sar.workflows.plan import plan_text
    from geodiff_sar.workflows.train_config import TrainConfig

    typer.echo(plan_text(load_options(TrainConfig, config, overrides or []), processes, published))
