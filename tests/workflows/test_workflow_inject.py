"""Training and generation with every way of injecting conditions, from the files to the pictures."""

import json
import shutil
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from test_workflow_train import config_for, weights_of

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.types import RadarParams
from geodiff_sar.data.features import load_features, save_features
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.model.adapter import load_adapter, read_record
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.base import load_base
from geodiff_sar.workflows.check_weights import check_weights
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.train import TrainConfig, run_training, train
from support import MAP_NAMES, RADAR, write_chips_root, write_map_priors

CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"
SUBSETS = [list(s) for s in chain.from_iterable(combinations(("pooled", "tokens", "map"), k) for k in range(4))]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mapped")
    write_chips_root(folder)
    write_map_priors(folder)
    return folder


def config_of(root, base, output, inject, sections=None, **options) -> TrainConfig:
    plain = config_for(root, base, output, sections, **options).model_dump(mode="json")
    plain["inject"] = inject
    if "pooled" not in inject:
        del plain["fusion"]
    if not inject:
        del plain["conditioning"]
    return TrainConfig.model_validate(plain)


@pytest.fixture(scope="module")
def adapters(root, tiny_base, tmp_path_factory):
    """A trained adapter for each subset, made when first asked for."""
    made: dict[str, Path] = {}

    def get(inject) -> Path:
        name = "+".join(inject)
        if name not in made:
            folder = tmp_path_factory.mktemp("adapter")
            fast = {"optimizer": {"lr": 3e-2}, "ema": {"enabled": False}}
            made[name] = train(config_of(root, tiny_base, folder, inject, fast, max_steps=12))
        return made[name]

    return get


def make(adapter, tiny_base, folder, **options):
    given = {
        "pretrained_model": str(tiny_base),
        "lora_weights": str(adapter),
        "prompt": CAPTION,
        "sample_steps": 3,
        "seed": 5,
        "guidance_scale": 6.0,
        "output_dir": folder,
        **options,
    }
    return generate_chips(GenerateRequest.model_validate(given))


def grey(path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


@pytest.mark.parametrize("inject", SUBSETS, ids="+".join)
def test_train_save_load_generate_and_generate_again(inject, adapters, root, tiny_base, tmp_path, capsys):
    folder = adapters(inject)
    base = load_base(str(tiny_base))
    loaded = load_adapter(resolve_adapter(str(folder)), base.transformer, base.hash)
    assert loaded.record.inject == inject
    assert (loaded.conditioning is None) == (not inject)
    stack_file = folder / "run_fusion_weights.safetensors"
    assert stack_file.exists() == bool(inject)
    if loaded.conditioning is not None:
        saved, state = load_file(stack_file), loaded.conditioning.state_dict()
        assert saved.keys() == state.keys()
        assert all(torch.equal(saved[key], state[key]) for key in saved)
        assert loaded.conditioning.sizes.map_names == (MAP_NAMES if "map" in inject else ())
        opened = loaded.conditioning.summary()
        assert all(opened[key] > 0 for key in opened)
    card = (folder / "README.md").read_text()
    assert json.dumps(inject) in card or not inject
    assert ("Nothing but the text" in card) == (not inject)
    assert ("a reference chip" in card) == ("pooled" in inject or "tokens" in inject)
    assert check_weights(str(tiny_base), str(folder))[1]
    capsys.readouterr()
    options = {"pointcloud_path": str(root / "3d_features" / "1.safetensors")} if inject else {}
    (path,) = make(folder, tiny_base, tmp_path / "a", **options)
    assert ("nothing but the text conditions" in capsys.readouterr().err) == (not inject)
    assert read_recipe(path)["inject"] == inject
    (again,) = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "b"))
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("inject", [["tokens"], ["map"], ["pooled", "tokens", "map"]], ids="+".join)
def test_another_prior_makes_another_picture(inject, adapters, root, tiny_base, tmp_path):
    clouds = root / "3d_features"
    prior = load_features(clouds / "1.safetensors")
    other = load_features(clouds / "3.safetensors")
    assert prior.maps is not None
    assert other.maps is not None
    if inject == ["map"]:  # the same cloud, other maps
        other = replace(prior, maps=1.0 - prior.maps)
    save_features(tmp_path / "other.safetensors", other)
    one, two, off = (
        make(adapters(inject), tiny_base, tmp_path / name, **options)[0]
        for name, options in {
            "one": {"pointcloud_path": str(clouds / "1.safetensors")},
            "two": {"pointcloud_path": str(tmp_path / "other.safetensors")},
            "off": {"enable_3d_fusion": False},
        }.items()
    )
    assert not np.array_equal(grey(one), grey(two))
    assert not np.array_equal(grey(one), grey(off))


