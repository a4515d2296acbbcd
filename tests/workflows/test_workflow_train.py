import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch._inductor import config as inductor
from tracing_cases import command

from geodiff_sar.core.config import parse_options, write_toml
from geodiff_sar.core.errors import DataError, FileError, GeodiffError, NumericalError, OptionError
from geodiff_sar.model.adapter import load_adapter
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.model.base import load_base
from geodiff_sar.workflows.train import TrainConfig, run_training, train
from support import SHARED, write_chips_root
from training_runs import config_for, weights_of


def test_everything_promised_is_written_and_loaded_strictly(chips_root, tiny_base, tmp_path):
    folder = train(config_for(chips_root, tiny_base, tmp_path))
    for name in ("run.safetensors", "run_fusion_weights.safetensors", "run_fusion.json", "config.toml", "README.md"):
        assert (folder / name).stat().st_size > 0
    published = json.loads((folder / "run_fusion.json").read_text())
    assert published["fusion_method"] == "hybrid_film_attn"
    assert published["pointcloud_dim"] == 64
    manifest = json.loads((folder / "manifest.json").read_text())
    assert set(manifest["files"]) == {
        "run.safetensors",
        "run_fusion_weights.safetensors",
        "run_fusion.json",
        "run.json",
    }
    assert list((folder / "logs").iterdir())
    base = load_base(str(tiny_base))
    adapter = load_adapter(resolve_adapter(str(folder)), base.transformer, base.hash)
    saved = load_file(folder / "run_fusion_weights.safetensors")
    loaded = adapter.conditioning.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)
    assert not adapter.conditioning.training
    assert adapter.conditioning.summary()["gate/max"] > 0


def test_resumed_run_equals_uninterrupted_run_bit_for_bit(chips_root, tiny_base, tmp_path):
    whole = weights_of(train(config_for(chips_root, tiny_base, tmp_path / "a")))
    first = config_for(chips_root, tiny_base, tmp_path / "b")
    folder = train(first)
    for late in ("step-00000006", "step-00000008"):
        target = folder / "checkpoints" / late
        for file in target.iterdir():
            file.unlink()
        target.rmdir()
    for file in folder.glob("run*.safetensors"):
        file.unlink()
    _, result = run_training(first)
    assert len(result.losses) == 5
    again = weights_of(folder)
    for file in ("run.safetensors", "run_fusion_weights.safetensors", "run_fusion.json"):
        assert (folder / file).read_bytes() == (tmp_path / "a" / "run" / file).read_bytes(), file
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def kill_and_resume(config: TrainConfig, folder: Path, delay: float) -> bool:
    """Start the run as a process, kill it after ``delay`` seconds; whether it was still running."""
    path = folder.parent / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_toml(path, config)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "geodiff_sar", "train", "--config", str(path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        process.wait(delay)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["adamw", "prodigy"])
def test_ten_kills_at_random_moments_change_nothing(chips_root, tiny_base, tmp_path, optimizer):
    torch.set_num_threads(1)
    settings = {"max_steps": 60, "checkpoint_every_steps": 4}
    whole_config = config_for(chips_root, tiny_base, tmp_path / "whole", **settings)
    changed = {"optimizer": whole_config.optimizer.model_copy(update={"name": optimizer, "lr": None})}
    whole_config = whole_config.model_copy(update=changed)
    started = time.perf_counter()
    assert not kill_and_resume(whole_config, tmp_path / "whole" / "run", 600)
    alone = time.perf_counter() - started
    config = config_for(chips_root, tiny_base, tmp_path / "killed", **settings).model_copy(update=changed)
    rng, killed = np.random.default_rng(11), 0
    for _ in range(60):
        if killed == 10:
            break
        latest = tmp_path / "killed" / "run" / "checkpoints"
        done = latest.is_dir() and (latest / "step-00000060").is_dir()
        killed += kill_and_resume(config, tmp_path / "killed" / "run", rng.uniform(0.6, 1.0 if done else 0.8) * alone)
    assert killed == 10
    assert not kill_and_resume(config, tmp_path / "killed" / "run", 600)
    whole, again = weights_of(tmp_path / "whole" / "run"), weights_of(tmp_path / "killed" / "run")
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_folder_of_another_run_is_refused(chips_root, tiny_base, tmp_path):
    train(config_for(chips_root, tiny_base, tmp_path, max_steps=2))
    with pytest.raises(OptionError, match=r"train\.max_steps: 2 -> 3"):
        train(config_for(chips_root, tiny_base, tmp_path, max_steps=3))
    other = tmp_path / "other"
    write_chips_root(other, count=8)
    with pytest.raises(OptionError, match="other chips, captions or features"):
        train(config_for(other, tiny_base, tmp_path, max_steps=2))
    changed = tmp_path / "changed"
    shutil.copytree(tiny_base, changed, ignore=shutil.ignore_patterns("work"))
    train(config_for(chips_root, changed, tmp_path / "based", max_steps=2))
    weights = load_file(changed / "vae" / "diffusion_pytorch_model.safetensors")
    save_file(
        {key: value + 0.01 for key, value in weights.items()}, changed / "vae" / "diffusion_pytorch_model.safetensors"
    )
    with pytest.raises(OptionError, match="base: other weights"):
        train(config_for(chips_root, changed, tmp_path / "based", max_steps=2))
    (tmp_path / "foreign" / "run").mkdir(parents=True)
    (tmp_path / "foreign" / "run" / "thesis.tex").touch()
    with pytest.raises(OptionError, match="not a run of this tool"):
        train(config_for(chips_root, tiny_base, tmp_path / "foreign"))


