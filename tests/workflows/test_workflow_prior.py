import hashlib
import json

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from tracing_cases import SMALL_ARGUMENTS, command, hashes, priors, write_box

from geodiff_sar.core.errors import Interrupted, OptionError
from geodiff_sar.data.features import load_features
from geodiff_sar.data.recipe import read_recipe
from geodiff_sar.sampling.prompts import parse_azimuths
from geodiff_sar.workflows import prior as workflow
from geodiff_sar.workflows.generation.requests import pointcloud_file

MADE = ("trace.json", "manifest.json", "contact_sheet.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four azimuths, four polarisations, three formats."""
    folder = tmp_path_factory.mktemp("prior") / "tank"
    priors(folder, polarisations=["HH", "HV", "VH", "VV"], formats=("safetensors", "pt", "npy"))
    return folder


def test_files_manifest_and_sheet(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["entries"]) == 16
    assert manifest["target"] == "tank:1"
    listed = {}
    for entry in manifest["entries"]:
        assert set(entry["files"]) == {
            f"chips/{entry['id']}.png",
            *(f"{entry['id']}.{e}" for e in ("safetensors", "pt", "npy")),
        }
        listed.update(entry["files"])
    assert {**listed, **{k: v for k, v in hashes(folder).items() if k in MADE}} == hashes(folder)
    first = manifest["entries"][0]
    assert first["id"] == "tank_1_HH_dep30_az0.0"
    assert first["caption"] == "SAR image,tank:1,Ku-band,High,HH-Polarization,0.0"
    with Image.open(folder / "contact_sheet.png") as sheet:
        sheet.load()
        assert sheet.width > 6 * 48


def test_safetensors_hold_features_maps_and_cloud(folder):
    path = folder / "tank_1_HV_dep30_az90.0.safetensors"
    prior = load_features(path)
    assert prior.features.shape[1] == 64
    assert prior.coordinates is not None
    assert prior.coordinates.shape == (len(prior.features), 3)
    assert prior.maps is not None
    assert prior.maps.shape == (9, 48, 48)
    assert prior.pose is not None
    assert (prior.pose.azimuth_deg, prior.pose.depression_deg) == (90.0, 30.0)
    assert prior.radar is not None
    assert prior.radar.polarisation == "HV"
    assert prior.provenance["text_label"].endswith("HV-Polarization,90.0")
    assert len(prior.provenance["mesh_sha256"]) == 64
    with safe_open(path, framework="np") as file:
        cloud = {key: file.get_tensor(key) for key in file.keys() if key.startswith("cloud_")}  # noqa: SIM118
    count = len(cloud["cloud_order"])
    assert count >= len(prior.features)
    widths = {"position": (3,), "amplitude": (4, 2), "power": (4,), "normal": (3,), "cos_incidence": (), "count": ()}
    for name, width in widths.items():
        assert cloud[f"cloud_{name}"].shape == (count, *width), name


@pytest.mark.parametrize("ending", ["pt", "npy"])
def test_other_formats_hold_the_same_features(folder, ending):
    stem = "tank_1_VV_dep30_az180.0"
    ours, theirs = (load_features(folder / f"{stem}.{name}") for name in ("safetensors", ending))
    np.testing.assert_array_equal(ours.features, theirs.features)
    assert (theirs.coordinates is None) == (ending == "npy")


def test_polarisations_come_from_one_trace(folder):
    clouds = []
    for name in ("HH", "HV", "VH", "VV"):
        with safe_open(folder / f"tank_1_{name}_dep30_az0.0.safetensors", framework="np") as file:
            clouds.append(file.get_tensor("cloud_amplitude"))
    assert all(np.array_equal(clouds[0], cloud) for cloud in clouds[1:])
    np.testing.assert_array_equal(clouds[0][:, 1], clouds[0][:, 2])  # reciprocal
    assert not np.array_equal(clouds[0][:, 0], clouds[0][:, 3])


def test_chip_carries_a_recipe_that_show_prints(folder, monkeypatch, capsys):
    path = folder / "chips" / "tank_1_VH_dep30_az270.0.png"
    assert command(monkeypatch, "show", path) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == read_recipe(path)
    assert shown["kind"] == "simulated"
    assert shown["caption"].endswith("VH-Polarization,270.0")
    assert shown["pose"] == {"azimuth_deg": 270.0, "depression_deg": 30.0}


def test_a_template_with_the_azimuth_finds_the_priors(folder):
    template = str(folder / "tank_1_HH_dep30_az{azimuth}.safetensors")
    for azimuth in parse_azimuths("0:360:90"):
        prior = load_features(pointcloud_file(template, azimuth, None))
        assert prior.pose is not None
        assert prior.pose.azimuth_deg == azimuth


def test_minus_zero_is_zero(tmp_path):
    priors(tmp_path, azimuths="-0.0")
    assert (tmp_path / "tank_1_HH_dep30_az0.0.safetensors").is_file()


def test_number_of_workers_and_interruptions_change_nothing(tmp_path, monkeypatch):
    priors(tmp_path / "one")
    priors(tmp_path / "three", workers=3)
    expected = hashes(tmp_path / "one")
    assert hashes(tmp_path / "three") == expected
    for name in ("tank_1_HH_dep30_az90.0.safetensors", "chips/tank_1_HH_dep30_az180.0.png"):
        (tmp_path / "three" / name).unlink()
    assert "2 of 4 poses traced now" in priors(tmp_path / "three", workers=2)
    assert hashes(tmp_path / "three") == expected
    assert "0 of 4" in priors(tmp_path / "three")

    whole, calls = workflow._make, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(workflow, "_make", stopping)
    with pytest.raises(Interrupted, match="of 4 poses; run the same command again"):
        priors(tmp_path / "stopped")
    monkeypatch.undo()
    assert not (tmp_path / "stopped" / "manifest.json").exists()
    assert "traced now" in priors(tmp_path / "stopped")
    assert hashes(tmp_path / "stopped") == expected


def test_a_folder_belongs_to_one_set_of_settings(tmp_path, capsys):
    priors(tmp_path, azimuths="0,90")
    before = hashes(tmp_path)
    other = {"trace": {"rays": 30_000}}
    with pytest.raises(OptionError, match="4 files made with another mesh, label, radar or other settings"):
        priors(tmp_path, azimuths="0", prior=other)
    with pytest.raises(OptionError, match="with another seed"):
        priors(tmp_path, azimuths="0", seeds=[1])
    assert hashes(tmp_path) == before
    priors(tmp_path, azimuths="0", prior=other, overwrite=True)
    assert "removing 4 files" in capsys.readouterr().err
    names = set(hashes(tmp_path))  # nothing of the former settings is left that a later run might take for its own
    assert names == {*MADE, "tank_1_HH_dep30_az0.0.safetensors", "chips/tank_1_HH_dep30_az0.0.png"}
    assert "1 of 2 poses traced now" in priors(tmp_path, azimuths="0,90", prior=other)


def test_overwrite_with_the_same_settings_makes_the_same_files(tmp_path):
    priors(tmp_path, azimuths="0")
    before = hashes(tmp_path)
    (tmp_path / "chips" / "tank_1_HH_dep30_az0.0.png").write_bytes(b"damaged")
    priors(tmp_path, azimuths="0", overwrite=True)
    assert hashes(tmp_path) == before


def test_a_later_run_adds_poses_and_keeps_the_entries_of_the_manifest(tmp_path):
    priors(tmp_path, azimuths="0")
    priors(tmp_path, azimuths="90")
    entries = json.loads((tmp_path / "manifest.json").read_text())["entries"]
    assert [entry["azimuth_deg"] for entry in entries] == [0.0, 90.0]


def test_mesh_file_from_the_command_line(tmp_path, monkeypatch, capsys):
    box = write_box(tmp_path / "My box.obj", inside_out=True)
    out = tmp_path / "out"
    assert command(monkeypatch, "prior", box, "--out", out, *SMALL_ARGUMENTS, "--label", "Truck 5", "--nose", "+y") == 0
    printed = capsys.readouterr()
    assert "inside out" in printed.err
    assert "1 of 1 poses" in printed.out
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["entries"][0]["caption"] == "SAR image,Truck 5,Ku-band,High,HH-Polarization,0.0"
    name = "truck_5_HH_dep30_az0.0.safetensors"
    assert manifest["entries"][0]["files"][name] == hashlib.sha256((out / name).read_bytes()).hexdigest()
    assert any("nose +y" in sentence for sentence in manifest["mesh"]["report"])


def test_power_beyond_the_chip_is_said(tmp_path, capsys):
    priors(tmp_path / "small", azimuths="0", radar_set=["rows=16", "columns=16"])
    assert "falls beyond the chip of 16 x 16 pixels" in capsys.readouterr().err
    priors(tmp_path / "large", azimuths="0", radar_set=["rows=128", "columns=128"])
    assert "falls beyond" not in capsys.readouterr().err
