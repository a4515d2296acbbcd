"""The ``geodiff-sar`` command: parse, call a workflow, print. Loads no heavy library before a command runs."""

import sys
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
    allow_missing_geometry: Annotated[
        bool,
        typer.Option(
            "--allow-missing-geometry",
            help="train chips without features on the learned null embedding, as data.allow_missing_geometry = true",
        ),
    ] = False,
) -> None:
    """Train an adapter: LoRA on the transformer and the conditioning modules. Goes on where it stopped."""
    from geodiff_sar.core.config import load_options
    from geodiff_sar.workflows.train import TrainConfig
    from geodiff_sar.workflows.train import train as run

    flags = ["data.allow_missing_geometry=true"] if allow_missing_geometry else []
    typer.echo(run(load_options(TrainConfig, config, [*(overrides or []), *flags])))


Radar = Annotated[str, typer.Option(help="preset or .toml file; see `geodiff-sar list radars`")]
RadarSet = Annotated[list[str] | None, typer.Option(help="override one value of the radar: key=value, may be repeated")]
Workers = Annotated[int | None, typer.Option(help="poses at the same time; default: one per processor")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="make files anew that exist")]


@app.command()
def prior(
    target: Annotated[str, typer.Argument(help="aircraft, vehicle:<seed>, composite:<seed>, or a mesh file")],
    out: Annotated[Path, typer.Option(help="folder to fill")],
    azimuths: Annotated[str, typer.Option(help="start:stop:step (stop excluded) or a,b,c; degrees")] = "0:360:10",
    depression: Annotated[str, typer.Option(help="depression angle or angles a,b; degrees")] = "30",
    polarisations: Annotated[str, typer.Option(help="one or more of HH,HV,VH,VV")] = "HH",
    radar: Radar = "uav-ku",
    radar_set: RadarSet = None,
    label: Annotated[str | None, typer.Option(help="name in captions; default: the model's or the file's")] = None,
    unit: Annotated[str, typer.Option(help="mesh file: m, cm, mm, in, ft or auto")] = "auto",
    nose: Annotated[str, typer.Option(help="mesh file: axis that points to the nose, such as +x")] = "+x",
    up: Annotated[str, typer.Option(help="mesh file: axis that points up, such as +z")] = "+z",
    scale: Annotated[str, typer.Option(help="mesh file: extra factors along nose, port, up")] = "1,1,1",
    drop: Annotated[
        list[str] | None, typer.Option(help="mesh file: parts to remove, such as '*glass*'; discs: propeller discs")
    ] = None,
    add: Annotated[
        list[Path] | None, typer.Option(help="mesh file: one more file in the same frame, may be repeated")
    ] = None,
    smooth_angle: Annotated[float, typer.Option(help="mesh file: crease angle, degrees; 0: no subdivision")] = 30.0,
    format_: Annotated[str, typer.Option("--format", help="safetensors, pt, npy, or several of them")] = "safetensors",
    seed: Annotated[int, typer.Option(min=0, help="of clutter and noise in the chips")] = 0,
    workers: Workers = None,
    overwrite: Overwrite = False,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="override one setting: trace.rays=250000, may be repeated")
    ] = None,
) -> None:
    """Trace a 3D model: SAR point cloud, features, maps and a simulated chip for every pose."""
    settings = dict(locals())
    from geodiff_sar.workflows.prior import make_priors
    from geodiff_sar.workflows.trace_options import prior_request

    typer.echo(make_priors(prior_request(settings)))


@app.command(name="chip-priors")
def chip_priors(
    chips: Annotated[Path, typer.Argument(help="data folder of measured chips")],
    config: Annotated[Path, typer.Option(help="TOML file with targets, radar and the rest")],
    out: Annotated[Path, typer.Option(help="folder to fill")],
    meshes: Annotated[Path | None, typer.Option(help="folder that mesh files of the configuration lie in")] = None,
    layout: Annotated[str, typer.Option(help="see `geodiff-sar list layouts`")] = "auto",
    align: Annotated[
        int | None, typer.Option(help="move every prior onto its chip, by at most so many pixels; 0: leave it")
    ] = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    overrides: Set = None,
) -> None:
    """Trace a prior for every measured chip at its own pose, from one 3D model for each class."""
    settings = dict(locals())
    from geodiff_sar.workflows.chip_priors import make_chip_priors
    from geodiff_sar.workflows.trace_options import chip_prior_request

    typer.echo(make_chip_priors(chip_prior_request(settings)))


