"""Generating with a LoRA file of another program: the same chip from every format, without geometry."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from lora_support import REFERENCE_HEADER, original_lora, original_shapes
from support import TINY

CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def kohya(tmp_path_factory):
    shapes = original_shapes(16, TINY["transformer"]["layers"], (0,), 32, 16)
    path = tmp_path_factory.mktemp("lora") / "theirs.safetensors"
    modules = [name for name in shapes if name.startswith("joint_blocks.")]
    return original_lora(path, "kohya", modules=modules, shapes=shapes, split=True, header=REFERENCE_HEADER)


def chip(tiny_base, folder, lora, **options):
    given = {
        "pretrained_model": str(tiny_base), "lora_weights": None if lora is None else str(lora), "prompt": CAPTION,
        "sample_steps": 3, "seed": 5, "output_dir": folder, **options,
    }  # fmt: skip
    path = generate_chips(GenerateRequest.model_validate(given))[0]
    with Image.open(path) as picture:
        return path, np.asarray(picture).astype(int)


def test_every_format_draws_the_same_chip(kohya, tiny_base, tmp_path, capsys):
    without = chip(tiny_base, tmp_path / "none", None)[1]
    path, wanted = chip(tiny_base, tmp_path / "theirs", kohya)
    said = " ".join(capsys.readouterr().err.split())
    assert "geometry, reference and pose are absent" in said
    assert "--mend-split-qkv" in said
    assert np.abs(wanted - without).max() > 3
    for to in ("diffusers", "comfyui"):
        convert_lora(ConvertRequest(source=kohya, out=tmp_path / f"{to}.safetensors", to=to))
        found = chip(tiny_base, tmp_path / to, tmp_path / f"{to}.safetensors")[1]
        assert np.abs(found - wanted).max() <= 1
    assert np.abs(chip(tiny_base, tmp_path / "zero", kohya, network_multiplier=0.0)[1] - without).max() <= 1

    recipe = read_recipe(path)
    assert recipe["request"]["lora_weights"] == str(kohya)
    again = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "again"))[0]
    with Image.open(again) as picture:
        assert np.array_equal(np.asarray(picture), wanted)


def test_the_split_qkv_defect_is_mended_on_request(kohya, tiny_base, tmp_path, capsys):
    convert_lora(ConvertRequest(source=kohya, out=tmp_path / "m.safetensors", to="diffusers", mend_split_qkv=True))
    wanted = chip(tiny_base, tmp_path / "converted", tmp_path / "m.safetensors")[1]
    capsys.readouterr()
    path, found = chip(tiny_base, tmp_path / "mended", kohya, mend_split_qkv=True)
    assert "defect" not in capsys.readouterr().err
    assert np.abs(found - wanted).max() <= 1
    assert np.abs(found - chip(tiny_base, tmp_path / "as_it_is", kohya)[1]).max() > 3
    again = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "again"))[0]
    assert again.read_bytes() == path.read_bytes()
    for lora in (tmp_path / "m.safetensors", None):
        with pytest.raises(OptionError, match="--mend-split-qkv"):
            chip(tiny_base, tmp_path / "nothing", lora, mend_split_qkv=True)


def test_what_a_plain_lora_cannot_do(kohya, tiny_base, tmp_path):
    with pytest.raises(OptionError, match="--fusion_scale"):
        chip(tiny_base, tmp_path, kohya, fusion_scale=1.0)
    wide = original_lora(
        tmp_path / "wide.safetensors", "kohya", modules=["joint_blocks.0.x_block.attn.qkv"],
        shapes={"joint_blocks.0.x_block.attn.qkv": (96, 32)},
    )  # fmt: skip
    with pytest.raises(DataError, match="3 of 3 modules do not fit this base"):
        chip(tiny_base, tmp_path, wide)
    text = {
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 16),
        "lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(64, 2),
    }
    save_file(load_file(kohya) | text, tmp_path / "text.safetensors")
    with pytest.raises(DataError, match="changes text encoders too"):
        chip(tiny_base, tmp_path, tmp_path / "text.safetensors")
    (tmp_path / "text_fusion_weights.safetensors").write_bytes(b"")  # part of an adapter whose record is gone
    with pytest.raises(FileError, match=r"text_fusion\.json: no such file"):
        chip(tiny_base, tmp_path, tmp_path / "text.safetensors")