def test_missing_geometry_is_an_error_unless_allowed(tiny_base, tmp_path, capsys):
    write_chips_root(tmp_path / "data")
    (tmp_path / "data" / "3d_features" / "4.pt").unlink()
    config = config_for(tmp_path / "data", tiny_base, tmp_path / "out", max_steps=1)
    with pytest.raises(FileError, match="1 of 10 chips: 4") as error:
        train(config)
    assert "allow_missing_geometry" in str(error.value)
    assert not (tmp_path / "out" / "run" / "run.safetensors").exists()
    allowed = config.model_copy(update={"data": config.data.model_copy(update={"allow_missing_geometry": True})})
    train(allowed.model_copy(update={"output_name": "allowed"}))
    assert "null embedding is used for: 4" in capsys.readouterr().err


def test_features_without_coordinates_need_another_kind_of_positions(tiny_base, tmp_path):
    write_chips_root(tmp_path / "data")
    for file in sorted((tmp_path / "data" / "3d_features").glob("*.pt"))[:2]:
        np.save(file.with_suffix(".npy"), torch.load(file, weights_only=True)["features"].numpy())
        file.unlink()
    config = config_for(tmp_path / "data", tiny_base, tmp_path / "out", max_steps=1)
    with pytest.raises(DataError, match="2 chips have none: 1, 10"):
        train(config)
    for kind in ("none", "index"):
        points = config.conditioning.points.model_copy(update={"positions": kind})
        changed = config.conditioning.model_copy(update={"points": points})
        train(config.model_copy(update={"conditioning": changed, "output_name": kind}))


def test_nan_names_step_and_chips(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=50)
    wild = config.optimizer.model_copy(update={"name": "torch.optim.SGD", "lr": 1e30})
    with pytest.raises(NumericalError, match=r"step \d+: .* for the chips \d"):
        train(config.model_copy(update={"optimizer": wild}))


def test_held_out_sector_and_validation_loss(chips_root, tiny_base, tmp_path):
    split = {"split": {"validation": "azimuth-sectors", "sectors": [(100.0, 200.0)]}}
    folder = train(config_for(chips_root, tiny_base, tmp_path, {"data": split}, validate_every_steps=2, max_steps=4))
    assert json.loads((folder / "manifest.json").read_text())["data"]["validation"]["chips"] == 3
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "logs"))
    events.Reload()
    assert len(events.Scalars("validation/loss")) == 2
    for name in ("loss", "gradient_norm", "gate/mean", "lr/conditioning", "lr/transformer"):
        assert events.Scalars(name)


def test_previews_are_drawn_and_bad_prompts_found_at_once(chips_root, tiny_base, tmp_path, capsys):
    prompts = tmp_path / "prompts.txt"
    features = chips_root / "3d_features" / "1.pt"
    prompts.write_text(f"SAR image,A,Ku-band,High,HH-Polarization,0.0 --w 32 --h 32 --d 1 --s 2 --pc {features}\n")
    drawn = {"preview": {"prompts_file": str(prompts)}}
    config = config_for(chips_root, tiny_base, tmp_path, drawn, max_steps=4, preview_every_steps=2)
    folder = train(config)
    assert sorted(p.name for p in (folder / "samples").iterdir()) == ["run_00000002_00.png", "run_00000004_00.png"]
    assert "1 chips" not in capsys.readouterr().err  # no progress bar inside the training's
    prompts.write_text("SAR image,A,Ku-band,High,HH-Polarization,0.0 --x 3\n")
    with pytest.raises(OptionError, match=r"prompts\.txt:1.*unknown flag --x"):
        train(config.model_copy(update={"output_name": "again"}))