@app.command()
def simulate(
    out: Annotated[Path, typer.Option(help="folder to fill")],
    config: Config = None,
    target: Annotated[list[str] | None, typer.Option(help="model or mesh file, may be repeated")] = None,
    azimuths: Annotated[str | None, typer.Option(help="start:stop:step (stop excluded) or a,b,c; degrees")] = None,
    depressions: Annotated[str | None, typer.Option(help="a or a,b,c; degrees")] = None,
    polarisations: Annotated[str | None, typer.Option(help="one or more of HH,HV,VH,VV")] = None,
    seeds: Annotated[str | None, typer.Option(help="of clutter and noise: a or a,b,c; one chip for each")] = None,
    radar: Annotated[str | None, typer.Option(help="preset or .toml file; see `geodiff-sar list radars`")] = None,
    radar_set: RadarSet = None,
    workers: Workers = None,
    overwrite: Overwrite = False,
    overrides: Set = None,
) -> None:
    """Simulate a captioned data set from 3D models, in the layout that train reads, priors included."""
    settings = dict(locals())
    from geodiff_sar.workflows.simulate import simulate as run
    from geodiff_sar.workflows.trace_options import simulate_request

    typer.echo(run(simulate_request(settings)))


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
            help="fusion, optimizers, solvers, schedules, layouts, bases, targets, radars, engines, options or tracing"
        ),
    ],
) -> None:
    """List what there is to choose from."""
    from geodiff_sar.workflows.listing import listing

    typer.echo(listing(what))


