"""Feature spaces from local weights: timm, Inception and CLIP in the formats that they come in."""

from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from transformers import CLIPConfig, CLIPModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from evaluation_support import make_chips
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.data.pixels import AMPLITUDE, UNSPECIFIED, PixelRemap
from geodiff_sar.evaluation.spaces import SpaceOptions, make_space
from geodiff_sar.evaluation.spaces.pictures import PictureInput, root_amplitude, white_of


@pytest.fixture(scope="module")
def chips():
    return make_chips(6, 0, "real", 32)


@pytest.fixture(scope="module")
def resnet():
    torch.manual_seed(0)
    return timm.create_model("resnet10t", pretrained=False)


@pytest.fixture(scope="module")
def resnet_file(resnet, tmp_path_factory):
    path = tmp_path_factory.mktemp("timm") / "model.safetensors"
    safetensors.torch.save_file(resnet.state_dict(), path)
    return path


def build(name, weights, chips, batch=4):
    return make_space(SpaceOptions(name=name, weights=weights, batch=batch), chips, None, 0)


def test_timm_features_are_those_of_the_model(resnet, resnet_file, chips):
    space = build("timm:resnet10t", resnet_file, chips)
    features = space.extract(chips.amplitude)
    config = timm.data.resolve_model_data_config(resnet)
    level = np.minimum(np.sqrt(chips.amplitude) / np.percentile(np.sqrt(chips.amplitude), 99.9), 1.0)
    picture = torch.nn.functional.interpolate(
        torch.from_numpy(level).float()[:, None], config["input_size"][1:], mode="bicubic", antialias=True
    ).clamp(0, 1)
    x = (picture - torch.tensor(config["mean"])[:, None, None]) / torch.tensor(config["std"])[:, None, None]
    with torch.no_grad():
        expected = resnet.eval().forward_head(resnet.forward_features(x), pre_logits=True).numpy()
    assert features.shape == (6, 512)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=2e-4, atol=2e-5)


def test_timm_reads_pytorch_files_and_the_fingerprint_follows_the_weights(resnet, resnet_file, chips, tmp_path):
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": {f"module.{k}": v for k, v in resnet.state_dict().items()}}, path)
    first, second = build("timm:resnet10t", resnet_file, chips), build("timm:resnet10t", path, chips)
    np.testing.assert_array_equal(first.extract(chips.amplitude), second.extract(chips.amplitude))
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == build("timm:resnet10t", resnet_file, chips, batch=2).fingerprint
    brighter = chips.with_amplitude(chips.amplitude * 2)
    assert build("timm:resnet10t", resnet_file, brighter).fingerprint != first.fingerprint
    assert first.name.startswith("timm:resnet10t ")


def test_weights_that_do_not_fit(resnet, resnet_file, chips, tmp_path):
    with pytest.raises(FileError, match="tensors are missing, such as"):
        build("timm:resnet18", resnet_file, chips)
    state = resnet.state_dict()
    del state["conv1.0.weight"]
    safetensors.torch.save_file({**state, "extra": torch.zeros(2)}, tmp_path / "a.safetensors")
    with pytest.raises(FileError, match=r"1 tensors are missing, such as conv1.0.weight; 1 tensors do not belong"):
        build("timm:resnet10t", tmp_path / "a.safetensors", chips)
    torch.save({"hook": print}, tmp_path / "code.pth")
    with pytest.raises(FileError, match="cannot be read as weights"):
        build("timm:resnet10t", tmp_path / "code.pth", chips)
    (tmp_path / "cut.safetensors").write_bytes(resnet_file.read_bytes()[:1000])
    with pytest.raises(FileError, match="cannot be read as weights"):
        build("timm:resnet10t", tmp_path / "cut.safetensors", chips)
    with pytest.raises(FileError, match="no such file"):
        build("timm:resnet10t", tmp_path / "none.pth", chips)


def test_options_that_lead_nowhere(chips, resnet_file, tmp_path, monkeypatch):
    with pytest.raises(OptionError, match="resnet50"):
        build("timm:resnet5o", resnet_file, chips)
    with pytest.raises(OptionError, match="nothing is downloaded"):
        build("timm:resnet10t", None, chips)
    with pytest.raises(OptionError, match="feature space: clip, inception"):
        build("vgg", None, chips)
    with pytest.raises(OptionError, match="one model"):
        build("clip:large", None, chips)
    with pytest.raises(OptionError, match="local folder"):
        build("clip", None, chips)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OptionError, match="not at hand"):
        build("inception", None, chips)


def test_inception_from_the_hub_cache_and_not_the_port_for_fid(chips, tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = timm.create_model("inception_v3", pretrained=False, aux_logits=True)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    path = folder / "inception_v3_google-0cc3c7bd.pth"
    torch.save(model.state_dict(), path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    space = build("inception", None, chips)
    assert space.extract(chips.amplitude[:1]).shape == (1, 2048)
    assert space.name.startswith("inception (torchvision's weights)")
    state = {"fc.weight": torch.zeros(1008, 2048)}
    torch.save(state, tmp_path / "pt_inception.pth")
    with pytest.raises(FileError, match="port of Inception for published FIDs"):
        build("inception", tmp_path / "pt_inception.pth", chips)


def tiny_clip() -> CLIPConfig:
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**vision, "vocab_size": 50, "max_position_embeddings": 8}
    config = CLIPConfig(
        vision_config={**vision, "image_size": 32, "patch_size": 8}, text_config=text, projection_dim=12
    )
    config.vision_config.projection_dim = 12
    return config


def test_clip_from_a_whole_model_and_from_its_vision_side(chips, tmp_path):
    torch.manual_seed(0)
    whole = CLIPModel(tiny_clip())
    whole.save_pretrained(tmp_path / "whole")
    space = build("clip", tmp_path / "whole", chips)
    features = space.extract(chips.amplitude)
    pictures = PictureInput(
        remap=chips.remap,
        white=white_of(chips),
        size=(32, 32),
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    )
    with torch.no_grad():
        pooled = whole.vision_model(pixel_values=pictures(chips.amplitude)).pooler_output
        expected = whole.visual_projection(pooled).numpy()
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    assert space.name.split()[0] == "clip"
    vision = CLIPVisionConfig(**{**tiny_clip().vision_config.to_dict(), "projection_dim": 12})
    CLIPVisionModelWithProjection(vision).save_pretrained(tmp_path / "vision")
    assert build("clip", tmp_path / "vision", chips).extract(chips.amplitude).shape == (6, 12)


def test_clip_folders_that_do_not_fit(chips, tmp_path):
    with pytest.raises(FileError, match=r"holds no config.json"):
        build("clip", tmp_path, chips)
    CLIPModel(tiny_clip()).save_pretrained(tmp_path)
    state = safetensors.torch.load_file(tmp_path / "model.safetensors")
    del state["visual_projection.weight"]
    safetensors.torch.save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(FileError, match=r"lacks 1 tensors, such as visual_projection.weight"):
        build("clip", tmp_path, chips)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(FileError, match="model_type is 'bert'"):
        build("clip", tmp_path, chips)


def test_roots_follow_the_remap(chips):
    linear = root_amplitude(chips.amplitude, AMPLITUDE)
    stored = np.sqrt(chips.amplitude)
    np.testing.assert_allclose(linear, root_amplitude(stored, PixelRemap(kind="power", exponent=0.5)), rtol=1e-5)
    np.testing.assert_array_equal(stored, root_amplitude(stored, UNSPECIFIED))
    black = replace(chips, amplitude=np.zeros_like(chips.amplitude))
    assert white_of(black) == 1.0
