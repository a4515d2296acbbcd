"""The card beside an adapter, as the hub reads it."""

import re
import shlex
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from diffusers import StableDiffusion3Pipeline
from huggingface_hub import ModelCard

from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import AdapterRecord
from geodiff_sar.model.base import load_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.lora import LoraOptions
from geodiff_sar.model.single_file.derive import published
from geodiff_sar.model.single_file.recognise import transformer_repository
from geodiff_sar.workflows.model_card import model_card
from geodiff_sar.workflows.train import train
from geodiff_sar.workflows.train_config import TrainConfig
from support import write_chips_root, write_map_priors
from training_runs import config_for

MEDIUM = "stabilityai/stable-diffusion-3.5-medium"
RECORD = AdapterRecord(
    base="mini", base_hash="0" * 64, shift=3.0, remap=AmplitudeRemap(exponent=1.0), resolution=(512, 512),
    t5_length=256, lora=LoraOptions(), full=False, conditioning=None, inject=[], priors=None,
    image_condition="none", steps=7,
)  # fmt: skip


def card(base: BaseFiles, repository: str | None) -> str:
    return model_card("run", RECORD.model_copy(update={"base": base.name}), "base = 1\n", base, repository)


def test_the_hub_reads_the_base_that_it_belongs_to():
    data = ModelCard(card(BaseFiles("x/sd3.5_medium.safetensors"), MEDIUM)).data.to_dict()
    assert data["base_model"] == MEDIUM
    assert data["base_model_relation"] == "adapter"
    assert data["library_name"] == "geodiff-sar"


def test_a_base_that_is_not_on_the_hub_is_not_claimed_to_be():
    text = card(BaseFiles("mini"), None)
    assert "base_model" not in ModelCard(text).data.to_dict()
    assert "--pretrained_model mini" in text


def test_the_command_names_the_separate_files(tmp_path):
    files = BaseFiles("m.safetensors", clip_l=tmp_path / "l.safetensors", tokenizers=tmp_path / "words")
    text = card(files, MEDIUM)
    assert f"--clip_l {tmp_path / 'l.safetensors'}" in text
    assert f"--tokenizers {tmp_path / 'words'}" in text


@pytest.mark.parametrize(
    ("change", "repository"),
    [
        ({}, MEDIUM),
        ({"dual_attention_layers": [], "qk_norm": None}, "stabilityai/stable-diffusion-3-medium-diffusers"),
        ({"num_layers": 2}, None),
    ],
)
def test_repositories_of_published_sizes(change, repository):
    assert transformer_repository({**published("transformer"), **change}) == repository


def front(text):
    return ModelCard(text).data.to_dict()


def blocks(text, kind=""):
    """What stands between fences of a kind."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [content for own, content in found if own == kind]


FILES = {"lora": "run.safetensors", "full": "run_transformer.safetensors"}
CASES = [("lora", ["map"]), ("lora", []), ("full", ["pooled"]), ("full", []), ("none", ["pooled"])]


@pytest.mark.parametrize(("mode", "inject"), CASES)
def test_the_card_names_what_there_is_and_its_commands_run(mode, inject, tiny_base, tmp_path, monkeypatch):
    root = tmp_path / "data"
    root.mkdir()
    write_chips_root(root)
    write_map_priors(root)
    plain = config_for(root, tiny_base, tmp_path / "out", max_steps=3).model_dump(mode="json")
    plain |= {"inject": inject, "train_base": mode, "lora": {"rank": 2} if mode == "lora" else {}}
    if "pooled" not in inject:
        del plain["fusion"]
    if not inject:
        del plain["conditioning"]
    folder = train(TrainConfig.model_validate(plain))
    text = (folder / "README.md").read_text()
    listed = re.findall(r"^- `(.+?)`", text, re.MULTILINE)
    assert sorted(listed) == sorted(file.name for file in folder.glob("run*") if file.name != "run.json")
    for kind, file in FILES.items():
        assert (file in text) == (kind == mode)
    assert ("LoRA of" in text) == (mode == "lora")
    assert ("lora" in front(text)["tags"]) == (mode == "lora")
    assert ("geometry-conditioned" in front(text)["tags"]) == bool(inject)

    monkeypatch.chdir(folder)
    (command,) = blocks(text)
    prior, picture = root / "3d_features" / "1.safetensors", next(root.rglob("*.png"))
    chosen = {"<target>": "A", "<band>": "Ku", "<features>": str(prior), "<chip>": str(picture)}
    for place, value in chosen.items():
        command = command.replace(place, value)
    assert ("--pointcloud_path" in command) == bool(inject)
    assert ("--reference" in command) == (inject == ["pooled"])
    words = shlex.split(command.replace("\\\n", " "))
    assert words[:2] == ["geodiff-sar", "generate"]
    done = subprocess.run(
        [sys.executable, "-m", "geodiff_sar", *words[1:], "--sample_steps", "1", "--output_dir", str(tmp_path / "chips")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no effect" not in done.stderr
    assert len(list((tmp_path / "chips").glob("*.png"))) == 1

    transformer = load_base(str(tiny_base)).transformer
    before = {key: value.clone() for key, value in transformer.state_dict().items()}
    python = blocks(text, "python")
    assert bool(python) == (mode != "none")
    for code in python:
        parts = ("scheduler", "vae", "text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2", "text_encoder_3",
                 "tokenizer_3")  # fmt: skip
        pipeline = StableDiffusion3Pipeline(transformer=transformer, **dict.fromkeys(parts))
        exec(code, {"transformer": transformer, "pipeline": pipeline, "safetensors": safetensors})
        if mode == "full":
            assert any(not torch.equal(before[key], value) for key, value in transformer.state_dict().items())
        else:
            ((adapter, found),) = transformer.peft_config.items()
            layers = [name for name, _ in transformer.named_modules() if name.endswith(f".lora_A.{adapter}")]
            assert found.r == 2
            assert 2 * len(layers) == len(safetensors.torch.load_file(FILES[mode]))


def test_the_card_of_a_full_fine_tuning_calls_it_one():
    record = RECORD.model_copy(update={"lora": None, "full": True})
    text = model_card("run", record, "base = 1\n", BaseFiles("mini"), MEDIUM)
    assert front(text)["base_model_relation"] == "finetune"
    assert "convert-lora" not in text


def test_the_card_of_a_dora_promises_no_conversion():
    record = RECORD.model_copy(update={"lora": LoraOptions(dora=True)})
    text = model_card("run", record, "base = 1\n", BaseFiles("mini"), MEDIUM)
    assert "DoRA of the transformer" in text
    assert "convert-lora" not in text
