"""LoRA conversion: the same network in every program's own arithmetic."""

import itertools
import json
from dataclasses import replace

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from diffusers.loaders import SD3LoraLoaderMixin
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModelWithProjection
from typer.testing import CliRunner

from geodiff_sar import cli
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.model.adapter import _lora_header
from geodiff_sar.model.lora import LoraOptions, add_lora, lora_state_dict
from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.lora_formats.kohya import KohyaFormat
from geodiff_sar.model.lora_formats.modules import (
    comfy_to_canonical,
    comfy_to_kohya,
    kohya_to_comfy,
    to_diffusers,
    to_original,
)
from geodiff_sar.model.peft_layers import add_changes
from geodiff_sar.workflows import convert_lora as workflow
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from lora_support import (
    ADAPTED,
    ALPHA,
    RANK,
    REFERENCE_HEADER,
    SHAPES,
    applied,
    diffusers_lora,
    header_of,
    in_diffusers,
    kohya_changes,
    loaded_by_diffusers,
    make_source,
    merged,
    original_lora,
    original_shapes,
    original_weights,
    velocity,
)

FORMATS = ("comfyui", "diffusers", "kohya", "reference")
CLOSE = 1e-5


def convert(source, out, to, **options):
    return convert_lora(ConvertRequest(source=source, out=out, to=to, **options))


@pytest.fixture(scope="module")
def base():
    return velocity(in_diffusers(original_weights()))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """One LoRA in every format, and what it does in the program whose format it is."""
    folder = tmp_path_factory.mktemp("sources")
    found = {}
    for number, form in enumerate(FORMATS):
        path = make_source(folder / f"{form}.safetensors", form, seed=number)
        found[form] = (path, applied(path, form))
    return found


def test_every_format_is_tried():
    assert LORA_FORMATS.names() == sorted(FORMATS)


@pytest.mark.parametrize(("form", "to"), [*itertools.product(FORMATS, FORMATS)])
def test_every_pair_is_the_same_network(form, to, sources, base, tmp_path):
    path, wanted = sources[form]
    assert (wanted - base).abs().max() > 0.05
    convert(path, tmp_path / "out.safetensors", to)
    assert apart(applied(tmp_path / "out.safetensors", to), wanted) <= CLOSE
    convert(tmp_path / "out.safetensors", tmp_path / "back.safetensors", form)
    assert apart(applied(tmp_path / "back.safetensors", form), wanted) <= CLOSE


def apart(found, wanted):
    """Largest difference, as a share of the largest value where that is above 1: these have values of 10."""
    return float((found - wanted).abs().max() / wanted.abs().max().clamp(min=1.0))


@pytest.mark.parametrize("module", list(SHAPES))
def test_every_module_alone_goes_to_its_place(module, base, tmp_path):
    path = original_lora(tmp_path / "one.safetensors", "kohya", modules=[module])
    wanted = velocity(merged(path, "kohya"))
    assert (wanted - base).abs().max() > 1e-4
    for last, to in (("one", "diffusers"), ("diffusers", "comfyui"), ("comfyui", "kohya")):
        convert(tmp_path / f"{last}.safetensors", tmp_path / f"{to}.safetensors", to)
        assert apart(applied(tmp_path / f"{to}.safetensors", to), wanted) <= CLOSE


def test_a_trained_adapter_of_this_package(base, tmp_path):
    model = in_diffusers(original_weights())
    options = LoraOptions(rank=4, alpha=8.0, rslora=True)
    add_lora(model, options, seed=3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0))
    wanted = velocity(model)
    save_file(lora_state_dict(model), tmp_path / "a.safetensors", _lora_header(options))
    for to in FORMATS:
        convert(tmp_path / "a.safetensors", tmp_path / f"{to}.safetensors", to)
        assert apart(applied(tmp_path / f"{to}.safetensors", to), wanted) <= CLOSE


