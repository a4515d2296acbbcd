import pytest
import torch
from diffusers import SD3Transformer2DModel

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.model.lora import (
    LoraOptions,
    add_lora,
    limit_weight_norms,
    load_lora,
    lora_state_dict,
    set_lora_strength,
)
from lora_support import velocity as answer


def tiny(seed: int = 0) -> SD3Transformer2DModel:
    torch.manual_seed(seed)
    return SD3Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=16, out_channels=16, num_layers=2, num_attention_heads=2,
        attention_head_dim=8, joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=16,
        pos_embed_max_size=8, qk_norm="rms_norm", dual_attention_layers=(0,),
    ).eval()  # fmt: skip


def shaken(options: LoraOptions) -> SD3Transformer2DModel:
    model = tiny()
    add_lora(model, options, seed=3)
    torch.manual_seed(4)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return model


def test_untrained_lora_is_the_base_bit_for_bit():
    model = tiny()
    before = answer(model)
    add_lora(model, LoraOptions(rank=4), seed=0)
    assert torch.equal(answer(model), before)


@pytest.mark.parametrize("extra", [{}, {"rslora": True}, {"dora": True}, {"blocks": [1]}, {"alpha": 1.0}])
def test_saved_state_gives_the_same_network(extra):
    options = LoraOptions(rank=4, **extra)
    model = shaken(options)
    fresh = tiny()
    load_lora(fresh, lora_state_dict(model), options, "x.safetensors")
    assert torch.equal(answer(fresh), answer(model))
    assert not torch.equal(answer(fresh), answer(tiny()))


def test_keys_that_do_not_match_are_listed():
    options = LoraOptions(rank=4)
    state = lora_state_dict(shaken(options))
    removed = sorted(state)[0]
    broken = {key: value for key, value in state.items() if key != removed}
    broken["transformer.elsewhere.lora_A.weight"] = torch.zeros(4, 16)
    with pytest.raises(DataError) as error:
        load_lora(tiny(), broken, options, "x.safetensors")
    assert removed in str(error.value)
    assert "elsewhere" in str(error.value)
    with pytest.raises(DataError, match="of another shape"):
        load_lora(tiny(), state, LoraOptions(rank=2), "x.safetensors")


def test_strength_scales_the_effect():
    options = LoraOptions(rank=4)
    model = shaken(options)
    full = answer(model)
    set_lora_strength(model, 0.0)
    assert torch.allclose(answer(model), answer(tiny()), atol=1e-6)
    set_lora_strength(model, 1.0)
    assert torch.equal(answer(model), full)


def test_norm_limit():
    model = shaken(LoraOptions(rank=4, alpha=8.0))
    assert limit_weight_norms(model, 0.5) > 10
    for module in model.modules():
        if hasattr(module, "lora_A") and "default" in module.lora_A:
            update = module.lora_B["default"].weight @ module.lora_A["default"].weight * module.scaling["default"]
            assert update.norm().item() <= 0.5001
    assert limit_weight_norms(model, 0.51) == 0


def test_default_targets_cover_the_published_modules_of_the_full_model():
    with torch.device("meta"):
        model = SD3Transformer2DModel(
            sample_size=128, num_layers=24, num_attention_heads=24, attention_head_dim=64, caption_projection_dim=1536,
            pooled_projection_dim=2048, joint_attention_dim=4096, pos_embed_max_size=384, qk_norm="rms_norm",
            dual_attention_layers=tuple(range(13)),
        )  # fmt: skip
        add_lora(model, LoraOptions(rank=1), seed=0)
    names = {n.removesuffix(".lora_A.default") for n, _ in model.named_modules() if n.endswith(".lora_A.default")}
    # 263 modules with fused q, k, v are 263 + 2 x (24 + 24 + 13) with q, k, v apart
    assert len(names) == 263 + 2 * (24 + 24 + 13)
    assert all(name.startswith("transformer_blocks.") for name in names)


def test_unknown_targets_and_blocks():
    with pytest.raises(OptionError, match="nowhere"):
        add_lora(tiny(), LoraOptions(target_modules=["nowhere"]), seed=0)
    with pytest.raises(OptionError, match=r"0\.\.1"):
        add_lora(tiny(), LoraOptions(blocks=[7]), seed=0)


def test_diffusers_reads_the_file(tmp_path):
    from safetensors.torch import save_file

    from geodiff_sar.model.adapter import _lora_header

    options = LoraOptions(rank=4, alpha=8.0)
    model = shaken(options)
    save_file(lora_state_dict(model), tmp_path / "a.safetensors", _lora_header(options))
    fresh = tiny()
    fresh.load_lora_adapter(tmp_path, weight_name="a.safetensors", prefix="transformer")
    assert torch.allclose(answer(fresh), answer(model), atol=1e-6)