@app.command()
def generate(
    pretrained_model: Annotated[str, typer.Option(help="mini, or a folder in diffusers' layout")] = "mini",
    lora_weights: Annotated[str | None, typer.Option(help="adapter: the training's folder, file, or a glob")] = None,
    prompt: Annotated[str | None, typer.Option(help="caption, see docs/formats.md")] = None,
    prompts_file: Annotated[Path | None, typer.Option(help=".txt, .json or .toml with prompts and flags")] = None,
    azimuths: Annotated[
        str | None, typer.Option(help="start:stop:step or a,b,c in degrees; sets caption and pose")
    ] = None,
    depression: Annotated[float | None, typer.Option(help="depression angle, degrees")] = None,
    pointcloud_path: Annotated[
        str | None, typer.Option(help="point features; {azimuth} stands for the azimuth of a sweep")
    ] = None,
    pointcloud_dir: Annotated[
        Path | None, typer.Option(help="folder that relative --pc paths are looked up in")
    ] = None,
    reference: Annotated[Path | None, typer.Option(help="reference chip, another view of the target")] = None,
    enable_3d_fusion: Annotated[
        bool | None,
        typer.Option("--enable-3d-fusion/--no-3d-fusion", help="fusion on or off; default: on with an adapter"),
    ] = None,
    allow_missing_geometry: Annotated[
        bool,
        typer.Option("--allow-missing-geometry", help="generate without a point cloud by the learned null embedding"),
    ] = False,
    strict_prior: Annotated[
        bool,
        typer.Option(
            "--strict-prior", help="refuse priors of another radar or depression than the adapter was trained with"
        ),
    ] = False,
    fusion_method: Annotated[str | None, typer.Option(help="checked against the adapter")] = None,
    pointcloud_dim: Annotated[int | None, typer.Option(help="checked against the adapter")] = None,
    image_feature_dim: Annotated[int | None, typer.Option(help="checked against the base")] = None,
    fusion_scale: Annotated[
        float | None, typer.Option(help="strength of the fusion; default FUSION_INJECTION_SCALE or 1")
    ] = None,
    geometry_scale: Annotated[
        float | None, typer.Option(help="guidance scale of the geometry, apart from the text")
    ] = None,
    network_multiplier: Annotated[float, typer.Option(help="strength of the LoRA")] = 1.0,
    negative_prompt: Annotated[str, typer.Option(help="what to guide away from")] = "",
    height: Annotated[int | None, typer.Option(help="pixels; default: the adapter's, else the base's")] = None,
    width: Annotated[int | None, typer.Option(help="pixels; default: the adapter's, else the base's")] = None,
    sample_steps: Annotated[int, typer.Option(help="solver steps")] = 30,
    guidance_scale: Annotated[float | None, typer.Option(help="default: the base's, 7.5 for SD3.5")] = None,
    guidance_start: Annotated[float, typer.Option(help="share of the steps where guidance begins")] = 0.0,
    guidance_stop: Annotated[
        float, typer.Option(help="share of the steps where guidance ends; outside, steps take half the time")
    ] = 1.0,
    solver: Annotated[str, typer.Option(help="see `geodiff-sar list solvers`")] = "euler",
    discrete_flow_shift: Annotated[
        float | None, typer.Option(help="timestep shift; default: the one of the training")
    ] = None,
    skip_layers: Annotated[str | None, typer.Option(help="skip-layer guidance: block numbers such as 7,8,9")] = None,
    skip_layer_scale: Annotated[float, typer.Option(help="strength of skip-layer guidance")] = 2.8,
    skip_layer_start: Annotated[float, typer.Option(help="share of the steps where it begins")] = 0.01,
    skip_layer_stop: Annotated[float, typer.Option(help="share of the steps where it ends")] = 0.2,
    seed: Annotated[int | None, typer.Option(help="default: drawn at random and recorded")] = None,
    images_per_prompt: Annotated[int, typer.Option(help="pictures per prompt, with seeds seed, seed+1, ...")] = 1,
    batch_size: Annotated[int, typer.Option(help="pictures made together")] = 8,
    max_token_length: Annotated[int | None, typer.Option(help="T5 tokens; default: the base's")] = None,
    clip_l: Annotated[Path | None, typer.Option(help="only for single-file checkpoints")] = None,
    clip_g: Annotated[Path | None, typer.Option(help="only for single-file checkpoints")] = None,
    t5xxl: Annotated[Path | None, typer.Option(help="only for single-file checkpoints")] = None,
    vae: Annotated[Path | None, typer.Option(help="only for single-file checkpoints")] = None,
    use_t5xxl_cache_only: Annotated[
        bool, typer.Option("--use-t5xxl-cache-only", help="zero the CLIP tokens, keep T5 and the pooled vector")
    ] = False,
    output_dir: Annotated[Path, typer.Option(help="folder for the pictures")] = Path("output/inference"),
    output_name: Annotated[str | None, typer.Option(help="first part of the file names; default: generated")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace pictures of the same name")] = False,
    rgb: Annotated[bool, typer.Option("--rgb", help="write three equal channels instead of grey")] = False,
    contact_sheet: Annotated[
        bool, typer.Option("--contact-sheet", help="also write all pictures on one sheet")
    ] = False,
    gif: Annotated[bool, typer.Option("--gif", help="also write the sweep as an animation")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps")] = "auto",
    dtype: Annotated[str, typer.Option(help="fp32, fp16 or bf16; default: fp32 on the CPU, bf16 elsewhere")] = "auto",
    from_: Annotated[
        Path | None, typer.Option("--from", help="regenerate this PNG from the recipe inside it, bit for bit")
    ] = None,
) -> None:
    """Generate chips from captions, point clouds and a reference image."""
    settings = dict(locals())
    settings["source"] = settings.pop("from_")
    from geodiff_sar.workflows.generate import generate_chips
    from geodiff_sar.workflows.generation.options import parse_request

    for path in generate_chips(parse_request(settings)):
        typer.echo(path)


@app.command()
def roundtrip(
    data: Annotated[Path, typer.Option(help="folder of chips, any layout")],
    out: Annotated[Path, typer.Option(help="folder for roundtrip.json and roundtrip.png")],
    base: Annotated[str, typer.Option(help="mini, or a folder in diffusers' layout")] = "mini",
    most: Annotated[int, typer.Option(min=1, help="at most so many chips, spread evenly")] = 200,
) -> None:
    """Pass chips through a base's autoencoder: does it keep speckle, histogram and detail?"""
    settings = dict(locals())
    from geodiff_sar.workflows.roundtrip import RoundTripRequest
    from geodiff_sar.workflows.roundtrip import roundtrip as run

    typer.echo(run(RoundTripRequest(**settings)))


@app.command()
def split(
    data: Annotated[Path, typer.Option(help="folder of chips")],
    out: Annotated[Path, typer.Option(help="split file to write")],
    layout: Annotated[str, typer.Option(help="see `geodiff-sar list layouts`")] = "auto",
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
    settings["metrics"] = tuple(name.strip() for name in (metrics or "").split(",") if name.strip())
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


def main() -> None:
    """Entry point: hyphen and underscore in option names are the same; users' mistakes exit with code 2."""
    from geodiff_sar.core.errors import GeodiffError, Interrupted

    sys.argv[1:] = [_hyphens(argument) for argument in sys.argv[1:]]
    try:
        app()
    except GeodiffError as error:
        from geodiff_sar.core.console import print_error

        print_error(error)
        sys.exit(2)
    except (Interrupted, KeyboardInterrupt) as stop:
        print(f"stopped: {stop}" if str(stop) else "stopped", file=sys.stderr)
        sys.exit(130)


def _hyphens(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, sign, value = argument.partition("=")
    return name.replace("_", "-") + sign + value