def test_resume_is_exact_with_tokens_and_map(root, tiny_base, tmp_path):
    inject = ["pooled", "tokens", "map"]
    whole = weights_of(train(config_of(root, tiny_base, tmp_path / "a", inject)))
    first = config_of(root, tiny_base, tmp_path / "b", inject)
    folder = train(first)
    for late in ("step-00000006", "step-00000008"):
        shutil.rmtree(folder / "checkpoints" / late)
    for file in folder.glob("run*.safetensors"):
        file.unlink()
    _, result = run_training(first)
    assert len(result.losses) == 5
    again = weights_of(folder)
    assert any(key.startswith("tokens.") for key in whole)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_previews_and_validation_see_what_training_sees(root, tiny_base, tmp_path):
    clouds = root / "3d_features"
    (tmp_path / "p.txt").write_text(
        f"{CAPTION} --pc {clouds / '1.safetensors'}\n{CAPTION} --pc {clouds / '3.safetensors'}\n"
    )
    sections = {
        "data": {"split": {"validation": "azimuth-sectors", "sectors": [(100.0, 200.0)]}},
        "preview": {"prompts_file": str(tmp_path / "p.txt"), "sample_steps": 2},
        "optimizer": {"lr": 5e-2},
    }
    often = {"preview_every_steps": 4, "validate_every_steps": 2, "max_steps": 4}
    folder = train(config_of(root, tiny_base, tmp_path / "out", ["tokens", "map"], sections, **often))
    one, two = sorted((folder / "samples").glob("*.png"))
    assert not np.array_equal(grey(one), grey(two))


def test_guidance_interval_is_checked_and_recorded(adapters, tiny_base, tmp_path):
    given = {"allow_missing_geometry": True, "guidance_start": 0.2, "guidance_stop": 0.6}
    (path,) = make(adapters(["pooled"]), tiny_base, tmp_path / "a", **given)
    guidance = read_recipe(path)["guidance"]
    assert (guidance["guidance_start"], guidance["guidance_stop"]) == (0.2, 0.6)
    (again,) = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "b"))
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(OptionError, match="--guidance_start"):
        make(adapters(["pooled"]), tiny_base, tmp_path / "c", **{**given, "guidance_stop": 0.1})


def copied(root, tmp_path) -> Path:
    shutil.copytree(root, tmp_path / "data")
    return tmp_path / "data"


def test_priors_without_maps(root, tiny_base, tmp_path, capsys):
    data = copied(root, tmp_path)
    file = data / "3d_features" / "4.safetensors"
    save_features(file, replace(load_features(file), maps=None))
    with pytest.raises(DataError, match=r"1 priors hold no maps: .*4\.safetensors") as error:
        train(config_of(data, tiny_base, tmp_path / "out", ["map"], max_steps=1))
    assert "geodiff-sar prior" in str(error.value)
    train(config_of(data, tiny_base, tmp_path / "pooled", ["pooled"], max_steps=1))
    allowed = {"data": {"allow_missing_geometry": True}}
    folder = train(config_of(data, tiny_base, tmp_path / "out", ["map"], allowed, max_steps=1))
    assert "no maps, the learned null is used for: 4" in capsys.readouterr().err
    with pytest.raises(DataError, match="holds no maps"):
        make(folder, tiny_base, tmp_path / "pictures", pointcloud_path=str(file))
    given = {"pointcloud_path": str(file), "allow_missing_geometry": True}
    assert make(folder, tiny_base, tmp_path / "pictures", **given)


def test_maps_must_lie_on_the_grid_of_their_chip_and_be_the_same_everywhere(root, tiny_base, tmp_path):
    data = copied(root, tmp_path)
    file = data / "3d_features" / "4.safetensors"
    prior = load_features(file)
    assert prior.maps is not None
    save_features(file, replace(prior, maps=prior.maps[:, :20]))
    with pytest.raises(DataError, match=r"20 x 32 pixels, its chip .*4\.png has 32 x 32"):
        train(config_of(data, tiny_base, tmp_path / "out", ["map"], max_steps=1))
    save_features(file, replace(prior, provenance={"maps": ["a", "b", "c"]}))
    with pytest.raises(DataError, match="holds the maps a, b, c, others hold illumination"):
        train(config_of(data, tiny_base, tmp_path / "out", ["map"], max_steps=1))
    save_features(file, replace(prior, provenance={"maps": ["a"]}))
    with pytest.raises(DataError, match="holds 3 maps and names"):
        train(config_of(data, tiny_base, tmp_path / "out", ["map"], max_steps=1))