def test_diffusers_pipeline_loads_the_file(sources, base, tmp_path):
    path, wanted = sources["kohya"]
    convert(path, tmp_path / "out.safetensors", "diffusers")
    parts = (
        "scheduler",
        "vae",
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "text_encoder_3",
        "tokenizer_3",
    )
    pipeline = StableDiffusion3Pipeline(in_diffusers(original_weights()), **dict.fromkeys(parts))
    pipeline.load_lora_weights(str(tmp_path), weight_name="out.safetensors")
    found = velocity(pipeline.transformer)
    assert apart(found, wanted) <= CLOSE
    assert (found - base).abs().max() > 0.05


@pytest.mark.parametrize("form", FORMATS)
def test_our_own_loader_agrees(form, sources):
    path, wanted = sources[form]
    model = in_diffusers(original_weights())
    add_changes(model, read_lora(path)[0])
    assert apart(velocity(model), wanted) <= CLOSE


def test_text_encoders(tmp_path):
    config = CLIPTextConfig(
        vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, projection_dim=16, eos_token_id=49, bos_token_id=48,
    )  # fmt: skip
    torch.manual_seed(0)
    plain = CLIPTextModelWithProjection(config).eval()
    changed = CLIPTextModelWithProjection(config).eval()
    changed.load_state_dict(plain.state_dict())
    state = {}
    for name, layer in changed.named_modules():
        if isinstance(layer, torch.nn.Linear) and "layers" in name:
            down, up = torch.randn(2, layer.in_features), torch.randn(layer.out_features, 2)
            layer.weight.data += 3.0 / 2 * up @ down
            flat = f"text_model.{name.removeprefix('text_model.')}".replace(".", "_")
            state |= {f"lora_te2_{flat}.lora_down.weight": down, f"lora_te2_{flat}.lora_up.weight": up}
            state[f"lora_te2_{flat}.alpha"] = torch.tensor(3.0)
    assert len(state) == 3 * 2 * 6
    t5 = "lora_te3_encoder_block_0_layer_1_DenseReluDense_wi_0"
    state |= {f"{t5}.lora_down.weight": torch.randn(2, 8), f"{t5}.lora_up.weight": torch.randn(12, 2)}
    save_file(state, tmp_path / "te.safetensors")
    for to in FORMATS:
        convert(tmp_path / "te.safetensors", tmp_path / f"{to}.safetensors", to)
    assert "text_encoders.clip_g.transformer.text_model.encoder.layers.1.mlp.fc2.lora_up.weight" in load_file(
        tmp_path / "comfyui.safetensors"
    )
    assert "text_encoders.t5xxl.transformer.encoder.block.0.layer.1.DenseReluDense.wi_0.alpha" in load_file(
        tmp_path / "comfyui.safetensors"
    )
    found, header = SD3LoraLoaderMixin.lora_state_dict(
        str(tmp_path), weight_name="diffusers.safetensors", return_lora_metadata=True
    )
    SD3LoraLoaderMixin.load_lora_into_text_encoder(found, None, plain, prefix="text_encoder_2", metadata=header)
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        assert (plain(tokens).text_embeds - changed(tokens).text_embeds).abs().max() <= CLOSE


