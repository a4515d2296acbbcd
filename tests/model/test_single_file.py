"""Single files in the published layout: every tensor and every output as diffusers' and transformers' own classes have it."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_vae_checkpoint,
    convert_sd3_transformer_checkpoint_to_diffusers,
    create_diffusers_clip_model_from_ldm,
    create_diffusers_t5_model_from_checkpoint,
)
from safetensors.torch import load_file, save_file

from checkpoint_support import (
    PREFIXES,
    Models,
    published_transformer,
    shake,
    tiny_clip,
    tiny_models,
    tiny_transformer,
    tiny_vae,
    write_checkpoint,
)
from geodiff_sar.model.base import base_hash, load_base
from geodiff_sar.model.single_file.derive import published
from geodiff_sar.model.single_file.source import SingleFileBase

ALL = ("transformer", "vae", "clip_l", "clip_g", "t5xxl")
OF_PART = {"transformer": "transformer", "vae": "vae", "text_encoder": "clip_l", "text_encoder_2": "clip_g",
           "text_encoder_3": "t5xxl"}  # fmt: skip
CAPTION = "SAR image,A,Ku-band,High,HH-Polarization,0.0"


@pytest.fixture(scope="module")
def models() -> Models:
    return tiny_models()


def velocity(model, size=16, context=128, pooled=128):
    g = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return model(
            hidden_states=torch.randn(2, 16, size, size, generator=g),
            timestep=torch.tensor([10.0, 900.0]),
            encoder_hidden_states=torch.randn(2, 5, context, generator=g),
            pooled_projections=torch.randn(2, pooled, generator=g),
        ).sample


def equal(left, right) -> bool:
    left, right = left.state_dict(), right.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("inside", [("transformer",), ("transformer", "vae"), ALL])
def test_every_part_is_the_model_it_was_written_from(models, tmp_path, inside):
    base = load_base(write_checkpoint(tmp_path, models, inside))
    assert equal(base.transformer, models.transformer)
    assert equal(base.vae.vae, models.vae)
    for ours, theirs in (
        (base.text.encoders.clip_l, models.clip_l),
        (base.text.encoders.clip_g, models.clip_g),
        (base.text.encoders.t5, models.t5xxl),
    ):
        assert equal(ours, theirs)
    assert float((velocity(base.transformer) - velocity(models.transformer)).abs().max()) <= 1e-5
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        ours, theirs = (vae.encode(pixels).latent_dist.mean for vae in (base.vae.vae, models.vae))
        assert float((ours - theirs).abs().max()) <= 1e-5
    ids = torch.tensor([[5, 9, 7, 599, 1, 1]])
    for ours, theirs in ((base.text.encoders.clip_l, models.clip_l), (base.text.encoders.clip_g, models.clip_g)):
        torch.testing.assert_close(ours(ids).text_embeds, theirs(ids).text_embeds, rtol=1e-5, atol=1e-5)
    ours, theirs = (t5(ids % 200).last_hidden_state for t5 in (base.text.encoders.t5, models.t5xxl))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)  # mapped weights may lie otherwise: other rounding
    context, pooled = base.text.encode([CAPTION])
    assert context.shape == (1, 77 + 256, 128)
    assert pooled.shape == (1, 128)
    assert (base.vae.scale, base.vae.shift, base.settings.shift) == (1.5305, 0.0609, 3.0)


def test_the_vae_equals_diffusers_conversion(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    source = SingleFileBase(files)
    theirs = convert_ldm_vae_checkpoint(load_file(files.name), source.config("vae"))
    ours = source.load("vae", torch.float32).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_vae_in_diffusers_names_is_the_same_vae(models, tmp_path):
    files = write_checkpoint(tmp_path, models, ("transformer",))
    save_file(models.vae.state_dict(), files.vae)
    assert equal(SingleFileBase(files).load("vae", torch.float32), models.vae)


def test_diffusers_loads_the_same_file_as_we_do(models, tmp_path):
    """The single file is in the published layout by diffusers' own reading of it."""
    from diffusers import SD3Transformer2DModel

    files = write_checkpoint(tmp_path, models)
    source = SingleFileBase(files)
    folder = tmp_path / "config" / "transformer"
    models.transformer.save_config(folder)
    theirs = SD3Transformer2DModel.from_single_file(
        files.name, config=str(tmp_path / "config"), subfolder="transformer", local_files_only=True
    )
    assert equal(source.load("transformer", torch.float32), theirs)