def test_an_adapter_refuses_other_maps(adapters, root, tiny_base, tmp_path):
    prior = load_features(root / "3d_features" / "1.safetensors")
    save_features(tmp_path / "other.safetensors", replace(prior, provenance={"maps": ["x", "y", "z"]}))
    with pytest.raises(DataError, match="holds the maps x, y, z"):
        make(adapters(["map"]), tiny_base, tmp_path / "a", pointcloud_path=str(tmp_path / "other.safetensors"))


def test_pose_alone_needs_no_features(tiny_base, tmp_path, capsys):
    write_chips_root(tmp_path / "data", features=False)
    (tmp_path / "data" / "3d_features").rmdir()
    sections = {"conditioning": {"modalities": ["pose"]}}
    folder = train(config_of(tmp_path / "data", tiny_base, tmp_path / "out", ["pooled"], sections, max_steps=4))
    assert "null embedding" not in capsys.readouterr().err
    names = load_file(folder / "run_fusion_weights.safetensors")
    assert not [name for name in names if name.startswith(("points.", "image."))]
    write_chips_root(tmp_path / "more")
    picture = tmp_path / "more" / "train" / "data" / "train" / "aircraft" / "1.png"
    given = {"reference": picture, "pointcloud_path": str(tmp_path / "more" / "3d_features" / "1.pt")}
    (plain,) = make(folder, tiny_base, tmp_path / "a")
    (same,) = make(folder, tiny_base, tmp_path / "b", **given)
    said = capsys.readouterr().err
    assert "--reference (--ref) has no effect" in said
    assert "--pointcloud_path (--pc) has no effect" in said
    assert np.array_equal(grey(plain), grey(same))


def test_targets_can_weigh_more_without_an_injection(root, tiny_base, tmp_path):
    """The maps say where the target is, though the adapter never sees them."""

    def first_loss(name: str, weight: float) -> float:
        more = {"objective": {"target_weight": weight}}
        config = config_of(data, tiny_base, tmp_path / name, [], more, max_steps=1)
        return run_training(config)[1].losses[0]

    data = copied(root, tmp_path)
    for file in (data / "3d_features").glob("*.safetensors"):
        prior = load_features(file)
        assert prior.maps is not None
        maps = np.zeros_like(prior.maps)
        maps[1, 8:20, 8:20] = 1.0
        save_features(file, replace(prior, maps=maps))
    assert first_loss("plain", 1.0) != pytest.approx(first_loss("weighted", 30.0), rel=1e-4)
    save_features(file, replace(load_features(file), maps=None))
    with pytest.raises(DataError, match=r"objective\.target_weight") as error:
        first_loss("without", 30.0)
    assert file.name in str(error.value)


def test_text_alone_says_what_has_no_effect(adapters, root, tiny_base, tmp_path, capsys):
    (path,) = make(adapters([]), tiny_base, tmp_path / "a", pointcloud_path=str(root / "3d_features/1.safetensors"))
    assert "--pointcloud_path (--pc) has no effect" in capsys.readouterr().err
    (plain,) = make(adapters([]), tiny_base, tmp_path / "b")
    assert np.array_equal(grey(path), grey(plain))
    for options in ({"fusion_scale": 0.5}, {"geometry_scale": 2.0}, {"fusion_method": "add"}):
        with pytest.raises(OptionError, match="text alone conditions this adapter"):
            make(adapters([]), tiny_base, tmp_path / "c", **options)