def test_full_model_has_its_263_modules(tmp_path):
    shapes = original_shapes(1536, 24, tuple(range(13)), 4096, 2048)
    blocks = [name for name in shapes if name.startswith("joint_blocks.")]
    assert len(blocks) == 263
    assert all(to_diffusers(name) for name in shapes)
    flat = {f"lora_unet_{name.replace('.', '_')}" for name in shapes}
    assert {comfy_to_kohya(f"diffusion_model.{name}") for name in shapes} == flat
    assert {kohya_to_comfy(name) for name in flat} == {f"diffusion_model.{name}" for name in shapes}
    ours = [part for name in shapes for part in to_diffusers(name)]
    assert len(set(ours)) == len(ours)
    assert {to_original(part)[0] for part in ours} == set(shapes)

    original_lora(tmp_path / "k.safetensors", "kohya", rank=1, modules=blocks, shapes=shapes, dtype=torch.bfloat16)
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    convert(tmp_path / "d.safetensors", tmp_path / "b.safetensors", "kohya")
    before, after = load_file(tmp_path / "k.safetensors"), load_file(tmp_path / "b.safetensors")
    assert before.keys() == after.keys()
    assert len(before) == 3 * 263
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    model = SD3_MEDIUM()
    names = {key.rpartition(".lora_")[0].removeprefix("transformer.") for key in load_file(tmp_path / "d.safetensors")}
    linear = {name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    assert names == {name for name in linear if name.startswith("transformer_blocks.")}


@pytest.mark.slow
@pytest.mark.parametrize(("form", "to"), [*itertools.permutations(FORMATS, 2)])
def test_every_pair_at_full_size(form, to, tmp_path):
    """There and back with all 263 modules in SD3.5 Medium's shapes; every module's change of weight as in the source."""
    shapes = original_shapes(1536, 24, tuple(range(13)), 4096, 2048)
    blocks = [name for name in shapes if name.startswith("joint_blocks.")]
    source = original_lora(tmp_path / "k.safetensors", "kohya", rank=2, modules=blocks, shapes=shapes)
    if form != "kohya":
        source = tmp_path / f"{form}.safetensors"
        convert(tmp_path / "k.safetensors", source, form)
    convert(source, tmp_path / "there.safetensors", to)
    convert(tmp_path / "there.safetensors", tmp_path / "back.safetensors", form)
    wanted = read_lora(source)[0].modules
    names = {f"transformer.{part}" for name in blocks for part in to_diffusers(name)}
    assert wanted.keys() == names
    model = SD3_MEDIUM()
    for path in ("there", "back"):
        found = read_lora(tmp_path / f"{path}.safetensors")[0].modules
        assert found.keys() == names
        for name, factors in found.items():
            shape = model.get_submodule(name.removeprefix("transformer.")).weight.shape
            assert (factors.up.shape[0], factors.down.shape[1]) == shape
            (up, down), (wanted_up, wanted_down) = factors.matrices(), wanted[name].matrices()
            difference = norm_of_product(torch.cat([up, -wanted_up], dim=1), torch.cat([down, wanted_down]))
            assert difference <= 1e-6 * norm_of_product(wanted_up, wanted_down), name


def norm_of_product(up: torch.Tensor, down: torch.Tensor) -> float:
    """Frobenius norm of ``up @ down`` without the product: the square root of ``tr(up^T up down down^T)``."""
    return float(((up.T @ up) * (down @ down.T)).sum().clamp_min(0).sqrt())


def SD3_MEDIUM():
    from diffusers import SD3Transformer2DModel

    with torch.device("meta"):
        return SD3Transformer2DModel(
            sample_size=128, num_layers=24, num_attention_heads=24, attention_head_dim=64, caption_projection_dim=1536,
            pooled_projection_dim=2048, joint_attention_dim=4096, pos_embed_max_size=384, qk_norm="rms_norm",
            dual_attention_layers=tuple(range(13)),
        )  # fmt: skip


@pytest.mark.parametrize("said", ["in ss_network_args", "by the rank alone"])
def test_split_qkv_defect_is_a_factor_of_three(said, tmp_path, capsys):
    split = {"ss_network_args": '{"split_qkv": "True", "x_attn_dim": "4"}', "ss_network_dim": "32"}
    header = REFERENCE_HEADER | (split if "args" in said else {})
    path = make_source(tmp_path / "s.safetensors", "reference", split=True, header=header)
    convert(path, tmp_path / "as_read.safetensors", "kohya")
    assert "--mend-split-qkv" in capsys.readouterr().err
    convert(path, tmp_path / "mended.safetensors", "kohya", mend_split_qkv=True)
    read, once, thrice = (kohya_changes(tmp_path / f"{name}.safetensors") for name in ("s", "as_read", "mended"))
    for name, change in read.items():
        assert torch.allclose(once[name], change, rtol=1e-6, atol=0)
        factor = 3.0 if name.endswith("qkv") else 1.0
        assert torch.allclose(thrice[name], factor * change, rtol=1e-6, atol=0)
    state = load_file(tmp_path / "mended.safetensors")
    assert {float(value) for key, value in state.items() if key.endswith("qkv.alpha")} == {3 * ALPHA}

    # what was mended is not mended again, by whatever way it goes; what was not is still recognised
    capsys.readouterr()
    for first, factor in (("mended", 3.0), ("as_read", 1.0)):
        convert(tmp_path / f"{first}.safetensors", tmp_path / f"{first}_d.safetensors", "diffusers")
        convert(
            tmp_path / f"{first}_d.safetensors", tmp_path / f"{first}_k.safetensors", "reference", mend_split_qkv=True
        )
        again = kohya_changes(tmp_path / f"{first}_k.safetensors")
        assert all(
            torch.allclose(again[n], factor * c, rtol=1e-6, atol=0) for n, c in read.items() if n.endswith("qkv")
        )
        assert bool(read_lora(tmp_path / f"{first}_k.safetensors")[0].thirds) == (factor == 1.0)


def test_fused_files_that_are_not_defective_are_left_alone(tmp_path):
    dense = make_source(tmp_path / "dense.safetensors", "reference", rank=3 * RANK)
    assert not read_lora(dense)[0].thirds
    unsaid = original_lora(
        tmp_path / "unsaid.safetensors", "kohya", split=True
    )  # no header: nothing says how it was trained
    assert not read_lora(unsaid)[0].thirds


def test_rank_grows_only_where_down_factors_differ(tmp_path, capsys):
    convert(make_source(tmp_path / "k.safetensors", "kohya"), tmp_path / "d.safetensors", "diffusers")
    convert(tmp_path / "d.safetensors", tmp_path / "k2.safetensors", "kohya")
    before, after = load_file(tmp_path / "k.safetensors"), load_file(tmp_path / "k2.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    capsys.readouterr()
    convert(diffusers_lora(tmp_path / "p.safetensors"), tmp_path / "k3.safetensors", "kohya")
    assert "rank 12 where each has 4" in " ".join(capsys.readouterr().err.split())
    state = load_file(tmp_path / "k3.safetensors")
    ranks = {k: v.shape[0] for k, v in state.items() if k.endswith("lora_down.weight")}
    assert ranks["lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight"] == 3 * RANK
    assert ranks["lora_unet_joint_blocks_1_x_block_attn_qkv.lora_down.weight"] == 2 + 2 * RANK
    assert ranks["lora_unet_joint_blocks_0_x_block_attn_proj.lora_down.weight"] == RANK
    convert(tmp_path / "k3.safetensors", tmp_path / "p2.safetensors", "diffusers")
    before, after = load_file(tmp_path / "p.safetensors"), load_file(tmp_path / "p2.safetensors")
    q = "transformer.transformer_blocks.1.attn.to_q.lora_A.weight"
    assert torch.equal(before[q], after[q])
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}


@pytest.mark.parametrize("to", ["kohya", "diffusers"])
def test_truncation_states_its_true_error(to, tmp_path, capsys):
    path = diffusers_lora(tmp_path / "p.safetensors", dtype=torch.bfloat16)
    convert(path, tmp_path / "exact.safetensors", "kohya")
    capsys.readouterr()
    convert(path, tmp_path / "low.safetensors", to, rank=3)
    words = capsys.readouterr().err.split()
    stated = float(words[words.index("errors:") + 2].rstrip(","))
    low = load_file(tmp_path / "low.safetensors")
    assert {value.dtype for value in low.values()} == {torch.float32}
    assert max(value.shape[0] for key, value in low.items() if "lora_down" in key or "lora_A" in key) == 3
    if to == "kohya":
        exact, near = kohya_changes(tmp_path / "exact.safetensors"), kohya_changes(tmp_path / "low.safetensors")
        errors = []
        for name, change in exact.items():
            values = torch.linalg.svdvals(change)
            best = float((values[3:] ** 2).sum().sqrt() / (values**2).sum().sqrt())
            error = float((near[name] - change).norm() / change.norm())
            assert error == pytest.approx(best, abs=1e-6)
            errors.append(error)
        assert stated == pytest.approx(max(errors), rel=1e-3)


def test_only_some_of_q_k_v(base, tmp_path):
    config = {"target_modules": r".*attn\.to_[qv]", "rank_pattern": {}, "alpha_pattern": {}}
    path = diffusers_lora(tmp_path / "qv.safetensors", **config)
    wanted = applied(path, "diffusers")
    assert (wanted - base).abs().max() > 1e-3
    convert(path, tmp_path / "k.safetensors", "kohya")
    assert apart(applied(tmp_path / "k.safetensors", "kohya"), wanted) <= CLOSE
    convert(tmp_path / "k.safetensors", tmp_path / "d.safetensors", "diffusers")
    assert load_file(tmp_path / "d.safetensors").keys() == load_file(path).keys()
    convert(path, tmp_path / "low.safetensors", "kohya", rank=2)


def test_number_formats_stay(tmp_path):
    path = diffusers_lora(tmp_path / "p.safetensors", dtype=torch.bfloat16, lora_alpha=6.7)  # bfloat16 would round 6.7
    wanted = applied(path, "diffusers")
    for to in FORMATS:
        convert(path, tmp_path / f"{to}.safetensors", to)
        assert apart(applied(tmp_path / f"{to}.safetensors", to), wanted) <= CLOSE
        state = load_file(tmp_path / f"{to}.safetensors")
        wide = [key for key, value in state.items() if value.dtype != torch.bfloat16 and not key.endswith(".alpha")]
        # q, k and v of unlike scales share one alpha, so some are rescaled, which bfloat16 would round
        assert all(key.endswith(("attn_qkv.lora_up.weight", "attn.qkv.lora_up.weight")) for key in wide)
        assert bool(wide) == (to != "diffusers")


def test_alpha_tensors_of_diffusers_names(tmp_path):
    path = diffusers_lora(tmp_path / "p.safetensors", rank_pattern={}, alpha_pattern={})
    wanted, state = applied(path, "diffusers"), load_file(path)
    names = {key.rpartition(".lora_")[0] for key in state}
    save_file(state | {f"{name}.alpha": torch.tensor(ALPHA) for name in names}, tmp_path / "t.safetensors")
    convert(tmp_path / "t.safetensors", tmp_path / "k.safetensors", "kohya")
    assert apart(applied(tmp_path / "k.safetensors", "kohya"), wanted) <= CLOSE
    prefix = {f"base_model.model.{key.removeprefix('transformer.')}": value for key, value in state.items()}
    save_file(prefix | {}, tmp_path / "b.safetensors")  # neither header nor alpha: scale 1
    modules = read_lora(tmp_path / "b.safetensors")[0].modules
    assert {factors.scale for factors in modules.values()} == {1.0}
    comfy = load_file(original_lora(tmp_path / "c.safetensors", "comfyui"))
    plain = {
        key.replace("lora_down", "lora_A").replace("lora_up", "lora_B"): value
        for key, value in comfy.items()
        if not key.endswith("alpha")
    }
    save_file(plain, tmp_path / "ab.safetensors")
    save_file(
        comfy | {key: torch.tensor(float(RANK)) for key in comfy if key.endswith("alpha")}, tmp_path / "one.safetensors"
    )
    for name in ("ab", "one"):
        convert(tmp_path / f"{name}.safetensors", tmp_path / f"{name}_d.safetensors", "diffusers")
    found = [applied(tmp_path / f"{name}_d.safetensors", "diffusers") for name in ("ab", "one")]
    assert torch.equal(*found)


def test_dora(tmp_path):
    path = diffusers_lora(tmp_path / "p.safetensors", use_dora=True, rank_pattern={}, alpha_pattern={})
    wanted = applied(path, "diffusers")
    convert(path, tmp_path / "d.safetensors", "diffusers")
    assert apart(applied(tmp_path / "d.safetensors", "diffusers"), wanted) <= CLOSE
    for to in ("kohya", "comfyui", "reference"):
        with pytest.raises(DataError, match="DoRA"):
            convert(path, tmp_path / f"{to}.safetensors", to)
        assert not (tmp_path / f"{to}.safetensors").exists()
    state = {  # LyCORIS' magnitudes of rows are PEFT's
        f"lora_unet_joint_blocks_2_context_block_{module}.{end}": value
        for module, rows in (("attn_qkv", 48), ("adaLN_modulation_1", 32))
        for end, value in {
            "lora_down.weight": torch.randn(2, 16), "lora_up.weight": torch.randn(rows, 2), "alpha": torch.tensor(2.0),
            "dora_scale": torch.rand(rows, 1),
        }.items()
    }  # fmt: skip
    save_file(state, tmp_path / "lycoris.safetensors")
    convert(tmp_path / "lycoris.safetensors", tmp_path / "l.safetensors", "diffusers")
    weights = original_weights()
    for module in ("attn.qkv", "adaLN_modulation.1"):
        name, flat = (
            f"joint_blocks.2.context_block.{module}",
            f"lora_unet_joint_blocks_2_context_block_{module.replace('.', '_')}",
        )
        changed = weights[f"{name}.weight"] + state[f"{flat}.lora_up.weight"] @ state[f"{flat}.lora_down.weight"]
        weights[f"{name}.weight"] = state[f"{flat}.dora_scale"] * changed / changed.norm(dim=1, keepdim=True)
    assert apart(applied(tmp_path / "l.safetensors", "diffusers"), velocity(in_diffusers(weights))) <= CLOSE
    state["lora_unet_joint_blocks_2_context_block_attn_qkv.dora_scale"] = torch.rand(1, 16)
    save_file(state, tmp_path / "columns.safetensors")
    with pytest.raises(DataError, match="columns"):
        read_lora(tmp_path / "columns.safetensors")


def test_headers(tmp_path, capsys):
    path = make_source(tmp_path / "r.safetensors", "reference")
    convert(path, tmp_path / "back.safetensors", "reference")
    header = header_of(tmp_path / "back.safetensors")
    assert header["ss_fusion_method"] == "hybrid_film_attn"
    assert header["ss_network_dim"] == str(RANK)
    assert float(header["ss_network_alpha"]) == ALPHA
    assert header["modelspec.architecture"] == "stable-diffusion-v3.5-medium/lora"
    assert header["modelspec.title"] == "sd35m-test"
    assert "sshs_model_hash" not in header
    convert(diffusers_lora(tmp_path / "p.safetensors"), tmp_path / "c.safetensors", "comfyui")
    header = header_of(tmp_path / "c.safetensors")
    assert (header["ss_network_dim"], float(header["ss_network_alpha"])) == (str(RANK), ALPHA)
    assert header["ss_network_module"] == "networks.lora_sd3"
    assert header["ss_base_model_version"] == "3-5-medium"
    assert header["modelspec.sai_model_spec"] == "1.0.1"
    assert header["modelspec.title"] == "c"
    assert "lora_adapter_metadata" not in header
    record = {"enable_3d_fusion": True, "fusion_method": "gated", "pointcloud_dim": 64, "image_feature_dim": 16}
    record["geodiff_sar"] = {"resolution": [128, 96]}
    (tmp_path / "p_fusion.json").write_text(json.dumps(record))  # as beside an adapter of this package
    convert(tmp_path / "p.safetensors", tmp_path / "r2.safetensors", "reference")
    header = header_of(tmp_path / "r2.safetensors")
    assert [header[key] for key in list(REFERENCE_HEADER)[:4]] == ["True", "gated", "64", "16"]
    assert header["modelspec.resolution"] == "128x96"
    assert "conditioning weights" in capsys.readouterr().err
    convert(path, tmp_path / "d.safetensors", "diffusers")
    assert header_of(tmp_path / "d.safetensors")["ss_fusion_method"] == "hybrid_film_attn"
    assert (loaded_by_diffusers(tmp_path / "d.safetensors")).peft_config


def test_a_wrong_copy_is_not_kept(tmp_path, monkeypatch):
    path = make_source(tmp_path / "k.safetensors", "kohya")
    spell = KohyaFormat.spell

    def wrong(self, written, lora, title):
        state, header = spell(self, written, lora, title)
        key = "lora_unet_joint_blocks_2_x_block_mlp_fc1.lora_up.weight"
        return {**state, key: state[key] * (1 + 1e-5)}, header

    monkeypatch.setattr(KohyaFormat, "spell", wrong)
    with pytest.raises(DataError, match=r"blocks\.2\.ff\.net\.0\.proj' differs"):
        convert(path, tmp_path / "out.safetensors", "kohya")
    lost = "lora_unet_joint_blocks_0_x_block_attn_proj"

    def fewer(self, written, lora, title):
        state, header = spell(self, written, lora, title)
        return {key: value for key, value in state.items() if not key.startswith(lost)}, header

    monkeypatch.setattr(KohyaFormat, "spell", fewer)
    with pytest.raises(DataError, match="differs"):
        convert(path, tmp_path / "out.safetensors", "kohya")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["k.safetensors"]


def test_a_misstated_error_is_found(tmp_path, monkeypatch):
    path = make_source(tmp_path / "k.safetensors", "kohya")
    true = workflow.truncated
    monkeypatch.setattr(workflow, "truncated", lambda module, *rest: replace(true(module, *rest), error=0.01))
    with pytest.raises(DataError, match=r"where 0\.01 was stated"):
        convert(path, tmp_path / "out.safetensors", "kohya", rank=2)
    assert not (tmp_path / "out.safetensors").exists()


def test_output_rules(tmp_path):
    path = make_source(tmp_path / "k.safetensors", "kohya")
    before = path.read_bytes()
    with pytest.raises(OptionError, match="IN itself"):
        convert(path, path, "diffusers", overwrite=True)
    (tmp_path / "out.safetensors").write_text("old")
    with pytest.raises(OptionError, match="--overwrite"):
        convert(path, tmp_path / "out.safetensors", "diffusers")
    assert (tmp_path / "out.safetensors").read_text() == "old"
    convert(path, tmp_path / "out.safetensors", "diffusers", overwrite=True)
    with pytest.raises(OptionError, match="ending"):
        convert(path, tmp_path / "out.pt", "diffusers")
    with pytest.raises(OptionError, match="comfyui, diffusers, kohya, reference"):
        convert(path, tmp_path / "x.safetensors", "onnx")
    assert path.read_bytes() == before


def test_command_line(tmp_path):
    path = make_source(tmp_path / "k.safetensors", "kohya")
    result = CliRunner().invoke(
        cli.app, ["convert-lora", str(path), str(tmp_path / "o.safetensors"), "--to", "comfyui"]
    )
    assert result.exit_code == 0, result.output
    assert f"comfyui, {len(ADAPTED)} modules ({len(ADAPTED)} of rank {RANK}), converted from kohya" in result.output
    assert comfy_to_canonical("diffusion_model.joint_blocks.0.nothing") is None
