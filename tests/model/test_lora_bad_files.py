"""Files that are no intact LoRA of Stable Diffusion 3: what was given is named, quickly, and nothing is written."""

import json
import struct
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import FileError, GeodiffError
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from lora_support import diffusers_lora, header_of, original_lora


@pytest.fixture
def good(tmp_path):
    return original_lora(tmp_path / "good.safetensors", "kohya")


def refused(path, words):
    out = path.parent / "out" / "x.safetensors"
    start = time.process_time()
    with pytest.raises(GeodiffError, match=words) as error:
        convert_lora(ConvertRequest(source=path, out=out, to="diffusers"))
    assert time.process_time() - start < 2
    assert path.name in str(error.value)
    assert error.value.rule
    assert error.value.remedy
    assert not out.exists()
    return error.value


def with_header(path, table, data=b""):
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_cut_off(good, tmp_path):
    content = good.read_bytes()
    for length in (0, 5, 8, 100, len(content) - 1):
        (tmp_path / "cut.safetensors").write_bytes(content[:length])
        refused(tmp_path / "cut.safetensors", "cut off|cannot be read|is empty|does not begin")


def test_gigantic_header(tmp_path):
    for declared in (2**63, 2**40, 100_000_001, 5000):
        (tmp_path / "big.safetensors").write_bytes(struct.pack("<Q", declared) + b"{" + b" " * 100)
        refused(tmp_path / "big.safetensors", f"declares a header of {declared} bytes")


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    "table",
    [
        {"a.lora_down.weight": entry([4, 4], 0, 16)},  # shape asks for 64 bytes
        {"a.lora_down.weight": entry([2, 2], 0, 16), "b.lora_down.weight": entry([2, 2], 8, 24)},  # overlap
        {"a.lora_down.weight": entry([2, 2], 0, 16), "b.lora_down.weight": entry([2, 2], 100, 116)},  # hole
        {"a.lora_down.weight": entry([2**40, 2**40], 0, 16)},
        {"a.lora_down.weight": entry([-2, -2], 0, 16)},
        {"a.lora_down.weight": entry([2, 2], 0, 16, "F99")},
        {"a.lora_down.weight": entry([2, 2], 16, 0)},
        {"a.lora_down.weight": 3},
        b"{" * 3000,
        b"{\xff\xfe}",
        b"[1, 2]",
    ],
)
def test_lying_header(table, tmp_path):
    refused(with_header(tmp_path / "lie.safetensors", table, b"\0" * 32), "cannot be read|does not begin")


@pytest.mark.parametrize("name", ["x.pt", "x.ckpt", "x.safetensors", "x.bin"])
def test_a_pickle_is_not_read(name, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"a": Trap()}, tmp_path / name)
    assert isinstance(refused(tmp_path / name, "pickle"), FileError)
    assert not (tmp_path / "sprung").exists()


def pair(name, down="lora_down.weight", up="lora_up.weight"):
    return {f"{name}.{down}": torch.ones(2, 4), f"{name}.{up}": torch.ones(4, 2)}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (pair("lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"), "Stable Diffusion 1, 2 or XL"),
        (pair("unet.down_blocks.1.attentions.0.to_q", "lora_A.weight", "lora_B.weight"), "Stable Diffusion 1, 2 or XL"),
        (pair("lora_unet_double_blocks_0_img_attn_qkv"), "LoRA of Flux"),
        (pair("transformer.single_transformer_blocks.3.attn.to_q", "lora_A.weight", "lora_B.weight"), "LoRA of Flux"),
        (pair("diffusion_model.blocks.0.cross_attn.q", "lora_A.weight", "lora_B.weight"), "another transformer"),
        (pair("lora_unet_joint_blocks_0_x_block_attn_qkv", "hada_w1_a", "hada_w1_b"), "LyCORIS"),
        ({"model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": torch.ones(2, 2)}, "whole checkpoint"),
        ({"transformer_blocks.0.attn.to_q.weight": torch.ones(2, 2)}, "whole transformer"),
        ({"fusion.text_weight": torch.ones(2), "null_image": torch.ones(2)}, "conditioning weights of an adapter"),
        (pair("lora_unet_joint_blocks_0_x_block_attn3_qkv"), "no place"),
        (pair("lora_unet_joint_blocks_00_x_block_attn_qkv"), "no place"),
    ],
)  # fmt: skip
def test_another_model(state, words, tmp_path):
    save_file(state, tmp_path / "other.safetensors")
    refused(tmp_path / "other.safetensors", words)


def test_names_without_a_place_are_counted_and_listed(good, tmp_path):
    state = load_file(good)
    state |= {f"lora_unet_joint_blocks_{k}_x_block_extra.lora_down.weight": torch.ones(1, 1) for k in range(23)}
    save_file(state, tmp_path / "more.safetensors")
    error = refused(tmp_path / "more.safetensors", "23 tensors have no place")
    assert "lora_unet_joint_blocks_0_x_block_extra.lora_down.weight" in error.found
    assert error.found.count("_x_block_extra") == 20
    assert "and 3 more" in error.found


