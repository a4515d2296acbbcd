import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from geodiff_sar import cli
from geodiff_sar.core.errors import DataError, FileError, GeodiffError, OptionError
from geodiff_sar.data.features import save_features
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.model.base_parts import BaseSettings
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.workflows.check_weights import check_weights
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.listing import listing
from geodiff_sar.workflows.train import TrainConfig, train
from support import random_prior

CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def adapter(chips_root, tiny_base, tmp_path_factory):
    settings = {
        "base": str(tiny_base),
        "inject": ["pooled"],
        "output_dir": str(tmp_path_factory.mktemp("adapter")),
        "data": {"root": str(chips_root), "buckets": {"min_bucket_reso": 16}},
        "lora": {"rank": 2},
        "optimizer": {"lr": 5e-2},
        "train": {"max_steps": 15, "batch_size": 4, "device": "cpu"},
    }
    return train(TrainConfig.model_validate(settings))


def make(adapter, tiny_base, folder, **options):
    given = {
        "pretrained_model": str(tiny_base),
        "lora_weights": None if adapter is None else str(adapter),
        "prompt": CAPTION,
        "sample_steps": 3,
        "seed": 5,
        "output_dir": folder,
        **options,
    }
    return generate_chips(GenerateRequest.model_validate(given))


def test_sweep_sets_caption_pose_and_cloud(adapter, tiny_base, tmp_path):
    for azimuth in ("0.0", "120.0", "240.0"):
        save_features(tmp_path / f"{azimuth}.safetensors", random_prior(int(float(azimuth))))
    paths = make(
        adapter, tiny_base, tmp_path / "out", azimuths="0:360:120", pointcloud_path="{azimuth}.safetensors",
        pointcloud_dir=tmp_path, contact_sheet=True, gif=True,
    )  # fmt: skip
    assert [p.name for p in paths] == [
        f"generated_{k:04d}_az{a}_seed5.png" for k, a in enumerate(("0.0", "120.0", "240.0"))
    ]
    recipe = read_recipe(paths[1])
    assert recipe["caption"].endswith(",120.0")
    assert recipe["pose"]["azimuth_deg"] == 120.0
    assert recipe["files"]["pointcloud"]["path"].endswith("120.0.safetensors")
    assert (tmp_path / "out" / "generated_sheet.png").is_file()
    assert (tmp_path / "out" / "generated_sweep.gif").is_file()


def test_prompts_file_is_batched_and_regenerated_bit_for_bit(adapter, tiny_base, chips_root, tmp_path):
    lines = [
        f"SAR image,{'A' if k % 2 else 'B'},Ku-band,High,HH-Polarization,{36.0 * (k - 1)} --d {k} "
        f"--pc {k}.pt --ref {chips_root}/train/data/train/aircraft/{1 + k % 9}.png"
        for k in range(1, 6)
    ]
    lines.append(f"{CAPTION} --w 48 --h 32 --pc 1.pt")
    (tmp_path / "p.txt").write_text("\n".join(lines))
    clouds = chips_root / "3d_features"
    options = {"prompt": None, "prompts_file": tmp_path / "p.txt", "pointcloud_dir": clouds, "batch_size": 3}
    paths = make(adapter, tiny_base, tmp_path / "a", **options)
    assert len({path.read_bytes() for path in paths}) == 6
    assert [read_recipe(path)["batch_size"] for path in paths] == [3, 3, 3, 2, 2, 1]
    with Image.open(paths[5]) as picture:
        assert picture.size == (48, 32)
    for path in (paths[1], paths[4], paths[5]):
        (again,) = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "b"))
        assert again.read_bytes() == path.read_bytes()


def test_the_level_is_kept_as_suits_the_base_unless_said_otherwise(adapter, tiny_base, tmp_path):
    given = {"pointcloud_path": None, "allow_missing_geometry": True}
    chips = {
        name: make(adapter, tiny_base, tmp_path / str(name), keep_level=name, **given)[0]
        for name in (None, False, True)
    }
    assert [read_recipe(path)["guidance"]["keep_level"] for path in chips.values()] == [True, False, True]
    pixels = [np.asarray(Image.open(path)) for path in chips.values()]
    assert np.array_equal(pixels[0], pixels[2])
    assert not np.array_equal(pixels[1], pixels[2])
    (again,) = generate_chips(GenerateRequest(source=chips[False], output_dir=tmp_path / "again"))
    assert again.read_bytes() == chips[False].read_bytes()
    assert not BaseSettings(resolution=(1024, 1024)).keep_level  # pyright: ignore  # as diffusers and ComfyUI guide SD3.5


