"""DoRA between formats, against each program's own formula, written down here from its source and nowhere else.

PEFT 0.21 ``tuners/lora/dora.py``; LyCORIS 3.2 ``modules/locon.py: apply_weight_decompose``; ComfyUI (from April 2025)
``comfy/weight_adapter/base.py: weight_decompose``.
"""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora import LoraOptions, add_lora, set_lora_strength
from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.lora_formats.diffusers import DiffusersFormat
from geodiff_sar.model.lora_formats.dora import Dora
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.lora_formats.verify import verify
from geodiff_sar.model.peft_layers import add_changes
from geodiff_sar.workflows.convert_lora import ConvertRequest, convert_lora
from lora_support import (
    ADAPTED,
    SHAPES,
    diffusers_lora,
    header_of,
    in_diffusers,
    loaded_by_diffusers,
    original_lora,
    original_weights,
    velocity,
)

CLOSE = 1e-5
EPS = torch.finfo(torch.float32).eps
EVERYTHING = [*ADAPTED, "x_embedder.proj"]  # a convolution among them


def peft(weight, delta, magnitude):
    return magnitude.reshape(-1, 1) * (weight + delta) / torch.linalg.norm(weight + delta, dim=1, keepdim=True)


def lycoris(weight, delta, dora_scale, multiplier=1.0):
    changed = weight + delta
    by_row = dora_scale.reshape(-1, 1) / (changed.norm(dim=1, keepdim=True) + EPS)
    return changed * (multiplier * (by_row - 1) + 1)


def comfyui(weight, delta, dora_scale, strength=1.0):
    found = (weight + delta) * (dora_scale.reshape(-1, 1) / (weight.norm(dim=1, keepdim=True) + EPS))
    return weight + strength * (found - weight)


RULES = {"kohya": lycoris, "comfyui": comfyui}


def spelled(module, names):
    return f"lora_unet_{module.replace('.', '_')}" if names == "kohya" else f"diffusion_model.{module}"


def original_dora(path, names, modules=EVERYTHING, without=()):
    """A random LoRA in kohya's or ComfyUI's names, with lengths between half and twice the base's, but for some modules."""
    original_lora(path, names, modules=list(modules))
    state, weights, g = load_file(path), original_weights(), torch.Generator().manual_seed(9)
    for module in modules:
        if module not in without:
            lengths = weights[f"{module}.weight"].flatten(1).norm(dim=1)
            lengths = lengths * torch.exp2(2 * torch.rand(lengths.shape, generator=g) - 1)
            kernel = [1] * (len(SHAPES[module]) - 1)
            state[f"{spelled(module, names)}.dora_scale"] = lengths.reshape(-1, *kernel)
    save_file(state, path)
    return path


def by_hand(path, names, rule, strength=1.0):
    """The tiny model with the file's modules merged by a rule: ``W + strength (W' - W)``."""
    weights, state = original_weights(), load_file(path)
    for module in SHAPES:
        name, key = spelled(module, names), f"{module}.weight"
        if f"{name}.lora_up.weight" not in state:
            continue
        up, down, alpha = (state[f"{name}.{end}"].double() for end in ("lora_up.weight", "lora_down.weight", "alpha"))
        delta = float(alpha) / down.shape[0] * up.flatten(1) @ down.flatten(1)
        base, scale = weights[key].flatten(1).double(), state.get(f"{name}.dora_scale")
        changed = base + delta if scale is None else rule(base, delta, scale.double())
        weights[key] = (base + strength * (changed - base)).reshape(weights[key].shape).float()
    return velocity(in_diffusers(weights))


def convert(source, out, to, **options):
    return convert_lora(ConvertRequest(source=source, out=out, to=to, **options))


def ours(path, strength=1.0):
    model = in_diffusers(original_weights())
    add_changes(model, read_lora(path)[0], strength)
    return velocity(model)


