"""Commands that trace 3D models."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import Config, Set, app

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
