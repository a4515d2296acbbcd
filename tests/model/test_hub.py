"""Bases on the hub, read from a local cache in the hub's own layout without a network."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base import base_hash, load_base, open_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.hub import is_hub_id

NAME = "somebody/sar-base"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "hub"


def fill(cache: Path, folder: Path) -> Path:
    repository = cache / f"models--{NAME.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    return Path(shutil.copytree(folder, repository / "snapshots" / COMMIT))


def test_a_base_in_the_cache_is_the_folder_it_was_copied_from(cache, tiny_base):
    fill(cache, tiny_base)
    base, folder = load_base(NAME), load_base(str(tiny_base))
    assert base.name == NAME
    assert base.hash == folder.hash == base_hash(NAME)
    state = folder.transformer.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in base.transformer.state_dict().items())
    assert base.settings == folder.settings


def test_separate_files_are_refused_beside_it(cache, tiny_base, tmp_path):
    fill(cache, tiny_base)
    with pytest.raises(OptionError, match="separate files belong to a single-file checkpoint"):
        open_base(BaseFiles(NAME, vae=tmp_path / "vae.safetensors"))


def test_without_network_and_cache_the_cache_is_named(cache):
    with pytest.raises(OptionError) as caught:
        load_base(NAME)
    assert NAME in str(caught.value)
    assert str(cache) in str(caught.value)


def test_a_mistyped_path_is_no_repository(cache, tmp_path):
    (tmp_path / "models").mkdir()
    assert not is_hub_id("models/sd35")
    assert not is_hub_id("mini")
    assert not is_hub_id("./models")
    assert not is_hub_id("/models")
    assert not is_hub_id("a/b/c")
    assert is_hub_id("stabilityai/stable-diffusion-3.5-medium")
    with pytest.raises(OptionError, match="an existing folder"):
        load_base("models/sd35")