@pytest.fixture(scope="module")
def base():
    return velocity(in_diffusers(original_weights()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dora")
    return {names: original_dora(folder / f"{names}.safetensors", names) for names in RULES}


def test_the_rules_differ_by_far(files):
    for names, path in files.items():
        assert (by_hand(path, names, lycoris) - by_hand(path, names, comfyui)).abs().max() > 100 * CLOSE


def test_lycoris_rows_are_peft_s(files, base, tmp_path):
    convert(files["kohya"], tmp_path / "d.safetensors", "diffusers")
    found = velocity(loaded_by_diffusers(tmp_path / "d.safetensors"))
    assert (found - by_hand(files["kohya"], "kohya", lycoris)).abs().max() <= CLOSE
    assert (found - by_hand(files["kohya"], "kohya", peft)).abs().max() <= CLOSE
    assert (found - base).abs().max() > 0.05


@pytest.mark.parametrize("names", list(RULES))
@pytest.mark.parametrize("strength", [1.0, 0.4, -0.5, 2.0])
def test_generating_follows_the_rule_of_the_format(names, strength, files):
    wanted = by_hand(files[names], names, RULES[names], strength)
    assert (ours(files[names], strength) - wanted).abs().max() <= CLOSE


@pytest.mark.parametrize("names", list(RULES))
def test_strength_zero_is_the_base_bit_for_bit(names, files, base):
    assert torch.equal(ours(files[names], 0.0), base)


def test_strength_zero_of_a_trained_dora_is_the_base_bit_for_bit(base):
    model = in_diffusers(original_weights())
    add_lora(model, LoraOptions(rank=4, dora=True), seed=3)
    torch.manual_seed(4)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.rand_like(parameter)
    full = velocity(model)
    assert (full - base).abs().max() > 0.05
    layer = model.transformer_blocks[0].attn.to_q
    tokens = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        at_one, at_base = layer(tokens), layer.get_base_layer()(tokens)
        for strength in (0.3, 0.7, 0.0, 1.0):
            set_lora_strength(model, strength)
            torch.testing.assert_close(layer(tokens), at_base + strength * (at_one - at_base), rtol=0, atol=1e-6)
    set_lora_strength(model, 0.0)
    assert torch.equal(velocity(model), base)
    set_lora_strength(model, 1.0)
    assert torch.equal(velocity(model), full)


def test_comfyui_keeps_its_own_and_nothing_else_becomes_it(files, tmp_path):
    convert(files["comfyui"], tmp_path / "c.safetensors", "comfyui")
    before, after = load_file(files["comfyui"]), load_file(tmp_path / "c.safetensors")
    scales = [key for key in before if key.endswith("dora_scale")]
    assert len(scales) == len(EVERYTHING)
    assert all(torch.equal(before[key], after[key]) for key in scales)
    wanted = by_hand(files["comfyui"], "comfyui", comfyui)
    assert (by_hand(tmp_path / "c.safetensors", "comfyui", comfyui) - wanted).abs().max() <= CLOSE
    with pytest.raises(DataError, match="base weight") as error:
        convert(files["comfyui"], tmp_path / "x.safetensors", "diffusers")
    assert "comfyui.safetensors: is DoRA: 48 of 48" in str(error.value)
    with pytest.raises(DataError, match="changed weight"):
        convert(files["kohya"], tmp_path / "x.safetensors", "comfyui")
    for source in files.values():
        for to in ("kohya", "reference"):
            with pytest.raises(DataError, match="no DoRA"):
                convert(source, tmp_path / "x.safetensors", to)
    with pytest.raises(DataError, match="keeps its rank"):
        convert(files["comfyui"], tmp_path / "x.safetensors", "comfyui", rank=1)
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


@pytest.mark.parametrize("names", list(RULES))
@pytest.mark.parametrize("plain_last", [True, False])
@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_every_module_is_treated_as_it_is(names, plain_last, strength, base, tmp_path):
    """Whichever kind of module comes last in the file."""
    ordered = sorted(EVERYTHING)
    without = ordered[-len(ordered) // 2 :] if plain_last else ordered[: len(ordered) // 2]
    path = original_dora(tmp_path / "m.safetensors", names, without=without)
    wanted = by_hand(path, names, RULES[names], strength)
    assert (ours(path, strength) - wanted).abs().max() <= CLOSE
    assert torch.equal(ours(path, 0.0), base)
    with pytest.raises(DataError, match="magnitudes" if names == "kohya" else "base weight"):
        convert(path, tmp_path / "d.safetensors", "diffusers")
    if names == "comfyui":
        convert(path, tmp_path / "c.safetensors", "comfyui")
        wanted = by_hand(path, names, comfyui)
        assert (by_hand(tmp_path / "c.safetensors", names, comfyui) - wanted).abs().max() <= CLOSE
    else:
        for to in ("comfyui", "kohya", "reference"):  # a module with DoRA is never written without
            with pytest.raises(DataError, match="DoRA"):
                convert(path, tmp_path / "x.safetensors", to)


def test_a_single_module_with_dora_among_many_is_seen(tmp_path):
    path = original_dora(tmp_path / "m.safetensors", "kohya", without=sorted(EVERYTHING)[1:])
    with pytest.raises(DataError, match="is DoRA: 1 of 48"):
        convert(path, tmp_path / "k.safetensors", "kohya")


def test_peft_s_own_dora_with_a_convolution(tmp_path):
    targets = r"(pos_embed\.proj|transformer_blocks\.\d+\.attn\.to_[qkv])"
    path = diffusers_lora(
        tmp_path / "p.safetensors", use_dora=True, rank_pattern={}, alpha_pattern={}, target_modules=targets
    )
    assert load_file(path)["transformer.pos_embed.proj.lora_magnitude_vector"].shape == (1, 16, 1, 1)
    wanted = velocity(loaded_by_diffusers(path))
    convert(path, tmp_path / "d.safetensors", "diffusers")
    before, after = load_file(path), load_file(tmp_path / "d.safetensors")
    assert {key: value.shape for key, value in before.items()} == {key: value.shape for key, value in after.items()}
    for file in (path, tmp_path / "d.safetensors"):
        assert (velocity(loaded_by_diffusers(file)) - wanted).abs().max() <= CLOSE
        assert (ours(file) - wanted).abs().max() <= CLOSE


@pytest.mark.parametrize("module", ["x_block.attn.proj", "x_block.mlp.fc1", "x_block.attn.qkv"])  # the first is square
@pytest.mark.parametrize("names", list(RULES))
def test_lengths_of_columns_are_refused(module, names, tmp_path):
    path, module = tmp_path / "old.safetensors", f"joint_blocks.1.{module}"
    original_dora(path, names)
    state = load_file(path)
    state[f"{spelled(module, names)}.dora_scale"] = torch.ones(1, SHAPES[module][1])
    save_file(state, path)
    for use in (lambda: ours(path), lambda: convert(path, tmp_path / "d.safetensors", "diffusers")):
        with pytest.raises(
            DataError, match=rf"old\.safetensors: DoRA of '.*{module.replace('.', '.')}'.*columns"
        ) as error:
            use()
        assert "wd_on_output=True" in error.value.remedy


@pytest.mark.parametrize("shape", [(16,), (16, 16), (1, 1), (15, 1), (16, 1, 1, 1)])
def test_lengths_of_another_shape_are_refused(shape, tmp_path):
    path = original_dora(tmp_path / "odd.safetensors", "kohya")
    state = load_file(path)
    state["lora_unet_joint_blocks_1_x_block_attn_proj.dora_scale"] = torch.ones(shape)
    save_file(state, path)
    with pytest.raises(DataError, match="have shape"):
        read_lora(path)


def test_a_header_that_contradicts_the_magnitudes(tmp_path):
    path = diffusers_lora(tmp_path / "p.safetensors", use_dora=True, rank_pattern={}, alpha_pattern={})
    state, header = load_file(path), header_of(path)
    lost = next(key for key in sorted(state) if key.endswith("lora_magnitude_vector"))
    save_file({key: value for key, value in state.items() if key != lost}, tmp_path / "lost.safetensors", header)
    with pytest.raises(DataError, match="has no DoRA magnitudes, the header says use_dora = true"):
        read_lora(tmp_path / "lost.safetensors")
    table = json.loads(header["lora_adapter_metadata"]) | {"transformer.use_dora": False}
    save_file(state, tmp_path / "more.safetensors", header | {"lora_adapter_metadata": json.dumps(table)})
    with pytest.raises(DataError, match="has DoRA magnitudes, the header says use_dora = false"):
        read_lora(tmp_path / "more.safetensors")
    both = state | {lost.replace("lora_magnitude_vector", "dora_scale"): state[lost][:, None].clone()}
    save_file(both, tmp_path / "both.safetensors", header)
    with pytest.raises(DataError, match="lora_magnitude_vector and dora_scale"):
        read_lora(tmp_path / "both.safetensors")


NAME = "transformer.transformer_blocks.0.attn.to_q"


@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0])
@pytest.mark.parametrize("correlated", [False, True])
def test_a_wrong_norm_is_noticed(size, correlated):
    """However small the change is beside real weights."""
    g = torch.Generator().manual_seed(0)
    up, down = size * torch.randn(24, 4, generator=g), torch.randn(4, 16, generator=g)
    up = up.abs() if correlated else up
    right = Factors(down, up, 0.5, Dora(1 + torch.rand(24, generator=g), "base"))
    source, written = Lora({NAME: right}, {}, "source"), DiffusersFormat()
    (module,) = written.arrange(Lora({NAME: replace(right, dora=None)}, {}, "source"))
    assert verify(source, source, [module]) == 0.0
    dora = right.dora
    wrong = [
        replace(right, dora=replace(dora, over="changed")),
        replace(right, dora=dora.of(dora.magnitude * (1 + 1e-5 * torch.rand(24, generator=g)))),
        replace(right, dora=None),
    ]
    for factors in wrong:
        with pytest.raises(DataError, match="DoRA changes a base weight to one that differs"):
            verify(source, Lora({NAME: factors}, {}, "copy"), [module])
        with pytest.raises(DataError, match="DoRA changes a base weight to one that differs"):
            verify(Lora({NAME: factors}, {}, "copy"), source, [module])


def test_a_file_with_a_wrong_norm_is_not_kept(files, tmp_path, monkeypatch):
    def relabelled(self, lora):  # what taking ComfyUI's lengths for PEFT's would be
        return [
            module
            for name, factors in lora.modules.items()
            for module in arrange(self, Lora({name: replace(factors, dora=Dora(factors.dora.magnitude))}, {}, "x"))
        ]

    arrange = DiffusersFormat.arrange
    monkeypatch.setattr(DiffusersFormat, "arrange", relabelled)
    with pytest.raises(DataError, match="nothing was kept"):
        convert(files["comfyui"], tmp_path / "x.safetensors", "diffusers")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", list(RULES))
def test_a_row_of_length_zero_is_refused(names, tmp_path):
    module = "joint_blocks.0.x_block.attn.proj"
    path = original_dora(tmp_path / "z.safetensors", names, modules=[module])
    state = load_file(path)
    state[f"{spelled(module, names)}.lora_up.weight"][3] = 0
    save_file(state, path)
    model = in_diffusers(original_weights())
    model.transformer_blocks[0].attn.to_out[0].weight.data[3] = 0
    with pytest.raises(DataError, match=r"z\.safetensors: DoRA of 'transformer_blocks\.0\.attn\.to_out\.0'.*1 are 0"):
        add_changes(model, read_lora(path)[0])