def test_priors_of_another_radar_or_depression(adapters, root, tiny_base, tmp_path, capsys):
    record = read_record(resolve_adapter(str(adapters(["map"]))))
    assert record.priors is not None
    assert record.priors.depressions_deg == (30.0, 30.0)
    assert [radar.center_frequency_hz for radar in record.priors.radars] == [RADAR.center_frequency_hz]
    prior = load_features(root / "3d_features" / "1.safetensors")
    assert prior.pose is not None
    changed = {
        "near": replace(prior, radar=RadarParams(15.1e9, 6e8, 2.0), pose=replace(prior.pose, depression_deg=30.9)),
        "band": replace(prior, radar=RadarParams(9.6e9, 6e8, 2.0)),
        "polarisation": replace(prior, radar=RadarParams(15e9, 6e8, 2.0, "VV")),
        "depression": replace(prior, pose=replace(prior.pose, depression_deg=45.0)),
    }
    for name, other in changed.items():
        save_features(tmp_path / f"{name}.safetensors", other)
    wanted = {
        "near": None,
        "band": "radar 9.6 GHz, bandwidth 600 MHz, aperture 2 degrees, HH; trained with 15 GHz",
        "polarisation": "VV; trained with 15 GHz, bandwidth 600 MHz, aperture 2 degrees, HH",
        "depression": "depression 45 degrees; trained with 30",
    }
    capsys.readouterr()
    for name, words in wanted.items():
        given = {"pointcloud_path": str(tmp_path / f"{name}.safetensors")}
        make(adapters(["map"]), tiny_base, tmp_path / name, **given)
        said = " ".join(capsys.readouterr().err.split())
        assert (words or "trained with") in said if words else "trained with" not in said
        if words is None:
            make(adapters(["map"]), tiny_base, tmp_path / f"{name}2", strict_prior=True, **given)
        else:
            with pytest.raises(DataError, match="trained with"):
                make(adapters(["map"]), tiny_base, tmp_path / f"{name}2", strict_prior=True, **given)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inject": []}, r"settings of fusion|settings of conditioning"),
        ({"inject": [], "train_base": "none"}, "nothing is trained"),
        ({"inject": ["map", "map"]}, "names a place twice"),
        ({"inject": ["tokens"]}, "settings of fusion or conditioning.residual without 'pooled'"),
        ({"inject": ["pooled"], "conditioning": {"tokens": {"queries": 4}}}, "settings of conditioning.tokens"),
        ({"inject": ["pooled"], "conditioning": {"maps": {"channels": 8}}}, "settings of conditioning.maps"),
        ({"inject": ["pooled", "map"], "conditioning": {"modalities": ["pose"]}}, "without 'geometry'"),
        ({"inject": ["pooled"], "conditioning": {"modalities": []}}, "modalities"),
        ({"inject": ["cloud"]}, "inject"),
    ],
)
def test_options_without_effect_are_refused(change, words):
    from geodiff_sar.core.config import parse_options

    with pytest.raises(OptionError, match=words):
        parse_options(TrainConfig, {"fusion": {"method": "gated"}, **change}, "test")


def test_missing_prior_with_maps_alone(root, tiny_base, tmp_path):
    data = copied(root, tmp_path)
    (data / "3d_features" / "4.safetensors").unlink()
    with pytest.raises(FileError, match="1 of 10 chips: 4"):
        train(config_of(data, tiny_base, tmp_path / "out", ["map"], max_steps=1))


def test_an_adapter_from_before_there_was_a_choice_still_loads(adapters, tiny_base, tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(adapters(["pooled"]), folder)
    path = folder / "run_fusion.json"
    content = json.loads(path.read_text())
    ours = content["geodiff_sar"]
    ours["version"] = 1
    for key in ("priors", "inject"):
        del ours[key]
    header = ours["conditioning"]
    for table, keys in {"sizes": ("backbone", "map_names"), "conditioning": ("modalities", "tokens", "maps")}.items():
        for key in keys:
            del header[table][key]
    del header["inject"]
    path.write_text(json.dumps(content))
    base = load_base(str(tiny_base))
    loaded = load_adapter(resolve_adapter(str(folder)), base.transformer, base.hash)
    assert loaded.conditioning is not None
    assert loaded.conditioning.inject == ["pooled"]
    assert loaded.record.inject == ["pooled"]
    assert make(folder, tiny_base, tmp_path / "a", allow_missing_geometry=True)


def test_the_default_is_the_map_and_says_what_it_needs(root, chips_root, tiny_base, tmp_path):
    settings = {
        "base": str(tiny_base),
        "output_dir": str(tmp_path),
        "data": {"root": str(root), "buckets": {"min_bucket_reso": 16}},
        "lora": {"rank": 2},
        "train": {"max_steps": 1, "batch_size": 2, "device": "cpu"},
    }
    folder = train(TrainConfig.model_validate(settings))
    assert read_record(resolve_adapter(str(folder))).inject == ["map"]
    settings["data"]["root"] = str(chips_root)
    with pytest.raises(DataError, match=r'10 priors hold no maps[\s\S]*set inject without "map"'):
        train(TrainConfig.model_validate({**settings, "output_name": "plain"}))