def test_the_text_encoders_equal_diffusers_conversion(models, tmp_path):
    """With a CLIP-G of another width than CLIP-L, by which diffusers tells them apart."""
    wide = tiny_clip("gelu", 3, width=128)
    shake(wide)
    written = replace(models, clip_g=wide)
    files = write_checkpoint(tmp_path, written, ALL)
    source = SingleFileBase(files)
    for part, short in OF_PART.items():
        if part.startswith("text_encoder"):
            getattr(written, short).config.save_pretrained(tmp_path / part)
            create = (
                create_diffusers_clip_model_from_ldm
                if part != "text_encoder_3"
                else create_diffusers_t5_model_from_checkpoint
            )
            cls = type(getattr(written, short))
            theirs = create(
                cls, load_file(files.name), subfolder=part, config=str(tmp_path), local_files_only=True
            ).state_dict()
            ours = source.load(part, torch.float32).state_dict()
            assert ours.keys() - theirs.keys() <= {"encoder.embed_tokens.weight"}, part
            for name, tensor in theirs.items():
                if tensor.is_meta:  # diffusers leaves T5's second name of its embedding without values
                    assert name == "encoder.embed_tokens.weight"
                else:
                    assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("stored", [torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16])
def test_stored_formats_are_cast_once(models, tmp_path, stored, wanted):
    base = load_base(write_checkpoint(tmp_path, models, ALL, stored), wanted)
    for ours, theirs in (
        (base.transformer, models.transformer),
        (base.vae.vae, models.vae),
        (base.text.encoders.t5, models.t5xxl),
    ):
        for name, tensor in ours.state_dict().items():
            assert torch.equal(tensor, theirs.state_dict()[name].to(stored).to(wanted)), name


