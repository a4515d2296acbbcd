"""What is wrong with single files is said in words, before any weight is read."""

import json
import struct
import time

import pytest
import torch
from safetensors.torch import load_file, save_file

from checkpoint_support import PREFIXES, Models, tiny_clip, tiny_models, tiny_vae, write_checkpoint
from geodiff_sar.core.errors import FileError, GeodiffError, OptionError
from geodiff_sar.model.base import base_hash, load_base
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.folder_base import EMBEDDED
from geodiff_sar.model.tensor_file import read_tensor_file
from geodiff_sar.workflows.check_weights import check_weights

ALL = ("transformer", "vae", "clip_l", "clip_g", "t5xxl")


@pytest.fixture(scope="module")
def models() -> Models:
    return tiny_models()


def refused(files: BaseFiles | str, words: str) -> None:
    """Loading, hashing and check-weights all say it, and quickly."""
    started = time.process_time()
    for call in (load_base, base_hash):
        with pytest.raises(GeodiffError, match=words):
            call(files)
    text, intact = check_weights(files, None)
    assert not intact
    assert "PROBLEM" in text
    assert time.process_time() - started < 20


def changed(path, change) -> None:
    state = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(state)
    save_file(state, path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5107104966\n", "(?s)Git LFS.*git lfs pull"),
        (b"<!doctype html>\n<html><body>Sign in</body></html>", "(?s)web page.*accept its licence"),
        (b"\xef\xbb\xbf\r\n  <html></html>" + b" " * 40, "(?s)web page.*accept its licence"),
        (b"GGUF\x03\x00\x00\x00" + bytes(80), r"(?s)GGUF.*\.safetensors"),
    ],
)
def test_other_files_under_the_name_are_told_apart(tmp_path, content, words):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    refused(BaseFiles(str(path), tokenizers=EMBEDDED["mini"]), words)


def test_a_header_whose_length_looks_like_a_web_page_is_read(tmp_path):
    """60 bytes of header: the file begins with "<"."""
    text = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'.ljust(60)
    path = tmp_path / "model.safetensors"
    path.write_bytes(struct.pack("<Q", 60) + text + struct.pack("<f", 2.0))
    assert read_tensor_file(path).tensors["a"].tolist() == [2.0]


def test_check_weights_describes_an_intact_base(models, tmp_path):
    text, intact = check_weights(write_checkpoint(tmp_path, models, dtype=torch.bfloat16), None)
    assert intact, text
    assert "3 blocks of width 32, dual attention in [0, 1]" in text
    for words in (
        "CLIP-L",
        "CLIP-G",
        "T5-XXL",
        "VAE",
        "transformer",
        "BF16",
        "clip_g.safetensors",
        "model.safetensors",
    ):
        assert words in text