def test_regeneration_notices_changed_files(adapter, tiny_base, tmp_path):
    cloud = tmp_path / "c.pt"
    save_features(cloud, random_prior(1))
    (path,) = make(adapter, tiny_base, tmp_path / "a", pointcloud_path=str(cloud))
    save_features(cloud, random_prior(2))
    with pytest.raises(FileError, match=r"c\.pt.*has changed"):
        generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "b"))


def test_geometry_matters_and_fusion_can_be_off(adapter, tiny_base, tmp_path):
    for k in (1, 2):
        save_features(tmp_path / f"{k}.pt", random_prior(k))

    def picture(name, **options):
        (path,) = make(adapter, tiny_base, tmp_path / name, guidance_scale=10.0, **options)
        return np.asarray(Image.open(path)).astype(int)

    one = picture("a", pointcloud_path=str(tmp_path / "1.pt"))
    assert np.array_equal(one, picture("b", pointcloud_path=str(tmp_path / "1.pt")))
    assert not np.array_equal(one, picture("c", pointcloud_path=str(tmp_path / "2.pt")))
    off = picture("d", enable_3d_fusion=False)
    assert not np.array_equal(one, off)
    assert np.array_equal(off, picture("e", fusion_scale=0.0))


def test_environment_sets_the_default_scale(adapter, tiny_base, tmp_path, monkeypatch):
    save_features(tmp_path / "1.pt", random_prior(1))
    monkeypatch.setenv("FUSION_INJECTION_SCALE", "0.25")
    (path,) = make(adapter, tiny_base, tmp_path / "a", pointcloud_path=str(tmp_path / "1.pt"))
    assert read_recipe(path)["fusion_scale"] == 0.25
    monkeypatch.setenv("FUSION_INJECTION_SCALE", "strong")
    with pytest.raises(OptionError, match="FUSION_INJECTION_SCALE"):
        make(adapter, tiny_base, tmp_path / "b", pointcloud_path=str(tmp_path / "1.pt"))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"prompt": None}, OptionError, "--prompt"),
        ({"prompt": "SAR image,A"}, DataError, "fields"),
        ({}, FileError, "3D feature file not found"),
        ({"pointcloud_path": "none.pt"}, FileError, "none.pt"),
        ({"fusion_method": "add", "pointcloud_path": "x.pt"}, OptionError, "trained with hybrid_film_attn"),
        ({"pointcloud_dim": 32}, OptionError, "trained with 64"),
        ({"clip_l": "clip_l.safetensors"}, OptionError, "single-file"),
        ({"skip_layers": "1,99", "allow_missing_geometry": True}, OptionError, "--skip_layers"),
        ({"gif": True}, OptionError, "--gif"),
        ({"width": 50, "allow_missing_geometry": True}, OptionError, "--width"),
        ({"solver": "heun", "allow_missing_geometry": True}, OptionError, "--solver"),
    ],
)
def test_mistakes_write_nothing(adapter, tiny_base, tmp_path, options, kind, words):
    with pytest.raises(kind, match=words):
        make(adapter, tiny_base, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_without_adapter_fusion_options_are_refused(tiny_base, tmp_path):
    for options in ({"fusion_scale": 0.5}, {"enable_3d_fusion": True}, {"network_multiplier": 2.0}):
        with pytest.raises(OptionError, match="needs a"):
            make(None, tiny_base, tmp_path, **options)


def test_pictures_are_not_overwritten_unless_asked(tiny_base, tmp_path):
    (path,) = make(None, tiny_base, tmp_path)
    before = path.read_bytes()
    with pytest.raises(OptionError, match="not overwritten"):
        make(None, tiny_base, tmp_path, sample_steps=4)
    assert path.read_bytes() == before
    make(None, tiny_base, tmp_path, sample_steps=4, overwrite=True)
    assert path.read_bytes() != before


def test_help_is_fast_and_loads_neither_torch_nor_pydantic():
    code = "import sys, geodiff_sar.cli; assert not {'torch', 'numpy', 'pydantic', 'diffusers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "geodiff_sar", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - started)
    assert min(times) < 0.3


def test_command_line_errors_have_code_2_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "geodiff_sar", "generate", "--prompts_file", str(tmp_path / "no.txt")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no.txt" in done.stderr
    assert "remedy" in done.stderr
    assert "Traceback" not in done.stderr


def test_show_and_list(tiny_base, tmp_path):
    (path,) = make(None, tiny_base, tmp_path)
    shown = CliRunner().invoke(cli.app, ["show", str(path)])
    assert json.loads(shown.stdout)["seed"] == 5
    assert "hybrid_film_attn" in listing("fusion")
    assert "train.max_steps" in listing("options")
    for what in ("optimizers", "solvers", "schedules", "layouts", "bases"):
        assert len(listing(what).splitlines()) >= 1
    with pytest.raises(OptionError, match="fusion, optimizers"):
        listing("everything")


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"prompt": ""}, OptionError, "--prompt: prompt = ''"),
        ({"prompt": "a plane", "depression": 20.0}, OptionError, "--depression"),
        ({"pointcloud_dir": "/nowhere"}, FileError, "--pointcloud_dir is a folder"),
        ({"pointcloud_path": "{azimuth.real}.pt"}, OptionError, "only {azimuth}"),
        ({"pointcloud_path": "{x}.pt"}, OptionError, "only {azimuth}"),
        ({"prompt": "a plane", "pointcloud_path": "{azimuth}.pt"}, OptionError, "no azimuth"),
        ({"skip_layer_scale": 3.0}, OptionError, "--skip_layers"),
        ({"skip_layers": "1", "skip_layer_start": 0.5}, OptionError, "--skip_layer_start"),
        ({"enable_3d_fusion": False, "fusion_scale": 2.0}, OptionError, "--no-3d-fusion"),
        ({"azimuths": "0:inf:1"}, OptionError, "--azimuths"),
        ({"azimuths": "0:360:1e-9"}, OptionError, "--azimuths"),
    ],
)
def test_more_mistakes_write_nothing(adapter, tiny_base, tmp_path, options, kind, words):
    with pytest.raises(kind, match=words):
        make(adapter, tiny_base, tmp_path / "out", **{"allow_missing_geometry": True, **options})
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_a_later_prompt_comes_before_the_first_picture(adapter, tiny_base, chips_root, tmp_path):
    cloud = chips_root / "3d_features" / "1.pt"
    torch.save(torch.ones(5, 64), tmp_path / "bare.pt")
    for flags, words in (("--w 33", "--width"), (f"--pc {tmp_path}/bare.pt", r"bare\.pt: holds no coordinates")):
        (tmp_path / "p.txt").write_text(f"{CAPTION}\n{CAPTION} {flags}\n")
        with pytest.raises(GeodiffError, match=words):
            make(
                adapter, tiny_base, tmp_path / "out", prompt=None, prompts_file=tmp_path / "p.txt", batch_size=1,
                pointcloud_path=str(cloud),
            )  # fmt: skip
        assert not (tmp_path / "out").exists()