def test_full_fine_tuning_and_conditioning_only(chips_root, tiny_base, tmp_path):
    for mode in ("full", "none"):
        config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
        folder = train(config.model_copy(update={"train_base": mode, "output_name": mode}))
        base = load_base(str(tiny_base))
        before = {key: value.clone() for key, value in base.transformer.state_dict().items()}
        load_adapter(resolve_adapter(str(folder)), base.transformer, base.hash)
        changed = [key for key, value in base.transformer.state_dict().items() if not torch.equal(before[key], value)]
        assert bool(changed) == (mode == "full")


def test_an_adapter_of_another_base_is_refused(chips_root, tiny_base, tmp_path):
    folder = train(config_for(chips_root, tiny_base, tmp_path, max_steps=1))
    base = load_base(str(tiny_base))
    with pytest.raises(DataError, match="was trained on the base"):
        load_adapter(resolve_adapter(str(folder)), base.transformer, "0" * 64)


@pytest.mark.skipif(not (SHARED / "data/geodiff10").is_dir(), reason=f"no {SHARED}/data/geodiff10 (set GEODIFF_SHARED)")
def test_published_folder_as_it_is(tiny_base, tmp_path):
    config = config_for(SHARED / "data/geodiff10", tiny_base, tmp_path, max_steps=2)
    folder = train(config.model_copy(update={"conditioning": type(config.conditioning)()}))
    assert json.loads((folder / "manifest.json").read_text())["data"]["training"]["chips"] == 10


def call(*arguments) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "geodiff_sar", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_the_flag_for_missing_geometry(tiny_base, tmp_path):
    write_chips_root(tmp_path / "data", count=4)
    for number in (2, 3):
        (tmp_path / "data" / "3d_features" / f"{number}.pt").unlink()
    config = config_for(tmp_path / "data", tiny_base, tmp_path / "out", max_steps=1)
    write_toml(tmp_path / "run.toml", config)
    refused = call("train", "--config", tmp_path / "run.toml")
    assert refused.returncode == 2
    assert "--allow-missing-geometry" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "out").exists()
    allowed = call("train", "--config", tmp_path / "run.toml", "--allow-missing-geometry")
    assert allowed.returncode == 0, allowed.stderr
    assert "the learned null embedding is used for: 2, 3" in allowed.stderr
    assert "allow_missing_geometry = true" in (tmp_path / "out" / "run" / "config.toml").read_text()


