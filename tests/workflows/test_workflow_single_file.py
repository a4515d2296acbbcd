"""From a single file to an adapter to pictures, by the commands."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from checkpoint_support import Models, tiny_models, write_checkpoint
from geodiff_sar import cli
from geodiff_sar.core.errors import DataError, GeodiffError
from geodiff_sar.core.files import read_json
from geodiff_sar.model.base import base_hash
from geodiff_sar.model.base_files import BaseFiles

CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def models() -> Models:
    return tiny_models()


def run(*arguments: object) -> str:
    result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def flags(files: BaseFiles) -> list[object]:
    given = [(f"--{option.replace('_', '-')}", path) for option, path in files.separate.items()]
    return ["--pretrained-model", files.name, *(word for pair in given for word in pair)]


def config(files: BaseFiles, chips_root, output) -> str:
    lines = [f'{option} = "{path}"' for option, path in files.separate.items()]
    return "\n".join([
        f'base = "{files.name}"', *lines, f'output_dir = "{output}"', 'output_name = "run"',
        'inject = ["pooled"]',
        "[data]", f'root = "{chips_root}"', "[data.buckets]", "resolution = [32, 32]", "min_bucket_reso = 16",
        "[conditioning.points]", "heads = 2", "[lora]", "rank = 2", "[optimizer]", "lr = 0.01",
        "[train]", "max_steps = 2", "batch_size = 2", 'device = "cpu"',
    ])  # fmt: skip


def test_check_train_generate_and_again_from_the_recipe(models, chips_root, tmp_path, monkeypatch):
    files = write_checkpoint(tmp_path, models)
    assert "everything needed is there and intact" in run("check-weights", *flags(files))
    (tmp_path / "c.toml").write_text(config(files, chips_root, tmp_path / "output"))
    run("train", "--config", tmp_path / "c.toml")
    adapter = tmp_path / "output" / "run"
    assert read_json(adapter / "run_fusion.json")["geodiff_sar"]["base_hash"] == base_hash(files)
    assert "intact" in run("check-weights", *flags(files), "--lora-weights", adapter)
    monkeypatch.chdir(tmp_path)
    relative = (Path(f"{part}.safetensors") for part in ("clip_l", "clip_g", "t5xxl"))
    short = BaseFiles("model.safetensors", *relative, tokenizers=files.tokenizers)
    drawn = ["--prompt", CAPTION, "--sample-steps", 2, "--seed", 3, "--allow-missing-geometry"]
    first = run("generate", *flags(short), "--lora-weights", adapter, *drawn, "--output-dir", tmp_path / "a").split()[
        -1
    ]
    monkeypatch.chdir(tmp_path.parent)
    again = run("generate", "--from", first, "--output-dir", tmp_path / "b").split()[-1]
    assert Path(first).read_bytes() == Path(again).read_bytes()
    with pytest.raises(GeodiffError, match="--clip_l FILE"):
        run("generate", "--pretrained-model", files.name, "--tokenizers", files.tokenizers, *drawn)
    state = load_file(files.name)
    save_file(
        {name: tensor + 1 if name.endswith("conv_out.bias") else tensor.clone() for name, tensor in state.items()},
        files.name,
    )
    with pytest.raises(DataError, match="was trained on the base"):
        run("generate", *flags(files), "--lora-weights", adapter, *drawn, "--output-dir", tmp_path / "d")


def test_round_trip_of_chips_reads_the_vae_alone(models, tmp_path):
    files = write_checkpoint(tmp_path / "whole", models)
    bare = write_checkpoint(tmp_path / "bare", models, inside=("transformer",))
    chips = tmp_path / "chips"
    chips.mkdir()
    for k in range(2):
        grey = np.random.default_rng(k).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(grey).save(chips / f"{k}.png")
        (chips / f"{k}.txt").write_text(CAPTION)
    given = ["--data", chips, "--out", tmp_path / "out", "--base"]
    assert "psnr_db" in run("roundtrip", *given, files.name)
    inside = (tmp_path / "out" / "roundtrip.json").read_text()
    with pytest.raises(GeodiffError, match="--vae FILE"):
        run("roundtrip", *given, bare.name)
    run("roundtrip", *given, bare.name, "--vae", bare.vae)
    assert (tmp_path / "out" / "roundtrip.json").read_text() == inside


def test_pictures_in_less_memory(models, tmp_path):
    files = write_checkpoint(tmp_path / "files", models)
    bare = BaseFiles(files.name, files.clip_l, files.clip_g, None, None, files.tokenizers)
    drawn = ["--prompt", CAPTION, "--sample-steps", 2, "--seed", 3]

    def picture(base: BaseFiles, name: str, *options: str) -> tuple[np.ndarray, Path]:
        path = run("generate", *flags(base), *drawn, *options, "--output-dir", tmp_path / name).split()[-1]
        return np.asarray(Image.open(path).convert("L")), Path(path)

    whole, _ = picture(files, "whole")
    streamed, path = picture(files, "streamed", "--t5", "streamed")
    assert np.array_equal(streamed, whole)
    again = run("generate", "--from", path, "--output-dir", tmp_path / "again").split()[-1]
    assert path.read_bytes() == Path(again).read_bytes()
    without, _ = picture(bare, "without", "--no-t5")
    assert not np.array_equal(without, whole)
    assert np.array_equal(picture(files, "none", "--t5", "none")[0], without)
    cast, _ = picture(files, "fp8", "--transformer-storage", "fp8")
    assert 0 < np.abs(cast.astype(float) - whole).mean() < 10
    with pytest.raises(GeodiffError, match="--t5 streamed"):
        run("generate", *flags(files), *drawn, "--no-t5", "--t5", "streamed")
    with pytest.raises(GeodiffError, match="t5"):
        run("generate", *flags(files), *drawn, "--t5", "halved")
    assert "intact" in run("check-weights", *flags(bare), "--no-t5")
    result = CliRunner().invoke(cli.app, [str(word) for word in ("check-weights", *flags(bare))])
    assert result.exit_code == 2
    assert "--t5xxl FILE" in result.stdout
