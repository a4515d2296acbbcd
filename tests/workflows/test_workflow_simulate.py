import json
import shutil

import numpy as np
import pytest
from PIL import Image
from test_workflow_train import config_for
from tracing_cases import chips, command, hashes, write_box

from geodiff_sar.core.errors import OptionError
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.data.features import load_features
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.readers import read_samples
from geodiff_sar.workflows.train import train

SETTINGS = {
    "azimuths": "0,120.5",
    "polarisations": ["HH", "HV"],
    "seeds": [0, 7],
    "targets": [{"source": "tank:1"}, {"source": "truck:2", "label": "Lorry"}],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two targets, two azimuths, two polarisations, two seeds."""
    folder = tmp_path_factory.mktemp("simulate") / "data"
    chips(folder, **SETTINGS)
    return folder


def test_the_layout_is_read_back(folder):
    samples = {sample.id: sample for sample in read_samples(folder)}
    assert len(samples) == 16
    sample = samples["lorry_HV_dep30_az120.5_seed7"]
    assert str(sample.caption) == "SAR image,Lorry,Ku-band,High,HV-Polarization,120.5"
    assert sample.pose is not None
    assert (sample.pose.azimuth_deg, sample.pose.depression_deg) == (120.5, 30.0)
    assert all(sample.prior_path is not None and sample.prior_path.is_file() for sample in samples.values())
    assert load_chip(folder / "chips" / f"{sample.id}.png").shape == (48, 48)
    with Image.open(folder / "contact_sheet.png") as sheet:
        sheet.load()
    for row in map(json.loads, (folder / "metadata.jsonl").read_text().splitlines()):
        assert str(parse_caption(row["text"])) == row["text"]
        prior = load_features(folder / row["features"])
        assert prior.provenance["text_label"] == row["text"]
        assert prior.maps is not None
        assert prior.maps.shape == (9, 48, 48)


def test_seeds_change_the_clutter_and_share_the_prior(folder):
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    one, two = (row for row in rows if row["id"].startswith("tank_1_HH_dep30_az0.0_"))
    assert one["features"] == two["features"]
    assert not np.array_equal(*(load_chip(folder / row["file_name"]) for row in (one, two)))
    assert len(list((folder / "3d_features").iterdir())) == 8


def test_number_of_workers_and_missing_files_change_nothing(folder, tmp_path):
    again = tmp_path / "again"
    chips(again, workers=3, **SETTINGS)
    assert hashes(again) == hashes(folder)
    (again / "chips" / "tank_1_HV_dep30_az0.0_seed7.png").unlink()
    (again / "3d_features" / "lorry_HH_dep30_az120.5.safetensors").unlink()
    chips(again, **SETTINGS)
    assert hashes(again) == hashes(folder)


def test_its_own_configuration_makes_the_same_data_set(folder, tmp_path, monkeypatch, capsys):
    config = tmp_path / "config.toml"
    shutil.copy(folder / "config.toml", config)
    assert command(monkeypatch, "simulate", "--config", config, "--out", tmp_path / "out") == 0
    assert "16 chips" in capsys.readouterr().out
    assert hashes(tmp_path / "out") == hashes(folder)


def test_other_poses_into_the_same_folder_are_refused(folder, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(folder, data)
    with pytest.raises(OptionError, match="for other azimuths, depressions, polarisations or seeds"):
        chips(data, **{**SETTINGS, "seeds": [0]})
    assert hashes(data) == hashes(folder)
    chips(data, overwrite=True, **{**SETTINGS, "seeds": [0]})
    assert len(list((data / "chips").iterdir())) == 8
    assert len(read_samples(data)) == 8


def test_training_takes_the_folder_with_its_geometry(folder, tiny_base, tmp_path):
    trained = train(config_for(folder, tiny_base, tmp_path, max_steps=2))
    manifest = json.loads((trained / "manifest.json").read_text())
    assert manifest["data"]["training"]["chips"] == 16
    assert (trained / "run_fusion_weights.safetensors").is_file()


def test_mesh_files_beside_models(tmp_path, capsys):
    box = write_box(tmp_path / "box.obj", size=(4000, 2000, 1500))
    targets = [{"source": str(box), "mesh": {"unit": "mm"}}, {"source": "tank:1"}]
    chips(tmp_path / "out", targets=targets, azimuths="0", radar_set=["rows=16", "columns=16"])
    printed = capsys.readouterr().err
    assert "Unit: mm, as given" in printed
    assert "falls beyond the chip" in printed
    assert {str(sample.caption).split(",")[1] for sample in read_samples(tmp_path / "out")} == {"box", "tank:1"}