@inductor.patch({"cpp.cxx": ("no-such-compiler",)})
def test_the_flag_for_compilation_needs_a_compiler(chips_root, tiny_base, tmp_path, monkeypatch, capsys):
    write_toml(tmp_path / "run.toml", config_for(chips_root, tiny_base, tmp_path / "out", max_steps=1))
    assert command(monkeypatch, "train", "--config", tmp_path / "run.toml", "--compile") == 2
    assert "train.compile" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_compiled_training_has_the_same_losses(chips_root, tiny_base, tmp_path):
    sections = {"lora": {"rank": 2, "dropout": 0.3}}
    plain, compiled = (
        run_training(config_for(chips_root, tiny_base, tmp_path / str(on), sections, max_steps=6, compile=on))[1].losses
        for on in (False, True)
    )
    assert len(set(plain)) == 6
    np.testing.assert_allclose(compiled, plain, rtol=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"fusion": {"method": "sum"}}, "fusion.method"),
        ({"optimizer": {"name": "adm"}}, "optimizer.name"),
        ({"optimizer": {"name": ".x"}}, "optimizer.name"),
        ({"optimizer": {"args": {"foo": 3}}}, "optimizer.args"),
        ({"lora": {"blocks": [9]}}, "lora.blocks"),
        ({"data": {"pointcloud_dim": 32}}, "features of width 64"),
        ({"data": {"buckets": {"resolution": [4096, 4096]}}}, "at most 256"),
        ({"data": {"cache": {"folder": "{file}"}}}, "cannot be written"),
        ({"output_dir": "{file}"}, "cannot be written"),
        ({"base": "nowhere"}, "base"),
        (
            {"preview": {"prompts_file": "{prompts}", "solver": "heun"}, "train": {"preview_every_steps": 1}},
            "preview.solver",
        ),
        ({"preview": {"prompts_file": "{wide}"}, "train": {"preview_every_steps": 1}}, "--width"),
        ({"train": {"max_steps": 8, "max_epochs": 2}}, "one of them says when to stop"),
        ({"train": {"precision": "fp16"}}, "train.precision"),
    ],
)
def test_a_mistake_leaves_nothing_behind(chips_root, tiny_base, tmp_path, change, words):
    features = chips_root / "3d_features" / "1.pt"
    prompt = f"SAR image,A,Ku-band,High,HH-Polarization,0.0 --pc {features}"
    files = {"file": "x", "prompts": prompt, "wide": prompt + " --w 33"}
    for name, content in files.items():
        (tmp_path / f"{name}.txt").write_text(content)
    good = config_for(chips_root, tiny_base, tmp_path / "out", max_steps=1).model_dump(mode="json")
    wrong = json.loads(json.dumps(change))

    def merge(old: dict, new: dict) -> dict:
        return {
            **old,
            **{k: merge(old[k], v) if isinstance(v, dict) and v.keys() <= old[k].keys() else v for k, v in new.items()},
        }

    text = json.dumps(merge(good, wrong))
    for name in files:
        text = text.replace("{" + name + "}", str(tmp_path / f"{name}.txt"))
    with pytest.raises(GeodiffError, match=words):
        train(TrainConfig.model_validate_json(text))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"train": {"preview_every_steps": 2}}, "belong together"),
        ({"preview": {"prompts_file": "p.txt"}}, "belong together"),
        ({"train": {"validate_every_epochs": 2}}, "without chips held out"),
        ({"train_base": "none"}, "settings of lora"),
    ],
)
def test_settings_without_effect_are_refused(tmp_path, sections, words):
    data = {"lora": {"rank": 2}, **sections}
    with pytest.raises(OptionError, match=words):
        parse_options(TrainConfig, data, "run.toml")


def test_a_failed_start_does_not_block_the_folder(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=20)
    wild = config.optimizer.model_copy(update={"name": "torch.optim.SGD", "lr": 1e30})
    with pytest.raises(NumericalError):
        train(
            config.model_copy(
                update={"optimizer": wild, "train": config.train.model_copy(update={"checkpoint_every_steps": None})}
            )
        )
    assert not (tmp_path / "run" / "config.toml").exists()
    calm = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    assert (train(calm) / "run.safetensors").is_file()


def test_a_failed_resume_keeps_the_run(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=4, checkpoint_every_steps=2)
    folder = train(config)
    newest = folder / "checkpoints" / "step-00000004"
    (newest / "optimizer.pt").write_bytes((newest / "optimizer.pt").read_bytes()[:500])
    kept = (newest / "weights.safetensors").read_bytes(), (folder / "run.safetensors").read_bytes()
    with pytest.raises(FileError, match=r"step-00000004: cannot be read.*") as error:
        train(config)
    assert "delete this checkpoint folder" in str(error.value)
    assert kept == ((newest / "weights.safetensors").read_bytes(), (folder / "run.safetensors").read_bytes())
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    assert run_training(config)[1].steps == 4


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_a_device_that_is_not_there(chips_root, tiny_base, tmp_path):
    with pytest.raises(OptionError, match=r"train\.device.*'cuda'"):
        train(config_for(chips_root, tiny_base, tmp_path / "out", device="cuda"))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../x", "a/b", ".."])
def test_the_name_of_a_run_is_no_path(name):
    with pytest.raises(ValueError, match="plain name"):
        TrainConfig.model_validate({"output_name": name})


def test_mixed_precision_trains_weights_in_float32(chips_root, tiny_base, tmp_path):
    for mode in ("lora", "full"):
        config = config_for(
            chips_root,
            tiny_base,
            tmp_path,
            max_steps=3,
            precision="bf16",
            gradient_checkpointing=mode == "full",
        )
        folder = train(config.model_copy(update={"output_name": mode, "train_base": mode}))
        state = load_file(folder / "checkpoints" / "step-00000003" / "weights.safetensors")
        buffers = ("transformer.pos_embed.pos_embed",)
        trained = [v for key, v in state.items() if "lora" in key or (mode == "full" and key not in buffers)]
        assert trained
        assert all(value.dtype == torch.float32 for value in trained)
        saved = weights_of(folder)
        assert all(bool(value.isfinite().all()) for value in saved.values())


