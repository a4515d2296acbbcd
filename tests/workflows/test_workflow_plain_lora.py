"""Generating with a LoRA file of another program: the same chip from every format, without geometry."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.model.base import load_base
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.dora import Dora
from geodiff_sar.model.text_lora import change_text
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.generation.session import open_session
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
    assert np.array_equal(chip(tiny_base, tmp_path / "zero", kohya, network_multiplier=0.0)[1], without)

    recipe = read_recipe(path)
    assert recipe["request"]["lora_weights"] == str(kohya)
    again = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "again"))[0]
    with Image.open(again) as picture:
        assert np.array_equal(np.asarray(picture), wanted)


def test_mixed_ranks_are_said_as_they_are(tiny_base, tmp_path, capsys):
    shapes = original_shapes(16, TINY["transformer"]["layers"], (0,), 32, 16)
    state, first = {}, "joint_blocks.0.x_block.attn.proj"
    for number, (module, rank) in enumerate(
        {first: 2, "joint_blocks.0.x_block.mlp.fc1": 5, "joint_blocks.0.x_block.mlp.fc2": 5}.items()
    ):
        one = original_lora(tmp_path / "one.safetensors", "kohya", number, [module], rank=rank, shapes=shapes)
        state |= load_file(one)
    state["lora_unet_joint_blocks_0_x_block_mlp_fc2.alpha"] = torch.tensor(2.5)
    (tmp_path / "one.safetensors").unlink()
    save_file(state, tmp_path / "mixed.safetensors")
    session = opened(tiny_base, tmp_path / "mixed.safetensors", network_multiplier=0.5)
    said = " ".join(capsys.readouterr().err.split())
    assert "kohya; 1 of rank 2 (alpha 6), 1 of rank 5 (alpha 2.5), 1 of rank 5 (alpha 6)" in said
    assert session.adapter.has_lora
    assert session.adapter.record.lora is None  # no single rank or alpha is claimed for the file
    assert session.pipeline is not None
    state["lora_unet_joint_blocks_0_x_block_mlp_fc2.lora_up.weight"] = torch.ones(16, 4)  # mixed within one module
    save_file(state, tmp_path / "torn.safetensors")
    with pytest.raises(DataError, match=r"torn\.safetensors: '.*mlp\.fc2' has down \(5, 64\) and up \(16, 4\)"):
        opened(tiny_base, tmp_path / "torn.safetensors")


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
    with pytest.raises(OptionError, match="--mend-split-qkv"):
        chip(tiny_base, tmp_path / "nothing", None, mend_split_qkv=True)
    chip(tiny_base, tmp_path / "sound", tmp_path / "m.safetensors", mend_split_qkv=True)
    assert "has no effect" in " ".join(capsys.readouterr().err.split())


def test_what_a_plain_lora_cannot_do(kohya, tiny_base, tmp_path):
    with pytest.raises(OptionError, match="--fusion_scale"):
        chip(tiny_base, tmp_path, kohya, fusion_scale=1.0)
    wide = original_lora(
        tmp_path / "wide.safetensors", "kohya", modules=["joint_blocks.0.x_block.attn.qkv"],
        shapes={"joint_blocks.0.x_block.attn.qkv": (96, 32)},
    )  # fmt: skip
    with pytest.raises(DataError, match="3 of 3 modules do not fit this base"):
        chip(tiny_base, tmp_path, wide)
    (tmp_path / "wide_fusion_weights.safetensors").write_bytes(b"")  # part of an adapter whose record is gone
    with pytest.raises(FileError, match=r"wide_fusion\.json: no such file"):
        chip(tiny_base, tmp_path, wide)


@pytest.fixture
def text_lora(tmp_path):
    """A LoRA in sd-scripts' names on one layer or two of each text encoder, with alpha half the rank."""
    g = torch.Generator().manual_seed(3)
    shapes = {
        "lora_te1_text_model_encoder_layers_1_mlp_fc1": (64, 16),
        "lora_te1_text_projection": (8, 16),
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": (16, 16),
        "lora_te3_encoder_block_0_layer_0_SelfAttention_v": (32, 32),
    }
    state = {}
    for name, (rows, columns) in shapes.items():
        state[f"{name}.lora_down.weight"] = 0.4 * torch.randn(2, columns, generator=g)
        state[f"{name}.lora_up.weight"] = 0.4 * torch.randn(rows, 2, generator=g)
        state[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(state, tmp_path / "text.safetensors")
    return tmp_path / "text.safetensors"


def opened(tiny_base, lora, **options):
    given = {"pretrained_model": str(tiny_base), "lora_weights": lora and str(lora), "prompt": CAPTION, **options}
    return open_session(GenerateRequest.model_validate(given))


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_text_encoders_are_changed_as_by_merging(text_lora, tiny_base, capsys, strength):
    without = opened(tiny_base, None).base.text
    wanted = without.encoders
    modules = {
        "lora_te1_text_model_encoder_layers_1_mlp_fc1": wanted.clip_l.text_model.encoder.layers[1].mlp.fc1,
        "lora_te1_text_projection": wanted.clip_l.text_projection,
        "lora_te2_text_model_encoder_layers_0_self_attn_q_proj": wanted.clip_g.text_model.encoder.layers[
            0
        ].self_attn.q_proj,
        "lora_te3_encoder_block_0_layer_0_SelfAttention_v": wanted.t5.encoder.block[0].layer[0].SelfAttention.v,
    }
    before = wanted.encode([CAPTION])
    state = load_file(text_lora)
    with torch.no_grad():
        for name, layer in modules.items():
            layer.weight += strength * 0.5 * state[f"{name}.lora_up.weight"] @ state[f"{name}.lora_down.weight"]
    merged = wanted.encode([CAPTION])
    session = opened(tiny_base, text_lora, network_multiplier=strength)
    assert "changes text encoders too: CLIP-L, CLIP-G, T5" in " ".join(capsys.readouterr().err.split())
    for found, by_hand, base in zip(session.base.text.encode([CAPTION]), merged, before, strict=True):
        torch.testing.assert_close(found, by_hand, rtol=0, atol=1e-5)
        assert (found - base).abs().max() > 0.01
    other = opened(tiny_base, text_lora, network_multiplier=0.25).base.text.model_hash
    assert len({session.base.text.model_hash, without.model_hash, other}) == 3


@pytest.mark.parametrize("strength", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("mixed", [False, True])
def test_a_dora_of_a_text_encoder_is_its_formula(tiny_base, mixed, strength):
    """W' = m (W + s BA) / |W + s BA| by rows (Liu et al. 2024, eq. 5), W + strength (W' - W), beside one without DoRA."""
    base, plain = load_base(str(tiny_base)), load_base(str(tiny_base)).text.encoders
    g, modules, untouched = torch.Generator().manual_seed(1), {}, plain.encode([CAPTION])
    for name in ("fc1", "fc2"):
        layer = getattr(plain.clip_g.text_model.encoder.layers[0].mlp, name)
        rows, columns = layer.weight.shape
        down, up = 0.4 * torch.randn(2, columns, generator=g), 0.4 * torch.randn(rows, 2, generator=g)
        magnitude = None if mixed and name == "fc2" else 1 + torch.rand(rows, generator=g)
        with torch.no_grad():
            changed = layer.weight + 0.5 * up @ down
            if magnitude is not None:
                changed = magnitude[:, None] * changed / changed.norm(dim=1, keepdim=True)
            layer.weight += strength * (changed - layer.weight)
        modules[f"text_encoder_2.text_model.encoder.layers.0.mlp.{name}"] = Factors(
            down, up, 0.5, None if magnitude is None else Dora(magnitude)
        )
    assert change_text(base, Lora(modules, {}, "a test"), "key", strength) == ["CLIP-G"]
    for found, wanted, before in zip(base.text.encode([CAPTION]), plain.encode([CAPTION]), untouched, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
        assert torch.equal(found, before) == (strength == 0.0)


@pytest.mark.parametrize("stored", ["offloaded", "fp8"])
def test_a_dora_on_weights_that_cannot_bear_it_is_refused_at_once(stored, tiny_base, tmp_path):
    shapes = original_shapes(16, TINY["transformer"]["layers"], (0,), 32, 16)
    module = "joint_blocks.0.x_block.attn.proj"
    lora = original_lora(tmp_path / "lora.safetensors", "comfyui", modules=[module], shapes=shapes)
    assert not opened(tiny_base, lora, transformer_storage=stored).adapter.has_dora
    state = load_file(lora)
    (up,) = (key for key in state if key.endswith("up.weight"))
    state[up.replace("lora_up.weight", "dora_scale")] = torch.ones(len(state[up]), 1)
    save_file(state, tmp_path / "dora.safetensors")
    assert opened(tiny_base, tmp_path / "dora.safetensors").adapter.has_dora
    with pytest.raises(OptionError, match=f"'{stored}' with a DoRA"):
        opened(tiny_base, tmp_path / "dora.safetensors", transformer_storage=stored)


def test_a_lora_of_text_encoders_alone_draws_another_chip(text_lora, tiny_base, tmp_path):
    without = chip(tiny_base, tmp_path / "none", None)[1]
    path, found = chip(tiny_base, tmp_path / "text", text_lora)
    assert np.abs(found - without).max() > 1
    again = generate_chips(GenerateRequest(source=path, output_dir=tmp_path / "again"))[0]
    assert again.read_bytes() == path.read_bytes()
    converted = tmp_path / "comfyui.safetensors"
    convert_lora(ConvertRequest(source=text_lora, out=converted, to="comfyui"))
    assert np.abs(chip(tiny_base, tmp_path / "comfyui", converted)[1] - found).max() <= 1


def test_what_text_encoders_cannot_take(text_lora, tiny_base, tmp_path):
    for way in ("none", "streamed"):
        with pytest.raises(OptionError, match=r"text\.safetensors changes T5, which then has to be whole"):
            opened(tiny_base, text_lora, t5=way)
    wide = {
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 24),
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(64, 2),
    }
    save_file(wide, tmp_path / "wide.safetensors")
    with pytest.raises(DataError, match="1 of 1 modules do not fit this base's CLIP-G"):
        opened(tiny_base, tmp_path / "wide.safetensors")