QKV = "lora_unet_joint_blocks_0_x_block_attn_qkv"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{QKV}.lora_up.weight": torch.ones(48, 3)}, r"down \(4, 16\) and up \(48, 3\)"),
        ({f"{QKV}.lora_up.weight": None}, "has no lora_up"),
        ({f"{QKV}.lora_down.weight": None}, "has no lora_down"),
        ({f"{QKV}.lora_up.weight": torch.ones(48)}, "do not fit"),
        ({f"{QKV}.lora_up.weight": torch.ones(49, 4)}, "49 rows"),
        ({f"{QKV}.lora_up.weight": torch.full((48, 4), float("nan"))}, "NaN or Inf"),
        ({f"{QKV}.lora_down.weight": torch.full((4, 16), float("inf"))}, "NaN or Inf"),
        ({f"{QKV}.alpha": torch.tensor(float("nan"))}, "NaN or Inf"),
        ({f"{QKV}.alpha": torch.tensor(0.0)}, "alpha of .* is 0"),
        ({f"{QKV}.alpha": torch.ones(2)}, "alpha of"),
        ({f"{QKV}.lora_up.weight": torch.ones(48, 4, dtype=torch.int32)}, "is int32"),
        ({f"{QKV}.lora_A.weight": torch.ones(4, 16)}, "twice"),
        ({f"{QKV}.lora_up.weight": torch.ones(60, 4)}, "20 x 16"),
        ({"lora_unet_joint_blocks_2_context_block_attn_proj.lora_down.weight": torch.ones(4, 16),
          "lora_unet_joint_blocks_2_context_block_attn_proj.lora_up.weight": torch.ones(16, 4)}, "as the last block"),
        ({"lora_unet_joint_blocks_3_x_block_attn_proj.lora_down.weight": torch.ones(4, 16),
          "lora_unet_joint_blocks_3_x_block_attn_proj.lora_up.weight": torch.ones(16, 4)}, "block 3 follows"),
        ({"lora_unet_joint_blocks_2_x_block_attn2_proj.lora_down.weight": torch.ones(4, 16),
          "lora_unet_joint_blocks_2_x_block_attn2_proj.lora_up.weight": torch.ones(16, 4)}, "second attention"),
        ({"lora_unet_joint_blocks_1_x_block_mlp_fc1.lora_down.weight": torch.ones(4, 24)}, "64 x 24"),
        ({"lora_unet_joint_blocks_1_x_block_adaLN_modulation_1.lora_up.weight": torch.ones(64, 4)}, "64 x 16"),
    ],
)  # fmt: skip
def test_pairs_that_do_not_fit(changes, words, good, tmp_path):
    state = {**load_file(good), **changes}
    save_file({key: value for key, value in state.items() if value is not None}, tmp_path / "bad.safetensors")
    refused(tmp_path / "bad.safetensors", words)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.update({"transformer.r": 5}), "has rank 4, the header says 5"),
        (lambda table: table.update({"transformer.lora_alpha": "much"}), "lora_alpha of"),
        (lambda table: table.update({"transformer.lora_alpha": float("nan")}), "lora_alpha of"),
        (lambda table: table.update({"transformer.rank_pattern": {"(a+)+$": 3}}), "patterns that are names"),
        (lambda table: table.update({"transformer.rank_pattern": [1]}), "a table"),
    ],
)
def test_header_that_contradicts_its_tensors(change, words, tmp_path):
    path = diffusers_lora(tmp_path / "p.safetensors")
    table = json.loads(header_of(path)["lora_adapter_metadata"])
    change(table)
    save_file(load_file(path), tmp_path / "h.safetensors", {"lora_adapter_metadata": json.dumps(table)})
    refused(tmp_path / "h.safetensors", words)


def test_other_contradictions(tmp_path):
    state = load_file(diffusers_lora(tmp_path / "p.safetensors", rank_pattern={}, alpha_pattern={}))
    header = header_of(tmp_path / "p.safetensors")
    save_file(state, tmp_path / "j.safetensors", {"lora_adapter_metadata": "{" * 5000})
    refused(tmp_path / "j.safetensors", "not a JSON table")
    alpha = {"transformer.transformer_blocks.0.attn.to_q.alpha": torch.tensor(1.0)}
    save_file(state | alpha, tmp_path / "two.safetensors", header)
    refused(tmp_path / "two.safetensors", "alpha 1 as a tensor and 6 in the header")
    mixed = state | load_file(original_lora(tmp_path / "k.safetensors", "kohya"))
    save_file(mixed, tmp_path / "mixed.safetensors")
    refused(tmp_path / "mixed.safetensors", "diffusers and kohya")
    save_file({}, tmp_path / "none.safetensors")
    refused(tmp_path / "none.safetensors", "no tensors")
    refused(tmp_path / "missing.safetensors", "no such file")