def test_missing_parts_are_named_with_their_options(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    refused(
        BaseFiles(files.name, tokenizers=files.tokenizers),
        "not CLIP-L, CLIP-G, T5-XXL(.|\n)*--clip_l FILE --clip_g FILE --t5xxl",
    )
    refused(
        BaseFiles(files.name, files.clip_l, files.clip_g, None, None, files.tokenizers), "not T5-XXL(.|\n)*--t5xxl FILE"
    )
    bare = write_checkpoint(tmp_path / "bare", models, ("transformer",))
    refused(BaseFiles(bare.name, bare.clip_l, bare.clip_g, bare.t5xxl, None, bare.tokenizers), "the VAE")


def test_a_file_that_is_not_there(tmp_path, models):
    refused(str(tmp_path / "sd3.5_medium.safetensors"), "no such file")
    (tmp_path / "empty.safetensors").touch()
    refused(str(tmp_path / "empty.safetensors"), "is empty")
    files = write_checkpoint(tmp_path, models)
    refused(
        BaseFiles(files.name, tmp_path / "none.safetensors", files.clip_g, files.t5xxl, None, files.tokenizers),
        "none.saf",
    )


@pytest.mark.parametrize("part", ALL)
def test_a_missing_an_extra_and_a_misshapen_tensor_are_named(models, tmp_path, part):
    files = write_checkpoint(tmp_path, models, ALL)
    ends = {"transformer": "joint_blocks.1.x_block.attn2.qkv.weight", "vae": "decoder.mid.attn_1.k.weight",
            "clip_l": "text_model.encoder.layers.1.mlp.fc2.bias", "clip_g": "text_model.final_layer_norm.weight",
            "t5xxl": "encoder.block.1.layer.1.DenseReluDense.wi_1.weight"}  # fmt: skip
    name = PREFIXES[part] + ends[part]
    changed(files.name, lambda state: state.pop(name))
    refused(files, "1 tensors missing")
    write_checkpoint(tmp_path, models, ALL)
    extra = PREFIXES[part] + "surplus.weight"
    changed(files.name, lambda state: state.update({extra: torch.zeros(3)}))
    refused(files, r"1 tensors unexpected.*surplus\.weight")
    write_checkpoint(tmp_path, models, ALL)
    changed(files.name, lambda state: state.update({name: torch.zeros([2 * size for size in state[name].shape])}))
    refused(files, "of another shape")


def test_several_missing_tensors_are_counted(models, tmp_path):
    files = write_checkpoint(tmp_path, models)

    def change(state):
        for name in [name for name in state if ".joint_blocks.2.context_block." in name]:
            del state[name]

    changed(files.name, change)
    refused(files, r"6 tensors missing \['model\.diffusion_model\.joint_blocks\.2\.context_block")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["model.diffusion_model.double_blocks.0.img_attn.qkv.weight", "model.diffusion_model.img_in.weight"], "Flux"),
        (
            ["conditioner.embedders.1.model.ln_final.weight", "model.diffusion_model.input_blocks.0.0.weight"],
            "Diffusion XL",
        ),
        (["cond_stage_model.transformer.text_model.x", "model.diffusion_model.input_blocks.0.0.weight"], "Diffusion 1"),
        (["cond_stage_model.model.ln_final.weight", "model.diffusion_model.input_blocks.0.0.weight"], "Diffusion 2"),
        (["lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight"], "a LoRA; give it by --lora_weights"),
        (["transformer_blocks.0.attn.to_q.weight"], "diffusers' names"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight", "shared.weight"], "a T5 text encoder"),
        (["text_model.embeddings.token_embedding.weight"], "a CLIP text encoder"),
        (["decoder.conv_in.weight"], "a VAE"),
        (["first_stage_model.decoder.conv_in.weight"], "holds the VAE and no transformer"),
        (["something.else"], "nothing known"),
    ],
)
def test_another_model_is_named_as_what_it_is(tmp_path, names, words):
    save_file({name: torch.zeros(2, 2) for name in names}, tmp_path / "x.safetensors")
    refused(str(tmp_path / "x.safetensors"), words)


def test_larger_and_older_relatives_are_named():
    from geodiff_sar.model.single_file.derive import published
    from geodiff_sar.model.single_file.recognise import transformer_title

    medium = published("transformer")
    assert transformer_title(medium) == "Stable Diffusion 3.5 Medium"
    older = {**medium, "qk_norm": None, "dual_attention_layers": []}
    assert transformer_title(older) == "Stable Diffusion 3 Medium"
    large = {**medium, "num_layers": 38, "caption_projection_dim": 2432, "dual_attention_layers": []}
    assert transformer_title(large) == "Stable Diffusion 3.5 Large"


def test_separate_files_in_the_wrong_place(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    t5, clip_g = files.t5xxl, files.clip_g
    refused(
        BaseFiles(files.name, t5, clip_g, t5, None, files.tokenizers),
        "T5 text encoder(.|\n)*--clip_l names the file of CLIP-L",
    )
    refused(
        BaseFiles(files.name, files.clip_l, clip_g, clip_g, None, files.tokenizers), "CLIP text encoder(.|\n)*--t5xxl"
    )
    lookalike = {f"text_model.encoder.layers.{n}.mlp.fc1.weight": torch.zeros(2, 2) for n in range(12)}
    lookalike["text_model.embeddings.position_embedding.weight"] = torch.zeros(77, 768)
    save_file(lookalike, tmp_path / "l.safetensors")
    refused(
        BaseFiles(files.name, files.clip_l, tmp_path / "l.safetensors", t5, None, files.tokenizers),
        "is CLIP-L(.|\n)*CLIP-G",
    )


def test_parts_of_other_widths_do_not_fit(models, tmp_path):
    other = tiny_models()
    other.vae = tiny_vae(latent_channels=4, use_quant_conv=True, use_post_quant_conv=True)
    refused(write_checkpoint(tmp_path / "a", other), "a VAE of 4 latent channels(.|\n)*takes 16")
    wide = tiny_models()
    wide.clip_l = tiny_clip("quick_gelu", 2)
    wide.clip_l.text_model.embeddings.token_embedding.weight.data = torch.zeros(600, 64)
    wide.clip_g.text_projection.weight.data = torch.zeros(32, 64)
    refused(write_checkpoint(tmp_path / "b", wide), r"pooled vectors of 64 \+ 32(.|\n)*128 together")


def test_damaged_files_are_refused_before_anything_is_read(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    refused(files, "cut off")
    path.write_bytes(whole[:50])
    refused(files, "cut off")
    path.write_bytes(struct.pack("<Q", 2**60) + whole[8:])
    refused(files, "declares a header of")
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])

    def lie(change) -> None:
        table = json.loads(json.dumps(header))
        change(table["model.diffusion_model.pos_embed"])
        text = json.dumps(table).encode()
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :])
        refused(files, "cannot be read|cut off")

    lie(lambda entry: entry.update(shape=[1, 10**12, 32]))
    lie(lambda entry: entry.update(data_offsets=[0, entry["data_offsets"][1] - entry["data_offsets"][0]]))
    lie(lambda entry: entry.update(dtype="F99"))


