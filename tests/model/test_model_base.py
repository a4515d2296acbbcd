import json
import shutil

import pytest
import torch
from diffusers import StableDiffusion3Pipeline
from safetensors.torch import load_file, save_file

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.model.base import base_hash, load_base
from geodiff_sar.model.folder_base import EMBEDDED, base_folder, folder_tokenizers
from geodiff_sar.workflows.check_weights import check_weights


def test_embedded_base_is_complete_small_and_loads():
    folder = EMBEDDED["mini"]
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= 30e6
    text, intact = check_weights("mini", None)
    assert intact, text
    base = load_base("mini")
    assert base.transformer.config["qk_norm"] == "rms_norm"
    assert len(base.transformer.config["dual_attention_layers"]) > 0
    assert (base.vae.latent_channels, base.vae.reduction) == (8, 4)
    context, pooled = base.text.encode(["SAR image,Cessna 208,Ku-band,High,HH-Polarization,12.5", ""])
    assert context.shape == (2, 32 + 28, base.transformer.config["joint_attention_dim"])
    assert pooled.shape == (2, base.transformer.config["pooled_projection_dim"])


def test_text_depends_on_every_field_and_not_on_the_batch():
    text = load_base("mini").text
    first = "SAR image,Cessna 208,Ku-band,High,HH-Polarization,12.5"
    others = [first.replace(*change) for change in
              (("Cessna 208", "Kodiak 100"), ("Ku", "X"), ("High", "Low"), ("HH", "VV"), ("12.5", "13.5"))]  # fmt: skip
    context, pooled = text.encode([first, *others])
    alone, alone_pooled = text.encode([first])
    assert torch.allclose(context[:1], alone, atol=1e-5)
    assert torch.allclose(pooled[:1], alone_pooled, atol=1e-5)
    for row in range(1, len(others) + 1):
        assert float((pooled[row] - pooled[0]).abs().max()) > 1e-3


def test_long_captions_are_cut_with_a_note(capsys):
    load_base("mini").text.encode(["SAR image," + "x" * 300 + ",Ku-band,High"])
    assert "its end is cut off" in capsys.readouterr().err


def test_latents_are_normalised_and_invert():
    base = load_base("mini")
    from geodiff_sar.core.types import Pose
    from geodiff_sar.data.simulated import ChipSpec, simulate_chip

    chip = simulate_chip(ChipSpec("Kodiak 100", Pose(40.0, 35.0), seed=9))
    pixels = torch.from_numpy(base.settings.remap.to_model(chip.amplitude))[None, None]
    mean, std = base.vae.encode(pixels)
    assert mean.shape == (1, 8, 128 // base.vae.reduction, 128 // base.vae.reduction)
    assert 0.7 < float((mean + std * torch.randn_like(std)).std()) < 1.3
    again = base.vae.decode(mean)
    assert float(10 * torch.log10(4 / (again - pixels).square().mean())) > 28


def test_diffusers_own_pipeline_reads_the_folder(tiny_base):
    pipeline = StableDiffusion3Pipeline.from_pretrained(tiny_base, local_files_only=True)
    assert pipeline.transformer.config.num_layers == 2


def test_missing_and_damaged_parts_are_named(tiny_base, tmp_path):
    with pytest.raises(OptionError, match="mini"):
        base_folder("maxi")
    (tmp_path / "sd3.5_medium.safetensors").touch()
    with pytest.raises(FileError, match="is empty"):
        load_base(str(tmp_path / "sd3.5_medium.safetensors"))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken, ignore=shutil.ignore_patterns("work"))
    weights = broken / "vae" / "diffusion_pytorch_model.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-100])
    words = broken / "tokenizer_2" / "tokenizer.json"
    words.unlink()
    text, intact = check_weights(str(broken), None)
    assert not intact
    assert "vae/diffusion_pytorch_model.safetensors: truncated or damaged" in text
    assert "tokenizer_2/tokenizer.json: no such file" in text
    assert "'tokenizer_2' of a base holds tokenizer.json, or vocab.json and merges.txt" in text
    with pytest.raises(FileError, match="vae"):
        load_base(str(broken))
    weights.write_bytes(kept)
    with pytest.raises(FileError, match="tokenizer_2"):
        load_base(str(broken))


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "text_encoder_3"])
def test_a_missing_tensor_is_named_and_never_drawn_at_random(tiny_base, tmp_path, part):
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken, ignore=shutil.ignore_patterns("work"))
    (file,) = (broken / part).glob("*.safetensors")
    state = load_file(file)
    key = next(key for key in sorted(state) if key.endswith("weight"))
    del state[key]
    save_file(state, file, {"format": "pt"})
    text, intact = check_weights(str(broken), None)
    assert not intact
    assert f"{part}: 1 tensors missing ['{key}']" in text
    with pytest.raises(FileError, match=part):
        load_base(str(broken))


def test_the_hash_covers_configurations_and_tokenizers(tiny_base, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(tiny_base, changed, ignore=shutil.ignore_patterns("work"))
    assert base_hash(str(changed)) == base_hash(str(tiny_base)) == load_base(str(tiny_base)).hash
    config = changed / "vae" / "config.json"
    config.write_text(config.read_text().replace('"scaling_factor": ', '"scaling_factor": 1'))
    assert load_base(str(changed)).vae.model_hash != load_base(str(tiny_base)).vae.model_hash
    words = changed / "tokenizer" / "tokenizer.json"
    words.write_text(words.read_text() + "\n")
    assert load_base(str(changed)).text.model_hash != load_base(str(tiny_base)).text.model_hash
    assert base_hash(str(changed)) != base_hash(str(tiny_base))


def test_tokenizers_of_vocabulary_and_merges_are_read(tiny_base, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(tiny_base, changed, ignore=shutil.ignore_patterns("work"))
    folder = changed / "tokenizer"
    shutil.rmtree(folder)
    folder.mkdir()
    entries = ["a", "b", "a</w>", "b</w>", "ab</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({entry: number for number, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 32, "pad_token": "<|endoftext|>", **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert folder_tokenizers(changed)[0]("ab")["input_ids"] == [5, 4, 6]


def test_nan_in_weights_is_a_problem(tiny_base, tmp_path):
    shutil.copytree(tiny_base, tmp_path / "base")
    file = tmp_path / "base" / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    name = next(iter(state))
    state[name].view(-1)[0] = float("inf")
    save_file(state, file)
    text, intact = check_weights(str(tmp_path / "base"), None)
    assert not intact
    assert f"NaN or Inf in 1 of its tensors, first in {name}" in " ".join(text.split())
