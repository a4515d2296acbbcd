"""check-weights on LoRA files without a record: what they hold is said, what `generate` would refuse is a problem."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from geodiff_sar import cli
from geodiff_sar.workflows.check_weights import check_weights
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from lora_support import REFERENCE_HEADER, diffusers_lora, original_lora, original_shapes
from support import TINY

PROJ, FC1 = "joint_blocks.0.x_block.attn.proj", "joint_blocks.1.x_block.mlp.fc1"


@pytest.fixture
def shapes():
    return original_shapes(16, TINY["transformer"]["layers"], (0,), 32, 16)


@pytest.fixture
def kohya(tmp_path, shapes):
    """Two modules of rank 4, one of which has alpha 2, and one of rank 2, with q, k and v fused."""
    state = {}
    for module, rank in ((PROJ, 4), (FC1, 4), ("joint_blocks.0.x_block.attn.qkv", 2)):
        state |= load_file(original_lora(tmp_path / "k.safetensors", "kohya", 0, [module], rank=rank, shapes=shapes))
    state["lora_unet_joint_blocks_1_x_block_mlp_fc1.alpha"] = torch.tensor(2.0)
    save_file(state, tmp_path / "k.safetensors")
    return tmp_path / "k.safetensors"


def report_of(tiny_base, path, **options):
    text, intact = check_weights(str(tiny_base), str(path), **options)
    assert intact == ("PROBLEM" not in text)
    return " ".join(text.split()), intact


@pytest.mark.parametrize("form", ["kohya", "comfyui", "diffusers"])
def test_what_a_file_holds_is_said(form, kohya, tiny_base, tmp_path):
    path = kohya
    if form != "kohya":
        path = tmp_path / f"{form}.safetensors"
        convert_lora(ConvertRequest(source=kohya, out=path, to=form))
    text, intact = report_of(tiny_base, path)
    assert intact
    assert f"format {form}; 5 modules, q, k and v apart" in text
    assert "3 of rank 2 (alpha 6), 1 of rank 4 (alpha 2), 1 of rank 4 (alpha 6)" in text
    assert "attn.to_k, attn.to_out.0, attn.to_q, attn.to_v in blocks 0" in text
    assert "ff.net.0.proj in blocks 1" in text
    assert f"LoRA {path.name}" in text  # its row in the table
    assert "DoRA" not in text
    assert text.endswith("everything needed is there and intact")


def test_all_blocks_text_encoders_and_dora(tiny_base, tmp_path, shapes):
    state = load_file(
        original_lora(
            tmp_path / "a.safetensors", "comfyui", modules=[n for n in shapes if "mlp.fc1" in n and "x_block" in n],
            shapes=shapes,
        )
    )  # fmt: skip
    state["diffusion_model.joint_blocks.0.x_block.mlp.fc1.dora_scale"] = torch.ones(64, 1)
    for name, rows in (("text_encoders.clip_l.transformer.text_projection", 8),
                       ("text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.v", 32)):  # fmt: skip
        columns = 16 if "clip" in name else 32
        state |= {f"{name}.lora_down.weight": torch.ones(1, columns), f"{name}.lora_up.weight": torch.ones(rows, 1)}
    save_file(state, tmp_path / "a.safetensors")
    text, intact = report_of(tiny_base, tmp_path / "a.safetensors")
    assert intact
    blocks = TINY["transformer"]["layers"]
    assert f"changes {blocks} modules of transformer: ff.net.0.proj in blocks 0-{blocks - 1}" in text
    assert "changes 1 modules of CLIP-L: text_projection" in text
    assert "changes 1 modules of T5: layer.0.SelfAttention.v in blocks 0" in text
    assert f"DoRA in 1 of {blocks + 2} modules: row lengths over the norms of the base weight" in text
    text, intact = report_of(tiny_base, tmp_path / "a.safetensors", with_t5=False)
    assert not intact
    assert "changes T5, which then has to be whole in memory" in text


def test_the_split_qkv_defect_is_said(tiny_base, tmp_path, shapes):
    modules = ["joint_blocks.0.x_block.attn.qkv"]
    path = original_lora(
        tmp_path / "s.safetensors", "kohya", modules=modules, shapes=shapes, split=True, header=REFERENCE_HEADER
    )
    text, intact = report_of(tiny_base, path)
    assert intact
    assert "format reference" in text
    assert "--mend-split-qkv" in text


def test_another_model_s_file_is_a_problem(kohya, tiny_base, tmp_path):
    wide = original_lora(tmp_path / "w.safetensors", "kohya", modules=[PROJ], shapes={PROJ: (32, 32)})
    text, intact = report_of(tiny_base, wide)
    assert not intact
    assert "1 of 1 modules do not fit this base's transformer" in text
    assert "format kohya; 1 modules" in text  # what it holds is said all the same
    text, intact = report_of(tiny_base, diffusers_lora(tmp_path / "d.safetensors"))  # three blocks, the base has fewer
    assert not intact
    assert "do not fit this base's transformer" in text
    save_file(
        {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": torch.ones(2, 4)}, tmp_path / "flux.safetensors"
    )
    text, intact = report_of(tiny_base, tmp_path / "flux.safetensors")
    assert not intact
    assert "LoRA of Flux" in text


def _nan(path):
    state = load_file(path)
    state["lora_unet_joint_blocks_0_x_block_attn_proj.lora_up.weight"][3, 1] = float("nan")
    save_file(state, path)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _half(path):
    state = load_file(path)
    del state["lora_unet_joint_blocks_0_x_block_attn_proj.lora_up.weight"]
    save_file(state, path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_nan, "holds NaN or Inf"),
        (_cut, "it is cut off"),
        (_half, "has no lora_up"),
        (lambda path: torch.save({}, path), "is a PyTorch pickle"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.unlink(), "no such file or folder"),
    ],
)
def test_a_damaged_file_is_a_problem(damage, words, kohya, tiny_base):
    damage(kohya)
    text, intact = report_of(tiny_base, kohya)
    assert not intact
    assert words in text
    assert "1 problems" in text
    assert "k.safetensors" in text


def test_the_command(kohya, tiny_base):
    given = ["check-weights", "--pretrained-model", str(tiny_base), "--lora-weights", str(kohya)]
    done = CliRunner().invoke(cli.app, given)
    assert done.exit_code == 0, done.output
    assert "format kohya" in done.output
    _nan(kohya)
    done = CliRunner().invoke(cli.app, given)
    assert done.exit_code == 2
    assert "Traceback" not in done.output
