"""The card beside an adapter, as the hub reads it."""

import pytest
from huggingface_hub import ModelCard

from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import AdapterRecord
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.lora import LoraOptions
from geodiff_sar.model.single_file.derive import published
from geodiff_sar.model.single_file.recognise import transformer_repository
from geodiff_sar.workflows.model_card import model_card

MEDIUM = "stabilityai/stable-diffusion-3.5-medium"


def card(base: BaseFiles, repository: str | None) -> str:
    record = AdapterRecord(
        base=base.name, base_hash="0" * 64, shift=3.0, remap=AmplitudeRemap(exponent=1.0), resolution=(512, 512),
        t5_length=256, lora=LoraOptions(), full=False, conditioning=None, inject=[], priors=None,
        image_condition="none", steps=7,
    )  # fmt: skip
    return model_card("run", record, "base = 1\n", base, repository)


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
