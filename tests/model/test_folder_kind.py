"""A folder of another model is named as what it is."""

import json
import shutil

import pytest

from geodiff_sar.core.errors import FileError
from geodiff_sar.model.base import load_base
from geodiff_sar.workflows.check_weights import check_weights


def write(path, **content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"model_index.json": "FluxPipeline", "transformer/config.json": "FluxTransformer2DModel"},
            "is Flux .FluxPipeline",
        ),
        ({"transformer/config.json": "FluxTransformer2DModel"}, "is Flux"),
        ({"model_index.json": "StableDiffusionXLPipeline"}, "is Stable Diffusion XL"),
        ({"model_index.json": "StableDiffusionPipeline"}, "is Stable Diffusion 1 or 2"),
        ({"model_index.json": "NewPipeline"}, "is another model .NewPipeline"),
        ({"unet/config.json": "UNet2DConditionModel"}, "holds unet/"),
        ({"config.json": "SD3Transformer2DModel"}, "holds one part alone"),
    ],
)
def test_another_model_is_named(tmp_path, files, words):
    for name, kind in files.items():
        write(tmp_path / name, _class_name=kind)
    for call in (load_base, lambda base: check_weights(base, None)):
        with pytest.raises(FileError, match=f"{words}(.|\n)*a base is Stable Diffusion 3.5"):
            call(str(tmp_path))


@pytest.mark.parametrize(
    ("settings", "title"),
    [
        ({"num_layers": 24, "caption_projection_dim": 1536}, "Stable Diffusion 3 Medium"),
        ({"num_layers": 38, "caption_projection_dim": 2432, "qk_norm": "rms_norm"}, "Stable Diffusion 3.5 Large"),
    ],
)
def test_a_folder_has_the_title_of_its_transformer(tmp_path, settings, title):
    heads = settings["caption_projection_dim"] // 64
    write(
        tmp_path / "transformer" / "config.json",
        _class_name="SD3Transformer2DModel",
        num_attention_heads=heads,
        **settings,
    )
    assert f": {title}\n" in check_weights(str(tmp_path), None)[0]


def test_an_index_of_another_program_is_no_obstacle(tiny_base, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    write(folder / "model_index.json", _class_name="SomebodysPipeline")
    assert check_weights(str(folder), None)[1]