def test_t5_in_half_precision_keeps_what_transformers_keeps(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    ours = SingleFileBase(files).load("text_encoder_3", torch.float16)
    models.t5xxl.save_pretrained(tmp_path / "t5")
    theirs = type(models.t5xxl).from_pretrained(tmp_path / "t5", dtype=torch.float16)
    kinds = {name: tensor.dtype for name, tensor in theirs.state_dict().items()}
    assert {name: tensor.dtype for name, tensor in ours.state_dict().items()} == kinds
    assert equal(ours, theirs)


def test_scaled_fp8_is_multiplied_by_its_scale(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    state = {name: tensor.clone() for name, tensor in load_file(files.t5xxl).items()}
    expected = dict(state)
    for name in [name for name in state if name.endswith("SelfAttention.q.weight")]:
        scale = state[name].abs().max() / 448
        state[name] = (state[name] / scale).to(torch.float8_e4m3fn)
        expected[name] = state[name].float() * scale
        state[name.replace(".weight", ".scale_weight")] = scale
    state["scaled_fp8"] = torch.zeros(2).to(torch.float8_e4m3fn)
    save_file(state, files.t5xxl)
    loaded = SingleFileBase(files).load("text_encoder_3", torch.float32).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
    worst = max(
        float((loaded[n] - models.t5xxl.state_dict()[n]).abs().max()) for n in expected if n.endswith("q.weight")
    )
    assert 0 < worst < 0.05


def test_clip_l_is_not_projected_whatever_its_file_holds(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    state = {name: tensor.clone() for name, tensor in load_file(files.clip_l).items()}
    save_file({**state, "text_projection.weight": torch.randn(64, 64)}, files.clip_l)
    assert torch.equal(SingleFileBase(files).load("text_encoder", torch.float32).text_projection.weight, torch.eye(64))


def test_the_hash_covers_content_and_not_packaging(models, tmp_path):
    inside = write_checkpoint(tmp_path / "a", models, ALL)
    apart = write_checkpoint(tmp_path / "b", models, ("transformer",))
    assert base_hash(inside) == base_hash(apart) == load_base(apart).hash
    other = copy.deepcopy(models)
    other.vae.decoder.conv_out.bias.data[0] += 1
    changed = write_checkpoint(tmp_path / "c", other, ("transformer",))
    assert base_hash(changed) != base_hash(apart)
    assert load_base(changed).vae.model_hash != load_base(apart).vae.model_hash
    assert load_base(changed).text.model_hash == load_base(apart).text.model_hash


def test_stored_weights_stay_mapped_and_the_file_untouched(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    before = Path(files.name).read_bytes()
    loaded = SingleFileBase(files).load("vae", torch.float32)
    loaded.encoder.conv_in.weight.data += 1
    assert Path(files.name).read_bytes() == before
    fresh = SingleFileBase(files).load("vae", torch.float32)
    assert equal(fresh, models.vae)


def test_queries_keys_and_values_are_parts_of_the_fused_matrix(models, tmp_path):
    """In the file they are one; splitting it copies nothing, and a fully trained transformer can be saved all the same."""
    transformer = SingleFileBase(write_checkpoint(tmp_path, models)).load("transformer", torch.float32)
    for attention in (transformer.transformer_blocks[0].attn, transformer.transformer_blocks[0].attn2):
        wholes = {
            layer.weight.untyped_storage().data_ptr() for layer in (attention.to_q, attention.to_k, attention.to_v)
        }
        assert len(wholes) == 1
    save_file(transformer.state_dict(), tmp_path / "saved.safetensors")
    saved = load_file(tmp_path / "saved.safetensors")
    assert all(torch.equal(saved[name], tensor) for name, tensor in transformer.state_dict().items())


def test_shipped_configurations_are_those_of_the_full_model():
    """Parameter counts that are published for Stable Diffusion 3.5 Medium and its parts."""
    from geodiff_sar.model.base_parts import CLASSES, PARTS

    counts = {}
    for part in PARTS:
        cls = CLASSES[part]
        with torch.device("meta"):
            diffusers = cls.__module__.startswith("diffusers")
            module = cls.from_config(published(part)) if diffusers else cls(cls.config_class(**published(part)))
        counts[part] = sum(parameter.numel() for parameter in module.parameters())
    assert counts == {
        "transformer": 2_243_171_520,
        "vae": 83_819_683,
        "text_encoder": 123_650_304,
        "text_encoder_2": 694_659_840,
        "text_encoder_3": 4_762_310_656,
    }


def test_derived_configurations_of_published_shapes_are_the_published_ones():
    """From the headers alone, at full size: nothing is allocated."""
    from geodiff_sar.model.base_parts import CLASSES, PARTS
    from geodiff_sar.model.single_file.derive import derived
    from geodiff_sar.model.single_file.layout import PartFile
    from geodiff_sar.model.tensor_file import TensorEntry

    with torch.device("meta"):
        full = {}
        for part in PARTS:
            cls = CLASSES[part]
            diffusers = cls.__module__.startswith("diffusers")
            full[part] = cls.from_config(published(part)) if diffusers else cls(cls.config_class(**published(part)))
        names = Models(*full.values()).published()
    for part, short in OF_PART.items():
        entries = {name: TensorEntry("BF16", tuple(tensor.shape)) for name, tensor in names[short].items()}
        assert derived(PartFile(part, Path("x"), "", entries)) == published(part)


def test_original_medium_without_norms_is_read_with_heads_of_64(tmp_path):
    shape = {"num_attention_heads": 2, "attention_head_dim": 64, "caption_projection_dim": 128, "num_layers": 2}
    written = tiny_transformer(**shape, dual_attention_layers=(), qk_norm=None).eval()
    files = write_checkpoint(tmp_path, tiny_models(transformer=written))
    loaded = SingleFileBase(files).load("transformer", torch.float32)
    assert loaded.config["qk_norm"] is None
    assert equal(loaded, written)
    assert float((velocity(loaded) - velocity(written)).abs().max()) <= 1e-5


def test_a_transformer_without_prefix_is_found(models, tmp_path):
    files = write_checkpoint(tmp_path, models, ("transformer",))
    save_file(
        {name: tensor.contiguous() for name, tensor in published_transformer(models.transformer).items()}, files.name
    )
    assert equal(SingleFileBase(files).load("transformer", torch.float32), models.transformer)


def test_other_vae_sizes_are_derived(tmp_path):
    torch.manual_seed(0)
    models = tiny_models()
    models.vae = tiny_vae(
        block_out_channels=(32, 64), layers_per_block=1, down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    ).eval()  # fmt: skip
    files = write_checkpoint(tmp_path, models)
    assert equal(SingleFileBase(files).load("vae", torch.float32), models.vae)


def test_the_transformer_at_full_width_equals_diffusers_conversion(tmp_path):
    torch.manual_seed(3)
    shape = {"num_attention_heads": 24, "attention_head_dim": 64, "caption_projection_dim": 1536, "num_layers": 2}
    written = tiny_transformer(**shape, dual_attention_layers=(0,)).eval()
    for parameter in written.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    files = write_checkpoint(tmp_path, tiny_models(transformer=written))
    source = SingleFileBase(files)
    loaded = source.load("transformer", torch.float32)
    assert loaded.config["num_attention_heads"] == 24
    assert tuple(loaded.config["dual_attention_layers"]) == (0,)
    checkpoint = load_file(files.name)
    prefix = PREFIXES["transformer"]
    theirs = convert_sd3_transformer_checkpoint_to_diffusers(
        {name: tensor for name, tensor in checkpoint.items() if name.startswith(prefix)}
    )
    ours = loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert float((velocity(loaded) - velocity(written)).abs().max()) <= 1e-5
