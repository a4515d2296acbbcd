"""Commands that draw chips."""

from pathlib import Path
from typing import Annotated

import typer

from geodiff_sar.cli.app import app
from geodiff_sar.cli.base_options import (
    T5,
    ClipG,
    ClipL,
    NoT5,
    Pretrained,
    T5Xxl,
    TokenizerFolder,
    TransformerStorage,
    Vae,
    t5_use,
)


@app.command()
def generate(
    pretrained_model: Pretrained = "mini",
    lora_weights: Annotated[
        str | None,
        typer.Option(help="adapter: the training's folder, file, or a glob; or a LoRA file of another program"),
    ] = None,
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
    reference_range: Annotated[
        str | None, typer.Option(help="where range grows in it: right, left, up or down; it is turned accordingly")
    ] = None,
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
    network_multiplier: Annotated[
        float, typer.Option(help="strength of the LoRA, times the change of each weight; 0 is the base")
    ] = 1.0,
    negative_prompt: Annotated[str, typer.Option(help="what to guide away from")] = "",
    height: Annotated[int | None, typer.Option(help="pixels; default: the adapter's, else the base's")] = None,
    width: Annotated[int | None, typer.Option(help="pixels; default: the adapter's, else the base's")] = None,
    sample_steps: Annotated[int, typer.Option(help="solver steps")] = 30,
    guidance_scale: Annotated[float | None, typer.Option(help="default: the base's, 7.5 for SD3.5")] = None,
    guidance_start: Annotated[float, typer.Option(help="share of the steps where guidance begins")] = 0.0,
    guidance_stop: Annotated[
        float, typer.Option(help="share of the steps where guidance ends; outside, steps take half the time")
    ] = 1.0,
    keep_level: Annotated[
        bool | None,
        typer.Option(
            "--keep-level/--no-keep-level",
            help="guidance leaves the mean of each latent channel, which is the level of the clutter, alone; default:"
            " as suits the base",
        ),
    ] = None,
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
    clip_l: ClipL = None,
    clip_g: ClipG = None,
    t5xxl: T5Xxl = None,
    vae: Vae = None,
    tokenizers: TokenizerFolder = None,
    t5: T5 = None,
    no_t5: NoT5 = False,
    transformer_storage: TransformerStorage = "whole",
    mend_split_qkv: Annotated[
        bool,
        typer.Option("--mend-split-qkv", help="give a LoRA with the published trainer's defect its meant strength"),
    ] = False,
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
    settings["t5"] = t5_use(t5, settings.pop("no_t5"))
    from geodiff_sar.workflows.generate import generate_chips
    from geodiff_sar.workflows.generation.options import parse_request

    for path in generate_chips(parse_request(settings)):
        typer.echo(path)


@app.command()
def roundtrip(
    data: Annotated[Path, typer.Option(help="folder of chips, any layout")],
    out: Annotated[Path, typer.Option(help="folder for roundtrip.json and roundtrip.png")],
    base: Pretrained = "mini",
    vae: Vae = None,
    most: Annotated[int, typer.Option(min=1, help="at most so many chips, spread evenly")] = 200,
) -> None:
    """Pass chips through a base's autoencoder: does it keep speckle, histogram and detail?"""
    from geodiff_sar.model.base_files import BaseFiles
    from geodiff_sar.workflows.roundtrip import RoundTripRequest
    from geodiff_sar.workflows.roundtrip import roundtrip as run

    typer.echo(run(RoundTripRequest(data, out, BaseFiles(base, vae=vae), most)))
