"""Which weight files of a folder in diffusers' layout are read."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.base import base_hash, load_base, load_vae
from geodiff_sar.model.base_parts import T5
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.workflows.check_weights import check_weights


@pytest.fixture
def folder(tiny_base: Path, tmp_path: Path) -> Path:
    """A copy of the tiny base, to change."""
    return Path(shutil.copytree(tiny_base, tmp_path / "base"))


def halves(folder: Path, part: str, name: str) -> None:
    """Write a part's weights again, as a variant."""
    state = {key: (tensor / 3).half() for key, tensor in load_file(next((folder / part).glob("*.safetensors"))).items()}
    save_file(state, folder / part / name, {"format": "pt"})


def shard(folder: Path, part: str, index: bool) -> list[Path]:
    whole = folder / part / "model.safetensors"
    state = load_file(whole)
    names = sorted(state)
    pieces = {"model-00001-of-00002.safetensors": names[:2], "model-00002-of-00002.safetensors": names[2:]}
    for file, keys in pieces.items():
        save_file({key: state[key] for key in keys}, folder / part / file, {"format": "pt"})
    if index:
        places = {key: file for file, keys in pieces.items() for key in keys}
        content = {"metadata": {}, "weight_map": places}
        (folder / part / "model.safetensors.index.json").write_text(json.dumps(content))
    whole.unlink()
    return [folder / part / file for file in pieces]


def test_a_variant_beside_the_weights_is_read_by_nobody(folder, tiny_base):
    halves(folder, T5, "model.fp16.safetensors")
    halves(folder, "transformer", "diffusion_pytorch_model.fp16.safetensors")
    assert base_hash(str(folder)) == base_hash(str(tiny_base))
    report, intact = check_weights(str(folder), None)
    assert intact, report
    assert "not read: model.fp16.safetensors" in report
    whole, streamed = load_base(str(folder)), load_base(str(folder), memory=MemoryOptions(t5="streamed"))
    tokens = [base.text.encode(["a chip"]) for base in (whole, streamed)]
    assert torch.equal(tokens[0][0], tokens[1][0])


@pytest.mark.parametrize(
    ("part", "default"), [("vae", "diffusion_pytorch_model.safetensors"), ("text_encoder", "model.safetensors")]
)
def test_a_variant_alone_is_refused_with_its_name(folder, part, default):
    variant = default.replace(".safetensors", ".fp16.safetensors")
    (folder / part / default).rename(folder / part / variant)
    report, intact = check_weights(str(folder), None)
    assert not intact
    assert variant in report
    assert f"rename a single file to {default}" in report
    with pytest.raises(FileError, match=variant):
        load_base(str(folder))


def test_shards_are_read_by_their_index_and_refused_without(folder):
    shard(folder, T5, index=True)
    assert check_weights(str(folder), None)[1]
    load_base(str(folder))
    (folder / T5 / "model.safetensors.index.json").unlink()
    assert not check_weights(str(folder), None)[1]
    with pytest.raises(FileError, match=r"model-00001-of-00002\.safetensors.*\n.*\n.*copy their index"):
        load_base(str(folder))


def test_a_missing_shard_is_named(folder):
    shard(folder, T5, index=True)[1].unlink()
    with pytest.raises(FileError, match="missing: model-00002-of-00002"):
        load_base(str(folder))


def test_pickles_alone_are_never_read(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "vae" / "diffusion_pytorch_model.bin").write_bytes(b"not even a pickle")
    report, intact = check_weights(str(folder), None)
    assert not intact
    assert "diffusion_pytorch_model.bin: a pickle may run code" in report
    assert "safe_serialization=True" in report
    for load in (load_base, load_vae):
        with pytest.raises(FileError, match="pickle"):
            load(str(folder))
