"""What the pixels of generated chips mean travels from the data through the adapter into every recipe."""

import json

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.data.features import save_features
from geodiff_sar.data.pixels import ChipGrid, PixelRemap
from geodiff_sar.data.readers import read_samples
from geodiff_sar.model.adapter import read_record
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.jobs import build_jobs
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.generation.session import open_session
from geodiff_sar.workflows.split import make_split
from geodiff_sar.workflows.train import TrainConfig, train
from support import random_prior

DESCRIPTION = """
[remap]
kind = "power"
exponent = 1.0
scaling = "per-chip"
[grid]
range_direction = "up"
pixel_range_m = 0.4
resolution_range_m = 0.5
"""


def test_from_the_data_through_the_adapter_to_the_recipe(tiny_base, tmp_path, capsys):
    data, rng, rows = tmp_path / "data", np.random.default_rng(0), []
    data.mkdir()
    for k in range(8):
        Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(data / f"{k}.png")
        save_features(data / f"3d_features/{k}.pt", random_prior(k))
        rows.append({"file_name": f"{k}.png", "text": f"SAR image,A,X-band,High,HH-Polarization,{45.0 * k}"})
    (data / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (data / "dataset.toml").write_text(DESCRIPTION)
    make_split(data, tmp_path / "split.json", protocol="azimuth-sectors:0-100")
    settings = {
        "base": str(tiny_base),
        "inject": ["pooled"],
        "output_dir": str(tmp_path / "runs"),
        "data": {
            "root": str(data),
            "buckets": {"min_bucket_reso": 16},
            "split": {"validation": "file", "file": str(tmp_path / "split.json")},
        },
        "lora": {"rank": 2},
        "train": {"max_steps": 2, "batch_size": 2, "device": "cpu", "validate_every_steps": 2},
    }
    run = train(TrainConfig.model_validate(settings))
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["data"]["training"]["chips"] == 5
    assert manifest["data"]["validation"]["chips"] == 3
    assert manifest["split_sha256"] == json.loads((tmp_path / "split.json").read_text())["sha256"]
    pixels = read_record(resolve_adapter(str(run))).pixels
    assert pixels is not None
    assert pixels.remap == PixelRemap(kind="power", exponent=1.0, scaling="per-chip")
    # turned into the frame; 16 pixels were enlarged to 32, so a pixel is half as wide; the resolution is what it was
    assert pixels.grid == ChipGrid(range_direction="right", pixel_range_m=0.2, resolution_range_m=0.5)

    request = {
        "pretrained_model": str(tiny_base),
        "lora_weights": str(run),
        "prompt": "SAR image,A,X-band,High,HH-Polarization,0.0",
        "azimuths": "10,200",
        "depression": 17.0,
        "pointcloud_path": str(data / "3d_features/0.pt"),
        "sample_steps": 2,
        "seed": 1,
        "contact_sheet": True,
        "output_dir": tmp_path / "out",
    }
    paths = generate_chips(GenerateRequest.model_validate(request))
    samples = read_samples(tmp_path / "out")
    assert [sample.pose.azimuth_deg for sample in samples if sample.pose] == [10.0, 200.0]
    assert all((s.remap, s.grid, s.origin) == (pixels.remap, pixels.grid, "generated") for s in samples)
    assert all(s.prior_path == data / "3d_features/0.pt" for s in samples)
    again = generate_chips(GenerateRequest(source=paths[0], output_dir=tmp_path / "again"))
    assert sha256_file(again[0]) == sha256_file(paths[0])

    with_reference(request, data / "1.png", tmp_path, "right", capsys)


def with_reference(request, path, tmp_path, frame, capsys):
    """A reference picture of unknown direction is taken as it lies, and that is said; one of known direction is turned."""
    turned = np.rot90(np.asarray(Image.open(path)), -1)  # where range grew up, it grows to the right now
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "turned.png")
    pictures = {}
    for name, reference, direction in (
        ("lying", tmp_path / "turned.png", None),
        ("said", path, "up"),
        ("not said", path, None),
        ("from a recipe", tmp_path / "out" / "generated_0000_az10.0_seed1.png", None),
    ):
        asked = GenerateRequest.model_validate({**request, "reference": reference, "reference_range": direction})
        capsys.readouterr()
        pictures[name] = build_jobs(asked, open_session(asked))[0].request.reference
        said = " ".join(capsys.readouterr().err.split())
        assert ("nothing says how range lies" in said) == (name in ("lying", "not said"))
        assert (f"it is taken to grow to the {frame}" in said) == (name in ("lying", "not said"))
    assert np.array_equal(pictures["lying"], pictures["said"])
    assert np.array_equal(np.rot90(pictures["not said"], -1), pictures["said"])
    more = {"reference": path, "reference_range": "up", "contact_sheet": False, "output_dir": tmp_path / "with"}
    made = generate_chips(GenerateRequest.model_validate({**request, **more}))
    again = generate_chips(GenerateRequest(source=made[0], output_dir=tmp_path / "once more"))
    assert sha256_file(again[0]) == sha256_file(made[0])
    with pytest.raises(OptionError, match=r"--reference_range.*\s.*how references lie"):
        generate_chips(
            GenerateRequest.model_validate({**request, "reference_range": "up", "output_dir": tmp_path / "n"})
        )


def settings_of_one_step(base, root, output) -> dict:
    return {
        "base": str(base),
        "inject": ["pooled"],
        "output_dir": str(output),
        "data": {"root": str(root), "buckets": {"min_bucket_reso": 16}},
        "lora": {"rank": 2},
        "train": {"max_steps": 1, "batch_size": 2, "device": "cpu"},
    }


def test_what_reference_range_is_not_for(tiny_base, chips_root, tmp_path, capsys):
    settings = settings_of_one_step(tiny_base, chips_root, tmp_path)
    adapter = train(TrainConfig.model_validate(settings))
    picture = next((chips_root / "train").rglob("*.png"))
    request = {"pretrained_model": str(tiny_base), "prompt": "SAR image,A,X-band,High,HH-Polarization,0.0"}
    request |= {"reference_range": "up", "output_dir": tmp_path / "out"}
    with pytest.raises(OptionError, match="give --lora_weights"):
        generate_chips(GenerateRequest.model_validate(request))
    request |= {"lora_weights": str(adapter), "reference": picture, "allow_missing_geometry": True}
    with pytest.raises(OptionError, match="taken as they lay"):  # nothing says how range grew in them
        generate_chips(GenerateRequest.model_validate(request))
    settings["conditioning"] = {"modalities": ["pose"]}
    blind = train(TrainConfig.model_validate({**settings, "output_name": "blind"}))
    asked = GenerateRequest.model_validate({**request, "lora_weights": str(blind)})
    build_jobs(asked, open_session(asked))
    assert "--reference_range has no effect" in " ".join(capsys.readouterr().err.split())


def test_records_without_pixels_still_load(tiny_base, chips_root, tmp_path):
    settings = settings_of_one_step(tiny_base, chips_root, tmp_path)
    files = resolve_adapter(str(train(TrainConfig.model_validate(settings))))
    content = json.loads(files.record.read_text())
    assert content["geodiff_sar"].pop("pixels") is None  # the published layout says nothing about its pixels
    files.record.write_text(json.dumps(content))
    assert read_record(files).pixels is None
