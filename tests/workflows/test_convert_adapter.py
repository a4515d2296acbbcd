"""An adapter's LoRA in another format: record and conditioning weights go with it, and geometry goes on acting."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.data.features import save_features
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.workflows.check_weights import check_weights
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.train import train
from support import random_prior
from training_runs import config_for

CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def adapter(chips_root, tiny_base, tmp_path_factory):
    sections = {"optimizer": {"lr": 5e-2}, "ema": {"enabled": False}}
    return train(config_for(chips_root, tiny_base, tmp_path_factory.mktemp("adapter"), sections, max_steps=15))


def convert(source, out, to, **options):
    return convert_lora(ConvertRequest(source=source, out=out, to=to, **options))


def chip(adapter, tiny_base, folder, cloud=None, **options):
    given = {
        "pretrained_model": str(tiny_base), "lora_weights": str(adapter), "prompt": CAPTION, "sample_steps": 3, "seed": 5,
        "output_dir": folder, "guidance_scale": 10.0, "fusion_scale": 30.0,
        "pointcloud_path": None if cloud is None else str(cloud), **options,
    }  # fmt: skip
    with Image.open(generate_chips(GenerateRequest.model_validate(given))[0]) as picture:
        return np.asarray(picture).astype(int)


@pytest.mark.parametrize("to", ["comfyui", "diffusers", "kohya", "reference"])
def test_geometry_goes_on_acting(to, adapter, tiny_base, tmp_path, capsys):
    cloud = tmp_path / "1.pt"
    save_features(cloud, random_prior(1))
    out = tmp_path / "there" / "out.safetensors"
    out.parent.mkdir()
    convert(adapter, out, to)
    pictures = {}
    assert "go on acting in geodiff-sar" in " ".join(capsys.readouterr().err.split())
    for name, options in {
        "on": {},
        "off": {"fusion_scale": None, "enable_3d_fusion": False},
        "half": {"network_multiplier": 0.5},
    }.items():
        pictures[name] = [
            chip(one, tiny_base, tmp_path / f"{name}{k}", cloud, **options) for k, one in enumerate((adapter, out))
        ]
        assert np.abs(pictures[name][0] - pictures[name][1]).max() <= 1
    assert np.abs(pictures["on"][0] - pictures["off"][0]).max() > 3
    assert np.abs(pictures["on"][0] - pictures["half"][0]).max() > 3
    text, sound = check_weights(str(tiny_base), lora_weights=str(out.parent))
    assert sound, text

    # the published program would put an untrained network where this says that there is fusion
    assert json.loads((out.parent / "out_fusion.json").read_text())["enable_3d_fusion"] is False
    (out.parent / "alone").mkdir()
    alone = shutil.copy(out, out.parent / "alone" / "out.safetensors")
    capsys.readouterr()
    chip(alone, tiny_base, tmp_path / "alone", fusion_scale=None)
    assert "geometry, reference and pose are absent" in " ".join(capsys.readouterr().err.split())
    if to == "reference":
        with safe_open(out, "pt") as file:
            assert file.metadata()["ss_enable_3d_fusion"] == "True"  # how it was trained


def test_a_travelled_record_still_says_how_it_was_trained(adapter, tiny_base, tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    convert(adapter, tmp_path / "first" / "a.safetensors", "kohya")
    convert(tmp_path / "first", tmp_path / "second" / "b.safetensors", "reference")
    with safe_open(tmp_path / "second" / "b.safetensors", "pt") as file:
        assert file.metadata()["ss_enable_3d_fusion"] == "True"
    assert check_weights(str(tiny_base), lora_weights=str(tmp_path / "second"))[1]


def test_a_truncated_one_loads_with_the_rank_it_has(adapter, tiny_base, tmp_path):
    save_features(tmp_path / "1.pt", random_prior(1))
    convert(adapter, tmp_path / "out.safetensors", "kohya", rank=1)
    exact, lossy = (
        chip(one, tiny_base, tmp_path / f"c{k}", tmp_path / "1.pt")
        for k, one in enumerate((adapter, tmp_path / "out.safetensors"))
    )
    assert np.abs(exact - lossy).max() > 1


def test_one_folder_holds_one_adapter(adapter, tmp_path, capsys):
    folder = shutil.copytree(adapter, tmp_path / "run")
    convert(folder, folder / "kohya.safetensors", "kohya")
    assert "one folder holds one adapter" in " ".join(capsys.readouterr().err.split())
    assert resolve_adapter(str(folder)).weights == folder / "run.safetensors"


def test_nothing_of_another_adapter_stays_beside(adapter, tmp_path):
    folder = shutil.copytree(adapter, tmp_path / "run")
    plain = tmp_path / "plain.safetensors"
    shutil.copy(folder / "run.safetensors", plain)
    (tmp_path / "out_fusion.json").write_text("{}")
    with pytest.raises(OptionError, match=r"out_fusion\.json exists"):
        convert(plain, tmp_path / "out.safetensors", "kohya")
    convert(plain, tmp_path / "out.safetensors", "kohya", overwrite=True)
    assert sorted(file.name for file in tmp_path.glob("out*")) == ["out.safetensors"]


def test_the_files_of_the_source_are_never_written_over(adapter, tmp_path):
    shutil.copytree(adapter, tmp_path, dirs_exist_ok=True)
    source = (tmp_path / "run.safetensors").rename(tmp_path / "run.sft")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OptionError, match=r"run_fusion\.json exists and belongs to IN"):
        convert(source, tmp_path / "run.safetensors", "kohya", overwrite=True)
    assert sorted(tmp_path.iterdir()) == before


def test_bad_cases(adapter, chips_root, tiny_base, tmp_path, capsys):
    (tmp_path / "there").mkdir()
    out = tmp_path / "there" / "out.safetensors"
    convert(adapter, out, "kohya")
    sections = {"optimizer": {"lr": 5e-2}}
    config = config_for(chips_root, tiny_base, tmp_path / "runs", sections, max_steps=1)
    with pytest.raises(OptionError, match=r"out_fusion\.json was converted to kohya"):
        train(config.model_copy(update={"start_from": str(out)}))
    out.write_bytes(out.read_bytes()[:-100])
    with pytest.raises(FileError, match=r"out\.safetensors"):
        chip(out, tiny_base, tmp_path / "cut")

    theirs = tmp_path / "theirs.safetensors"  # the published trainer's files
    shutil.copy(adapter / "run.safetensors", theirs)
    (tmp_path / "theirs_fusion.json").write_text(json.dumps({"enable_3d_fusion": True, "fusion_method": "gated"}))
    (tmp_path / "theirs_fusion_weights.safetensors").write_bytes(b"")
    with pytest.raises(FileError, match="for the LoRA alone"):
        chip(theirs, tiny_base, tmp_path / "published", fusion_scale=None)
    capsys.readouterr()
    convert(theirs, tmp_path / "theirs_alone.safetensors", "diffusers")
    assert "never trained" in " ".join(capsys.readouterr().err.split())
    chip(tmp_path / "theirs_alone.safetensors", tiny_base, tmp_path / "published", fusion_scale=None)