def test_environment_cannot_change_a_resumed_run(chips_root, tiny_base, tmp_path, monkeypatch):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    config = config.model_copy(update={"fusion": type(config.fusion)(method="gentle")})
    folder = train(config)
    assert "alpha = 0.02" in (folder / "config.toml").read_text()
    monkeypatch.setenv("GENTLE_ALPHA", "0.2")
    with pytest.raises(OptionError, match=r"fusion\.options\.alpha: 0\.02 -> 0\.2"):
        train(config)


def test_previews_have_the_size_of_the_training(chips_root, tiny_base, tmp_path):
    from PIL import Image

    prompts = tmp_path / "prompts.txt"
    prompts.write_text("SAR image,A,Ku-band,High,HH-Polarization,0 --d 1 --s 2 --pc 1.pt --ss euler_a\n")
    sections = {
        "data": {
            "buckets": {"min_bucket_reso": 16, "resolution": (48, 32)},
            "pointcloud_dir": str(chips_root / "3d_features"),
        },
        "preview": {"prompts_file": str(prompts)},
    }
    folder = train(config_for(chips_root, tiny_base, tmp_path, sections, max_steps=2, preview_every_steps=2))
    with Image.open(folder / "samples" / "run_00000002_00.png") as picture:
        assert picture.size == (48, 32)


def test_full_training_in_half_precision_validates(chips_root, tiny_base, tmp_path):
    split = {"split": {"validation": "targets", "targets": ["B"]}}
    config = config_for(chips_root, tiny_base, tmp_path, {"data": split}, max_steps=2, precision="bf16")
    folder = train(config.model_copy(update={"train_base": "full"}))
    assert (folder / "run_transformer.safetensors").is_file()


def test_checkpoints_of_other_runs_are_refused(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    folder = train(config)
    shutil.copytree(folder / "checkpoints", tmp_path / "orphan" / "checkpoints")
    for resume in ("auto", "never"):
        with pytest.raises(OptionError, match="not a run of this tool"):
            train(config.model_copy(update={"output_name": "orphan", "resume": resume}))
    foreign = {"output_name": "other", "resume": str(folder / "checkpoints" / "step-00000002")}
    with pytest.raises(OptionError, match="a checkpoint of this run"):
        train(config.model_copy(update=foreign))


def test_another_depression_is_other_data(chips_root, tiny_base, tmp_path):
    from PIL import Image

    root = tmp_path / "table"
    root.mkdir()
    Image.fromarray(np.full((32, 32), 9, dtype=np.uint8)).save(root / "a.png")

    def write(depression: int) -> None:
        row = {"file_name": "a.png", "target": "A", "band": "X", "resolution": "High", "polarisation": "HH"}
        (root / "metadata.jsonl").write_text(json.dumps({**row, "azimuth": 5, "depression": depression}))

    write(20)
    config = config_for(root, tiny_base, tmp_path, {"data": {"allow_missing_geometry": True}}, max_steps=1)
    train(config)
    write(60)
    with pytest.raises(OptionError, match="other chips"):
        train(config)


def test_the_published_glob_finds_the_adapter(chips_root, tiny_base, tmp_path):
    folder = train(config_for(chips_root, tiny_base, tmp_path, max_steps=1))
    for pattern in ("run_*.safetensors", "run.safetensors", "run*"):
        assert resolve_adapter(str(tmp_path / pattern)).record == folder / "run_fusion.json"


def test_check_weights_compares_the_lora_with_its_record(chips_root, tiny_base, tmp_path):
    from geodiff_sar.workflows.check_weights import check_weights

    folder = train(config_for(chips_root, tiny_base, tmp_path, max_steps=1))
    assert check_weights(str(tiny_base), str(folder))[1]
    state = load_file(folder / "run.safetensors")
    del state[sorted(state)[0]]
    save_file(state, folder / "run.safetensors")
    text, intact = check_weights(str(tiny_base), str(folder))
    assert not intact
    assert "1 tensors missing" in text


@pytest.mark.parametrize("lora", [{"target_modules": ["attn"]}, {"target_modules": ["attn2.to_q"], "blocks": [1]}])
def test_lora_targets_that_match_nothing_are_named(chips_root, tiny_base, tmp_path, lora):
    with pytest.raises(OptionError, match=r"lora\.target_modules"):
        train(config_for(chips_root, tiny_base, tmp_path, {"lora": lora}, max_steps=1))