def test_a_pickle_is_refused_unread(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    torch.save({"x": torch.zeros(2)}, tmp_path / "model.ckpt")
    refused(str(tmp_path / "model.ckpt"), "pickle")
    refused(BaseFiles(files.name, tmp_path / "model.ckpt", files.clip_g, files.t5xxl, None, files.tokenizers), "pickle")


def test_numbered_beyond_all_tensors_is_not_believed(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    name = "model.diffusion_model.joint_blocks.1000000000.x_block.attn.qkv.weight"
    changed(files.name, lambda state: state.update({name: torch.zeros(3)}))
    refused(files, "do not fit together")


def test_integers_are_no_weights(models, tmp_path):
    files = write_checkpoint(tmp_path, models)
    name = "model.diffusion_model.context_embedder.weight"
    changed(files.name, lambda state: state.update({name: state[name].to(torch.int8)}))
    refused(files, "1 tensors are stored as I8")


def test_tokenizers_that_are_missing_or_of_another_model(models, tmp_path, monkeypatch):
    monkeypatch.setattr("geodiff_sar.model.tokenizers.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    refused(
        write_checkpoint(tmp_path / "a", models, tokenizers=None), "--tokenizers(.|\n)*tokenizer_2(.|\n)*vocab.json"
    )
    refused(write_checkpoint(tmp_path / "b", models, tokenizers=tmp_path / "none"), "no such folder")
    refused(write_checkpoint(tmp_path / "c", models, tokenizers=tmp_path / "a"), "holds no tokenizer")
    few = tiny_models()
    few.clip_g = tiny_clip("gelu", 3, vocabulary=500)
    files = write_checkpoint(tmp_path / "d", few)
    with pytest.raises(FileError, match=r"tokens up to number 582(.|\n)*knows 500"):
        load_base(files)
    text, intact = check_weights(files, None)
    assert not intact
    assert "tokens up to number 582" in text


def test_tokenizers_are_found_in_the_hubs_cache_and_in_the_short_layout(models, tmp_path, monkeypatch):
    import shutil

    cache = tmp_path / "cache"
    repository = cache / "models--stabilityai--stable-diffusion-3.5-medium"
    snapshot = repository / "snapshots" / "abc"
    for name in ("tokenizer", "tokenizer_2", "tokenizer_3"):
        shutil.copytree(EMBEDDED["mini"] / name, snapshot / name)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    monkeypatch.setattr("geodiff_sar.model.tokenizers.constants.HF_HUB_CACHE", str(cache))
    given, cached = write_checkpoint(tmp_path / "a", models), write_checkpoint(tmp_path / "b", models, tokenizers=None)
    assert base_hash(given) == base_hash(cached)
    short = tmp_path / "short"
    shutil.copytree(EMBEDDED["mini"] / "tokenizer", short / "clip")
    shutil.copytree(EMBEDDED["mini"] / "tokenizer_3", short / "t5")
    base = load_base(write_checkpoint(tmp_path / "c", models, tokenizers=short))
    assert [tokenizer.pad_token for tokenizer in base.text.encoders.tokenizers] == ["<|endoftext|>", "!", "<pad>"]
    ours, theirs = base.text.encode(["SAR image,A"]), load_base(given).text.encode(["SAR image,A"])
    assert all(torch.equal(left, right) for left, right in zip(ours, theirs, strict=True))


def test_separate_files_beside_a_folder_have_no_place(tmp_path):
    with pytest.raises(OptionError, match="clip_l"):
        load_base(BaseFiles("mini", clip_l=tmp_path / "clip_l.safetensors"))