def test_places_and_names_are_checked_first(tiny_base, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match="cannot be written"):
        make(None, tiny_base, tmp_path / "file" / "out")
    for name in ("a/b", "../b"):
        with pytest.raises(ValueError, match="plain name"):
            make(None, tiny_base, tmp_path / "out", output_name=name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "generated_sheet.png").write_text("mine")
    with pytest.raises(OptionError, match=r"generated_sheet\.png exists"):
        make(None, tiny_base, tmp_path / "out", contact_sheet=True)
    assert (tmp_path / "out" / "generated_sheet.png").read_text() == "mine"


def test_a_prompt_wins_over_a_prompts_file_and_says_so(tiny_base, tmp_path, capsys):
    make(None, tiny_base, tmp_path / "out", prompts_file=tmp_path / "p.txt")
    assert "p.txt is not read" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there(tiny_base, tmp_path):
    with pytest.raises(OptionError, match="--device: 'cuda'"):
        make(None, tiny_base, tmp_path / "out", device="cuda")


def test_half_precision_on_the_cpu(tiny_base, tmp_path):
    for dtype in ("fp16", "bf16"):
        assert make(None, tiny_base, tmp_path / dtype, dtype=dtype)


@pytest.fixture(scope="module")
def made(tiny_base, tmp_path_factory):
    return make(None, tiny_base, tmp_path_factory.mktemp("made"))[0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *(({key: None}, f"the key '{key}' is missing") for key in ("files", "request", "prompt", "seed", "threads")),
        *(({key: None}, f"the key '{key}' is missing") for key in ("width", "batch_index", "base_hash", "versions")),
        ({"files": [1]}, "files ="),
        ({"request": [1]}, "request ="),
        ({"width": "wide"}, "width ="),
        ({"threads": 0}, "threads ="),
        ({"batch_index": 9}, "batch_index 9 lies outside"),
        ({"seed": 6}, "'seed' of its recipe is 6"),
        ({"steps": 7}, "'steps' of its recipe is 7"),
        ({"pixels_sha256": "0" * 64}, "pixels made from its recipe differ"),
    ],
)
def test_a_changed_recipe_is_refused(made, tmp_path, change, words):
    recipe = {**read_recipe(made), **change}
    recipe = {key: value for key, value in recipe.items() if not (key in change and value is None)}
    changed = tmp_path / "changed.png"
    write_chip(changed, np.asarray(Image.open(made)).astype(np.float32), recipe)
    with pytest.raises(GeodiffError, match=words) as error:
        generate_chips(GenerateRequest(source=changed, output_dir=tmp_path / "out"))
    assert "changed.png" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_chip_made_without_adapter_is_regenerated(made, tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_INJECTION_SCALE", "0.5")  # means nothing without an adapter
    (again,) = generate_chips(GenerateRequest(source=made, output_dir=tmp_path))
    assert again.read_bytes() == made.read_bytes()


def test_nothing_else_goes_with_a_recipe(made, tmp_path):
    for options in ({"prompt": "a plane"}, {"sample_steps": 9}):
        with pytest.raises(OptionError, match=f"together with --{next(iter(options))}"):
            generate_chips(GenerateRequest(source=made, output_dir=tmp_path, **options))


def test_a_recipe_is_a_table(tmp_path):
    from PIL import PngImagePlugin

    chunk = PngImagePlugin.PngInfo()
    chunk.add_text("geodiff_sar", "[1]")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png", pnginfo=chunk)
    with pytest.raises(FileError, match="its recipe is a list"):
        read_recipe(tmp_path / "a.png")


@pytest.mark.parametrize("damage", ["record", "weights", "none"])
def test_check_weights_looks_into_the_adapter(adapter, tiny_base, tmp_path, damage):
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in adapter.glob("geodiff*"):
        shutil.copy(file, copy)
    if damage == "record":
        (copy / "geodiff_fusion.json").write_text('{"fusion_method": "gentle"}')
    elif damage == "weights":
        weights = load_file(copy / "geodiff_fusion_weights.safetensors")
        save_file(dict(list(weights.items())[1:]), copy / "geodiff_fusion_weights.safetensors")
    report, intact = check_weights(str(tiny_base), str(copy))
    assert intact == (damage == "none"), report
    assert ("PROBLEM" in report) == (damage != "none")


def test_captions_are_spelled_as_in_training(adapter, tiny_base, tmp_path):
    typed = "SAR image, A, Ku-band, High, HH-Polarization, 0"
    recipes = []
    for name, prompt in (("a", CAPTION), ("b", typed)):
        (path,) = make(adapter, tiny_base, tmp_path / name, prompt=prompt, allow_missing_geometry=True)
        recipes.append(read_recipe(path))
    assert recipes[1]["caption"] == CAPTION
    assert recipes[0]["pixels_sha256"] == recipes[1]["pixels_sha256"]


def test_each_line_without_a_seed_draws_its_own(tiny_base, tmp_path):
    (tmp_path / "p.txt").write_text(f"{CAPTION} --d -1 --ss euler_a\n{CAPTION} --d -1\n{CAPTION} --d 4\n")
    paths = make(None, tiny_base, tmp_path / "out", prompt=None, prompts_file=tmp_path / "p.txt", seed=None)
    seeds = [read_recipe(path)["seed"] for path in paths]
    assert seeds[2] == 4
    assert len(set(seeds)) == 3


def test_pipeline_from_files(adapter, tiny_base):
    from geodiff_sar.sampling.pipeline import ChipRequest, GeoDiffSARPipeline

    pipeline = GeoDiffSARPipeline.from_pretrained(str(tiny_base), str(adapter))
    made = pipeline([ChipRequest(CAPTION, 1, prior=random_prior(1))], steps=2)
    assert made.images[0].size == (32, 32)
    assert pipeline.conditioning is not None
    assert not pipeline.conditioning.training
