"""A prior for every measured chip, at its own pose and moved onto it; simulated chips stand in for measured ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError
from tracing_cases import chips, command, hashes

from geodiff_sar.core.config import load_options
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.features import feature_header, load_features
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.split_file import periodic_sectors
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.geometry.placement import moved_maps
from geodiff_sar.workflows.chip_prior_plan import ChipPriorConfig, with_meshes
from geodiff_sar.workflows.chip_priors import ChipPriorRequest, make_chip_priors

CONFIG = {
    "targets": [{"source": "tank:1", "label": "Tank"}],
    "radar": "compact-ku",
    "prior": {"trace": {"rays": 20_000}},
}
SHIFTS = [(3, -2), (-4, 1), (0, 5), (-2, -3)]
DESCRIPTION = """
[grid]
range_direction = "up"
pixel_range_m = 0.18
pixel_cross_range_m = 0.18
[remap]
kind = "power"
exponent = 1.0
"""


def measured(folder: Path, depression: bool = True) -> Path:
    """Four chips of Tank and one of Truck, moved by SHIFTS, stored with range upwards; two of Tank share a pose."""
    made = folder.parent / "simulated"
    if not made.exists():
        chips(made, azimuths="20,110,200", radar_set=["rows=72", "columns=64"], depressions=[20.0], seeds=[0, 1])
    rows = []
    (folder / "pictures").mkdir(parents=True)
    poses = [(20, 0), (20, 1), (110, 0), (200, 0)]
    for (azimuth, seed), shift in zip(poses, SHIFTS, strict=True):
        stem = f"tank_1_HH_dep20_az{azimuth}.0_seed{seed}"
        picture = np.roll(load_chip(made / "chips" / f"{stem}.png"), shift, (0, 1)).astype(np.uint8)
        Image.fromarray(np.ascontiguousarray(np.rot90(picture))).save(folder / f"pictures/{azimuth}_{seed}.png")
        rows.append({"file_name": f"pictures/{azimuth}_{seed}.png", "azimuth": azimuth, "target": "Tank"})
    Image.fromarray(np.full((8, 8), 9, dtype=np.uint8)).save(folder / "pictures/truck.png")
    rows.append({"file_name": "pictures/truck.png", "azimuth": 5, "target": "Truck"})
    more = {"band": "Ku", "resolution": "High", "polarisation": "HH", **({"depression": 20} if depression else {})}
    (folder / "metadata.jsonl").write_text("\n".join(json.dumps({**row, **more}) for row in rows))
    (folder / "dataset.toml").write_text(DESCRIPTION)
    return folder


def made(data: Path, out: Path, overwrite: bool = False, **changes) -> str:
    config = ChipPriorConfig.model_validate({**CONFIG, **changes})
    return make_chip_priors(ChipPriorRequest(data, config, out, workers=1, overwrite=overwrite))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return measured(tmp_path_factory.mktemp("measured") / "data")


@pytest.fixture(scope="module")
def aligned(data):
    out = data.parent / "aligned"
    return out, made(data, out, align=8)


def test_every_chip_has_a_prior_at_its_own_pose_and_on_its_own_grid(data, aligned, capsys):
    out, text = aligned
    assert text.startswith("4 priors (3 of 3 poses traced now)")  # two chips share a pose
    samples = {s.id: s for s in read_samples(data, pointcloud_dir=out) if s.caption.target == "Tank"}
    assert len(samples) == 4
    for sample in samples.values():
        assert sample.prior_path == out / f"{sample.id}.safetensors"
        prior = load_features(sample.prior_path)
        assert prior.pose == sample.pose
        assert prior.maps is not None
        assert prior.maps.shape == (len(MAP_NAMES), 72, 64)
        assert prior.provenance["text_label"] == str(sample.caption)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["skipped"] == {"Truck": 1}
    assert (manifest["radar"]["rows"], manifest["radar"]["columns"]) == (72, 64)
    assert (out / "overlays.png").is_file()
    assert sorted(path.stem for path in out.glob("*.safetensors")) == sorted(samples)


def test_moves_are_found_recorded_and_applied(data, aligned):
    out, text = aligned
    assert "Tank: moved by" in text
    for name, (rows, columns) in zip(("20_0", "20_1", "110_0", "200_0"), SHIFTS, strict=True):
        placed = feature_header(out / f"{name}.safetensors")["provenance"]["alignment"]
        assert abs(placed["rows"] - rows) <= 1
        assert abs(placed["columns"] - columns) <= 1
        assert placed["slant_range_m"] == pytest.approx(placed["columns"] * 0.18)
        assert placed["score"] > placed["unmoved_score"]
    plain = data.parent / "plain"
    made(data, plain)
    before, after = (load_features(folder / "110_0.safetensors") for folder in (plain, out))
    assert before.provenance["alignment"] is None
    placed = after.provenance["alignment"]
    step = [placed["slant_range_m"], placed["cross_range_m"], 0.0]
    assert np.allclose(after.coordinates, before.coordinates + np.array(step), atol=1e-5)
    assert np.array_equal(after.maps, moved_maps(before.maps, placed["rows"], placed["columns"]))


def test_a_second_run_makes_only_what_is_missing_or_belongs_to_another_chip(tmp_path):
    data, out = measured(tmp_path / "data"), tmp_path / "out"
    made(data, out, align=8)
    first = hashes(out)
    assert "(0 of 3 poses traced now)" in made(data, out, align=8)
    (out / "110_0.safetensors").unlink()
    assert "(1 of 3 poses traced now)" in made(data, out, align=8)
    assert hashes(out) == first
    picture = Image.open(data / "pictures/200_0.png").transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    picture.save(data / "pictures/200_0.png")
    assert "(1 of 3 poses traced now)" in made(data, out, align=8)
    (out / "20_1.safetensors").write_bytes(b"torn")
    assert "(1 of 3 poses traced now)" in made(data, out, align=8)
    with pytest.raises(OptionError, match="4 files made with another mesh"):
        made(data, out)
    (out / "own.safetensors").write_bytes(b"not ours")
    assert "(3 of 3 poses traced now)" in made(data, out, overwrite=True)
    assert (out / "own.safetensors").read_bytes() == b"not ours"


def test_what_does_not_fit_is_refused(data, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(OptionError, match=r"(?s)BTR.*targets are BTR; the chips show Tank, Truck"):
        made(data, out, targets=[{"source": "tank:1", "label": "BTR"}])
    with pytest.raises(OptionError, match="without a label"):
        made(data, out, targets=[{"source": "tank:1"}])
    with pytest.raises(OptionError, match="two have one label"):
        made(data, out, targets=CONFIG["targets"] * 2)
    with pytest.raises(OptionError, match="Truck: no target or no chip"):
        made(data, out, classes=["Truck"])
    with pytest.raises(OptionError, match=r"(?s)band X, and .* band Ku"):
        made(data, out, radar="compact-x")
    with pytest.raises(DataError, match="a quarter of the chip"):
        made(data, tmp_path / "wide", align=17)
    bare = measured(tmp_path / "data", depression=False)
    with pytest.raises(DataError, match="has no depression"):
        made(bare, tmp_path / "bare")
    assert "4 priors" in made(bare, tmp_path / "bare", depression_deg=20.0)


def test_held_out_chips_are_not_looked_at(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    chips(data, azimuths="0:360:40", radar_set=["rows=72", "columns=72"], depressions=[20.0])
    config = {"targets": [{"source": "tank:1", "label": "tank:1"}], "align": 6, "hold_out": [[70.0, 90.0]]}
    made(data, out, **config)
    held = next(out.glob("*_az80.0_seed0.safetensors"))
    record, first = feature_header(held)["provenance"]["alignment"], hashes(out)
    assert record["by"] == "other chips"
    assert "score" not in record
    others = [feature_header(p)["provenance"]["alignment"] for p in out.glob("*.safetensors") if p != held]
    assert {other["by"] for other in others} == {"own chip"}
    assert max(abs(record["rows"]), abs(record["columns"])) <= 1  # simulated chips are centred
    picture = Image.open(data / f"chips/{held.stem}.png")
    Image.fromarray(np.roll(np.asarray(picture), (4, 4), (0, 1))).save(data / f"chips/{held.stem}.png")
    assert "(1 of 9 poses traced now)" in made(data, out, **config)
    assert feature_header(held)["provenance"]["alignment"] == record
    assert {k: v for k, v in hashes(out).items() if k.endswith("seed0.safetensors") and k != held.name} == {
        k: v for k, v in first.items() if k.endswith("seed0.safetensors") and k != held.name
    }
    with pytest.raises(DataError, match="at least 8 chips teach"):
        made(data, tmp_path / "few", **{**config, "hold_out": [[0.0, 200.0]]})
    with pytest.raises(ValidationError, match="align is not set"):
        ChipPriorConfig.model_validate({**CONFIG, "hold_out": [[0.0, 30.0]]})


def test_command_line(data, tmp_path, monkeypatch, capsys):
    config = tmp_path / "priors.toml"
    config.write_text('radar = "compact-ku"\nalign = 4\n[[targets]]\nlabel = "Tank"\nsource = "tank:1"\n')
    arguments = ("chip-priors", data, "--config", config, "--out", tmp_path / "out", "--set", "prior.trace.rays=20000")
    assert command(monkeypatch, *arguments, "--align", "0", "--workers", "1") == 0
    assert "data.pointcloud_dir" in capsys.readouterr().out
    assert feature_header(tmp_path / "out/20_0.safetensors")["provenance"]["alignment"] is None
    assert command(monkeypatch, *arguments, "--meshes", tmp_path / "none") == 2
    assert command(monkeypatch, *arguments, "--align", "-3") == 2


def test_configuration_of_the_study_is_accepted():
    path = Path(__file__).resolve().parents[2] / "configs/study/mstar_priors.toml"
    config = with_meshes(load_options(ChipPriorConfig, path), Path("meshes"))
    assert [target.source for target in config.targets] == ["meshes/T72.obj", "meshes/BTR70.obj"]
    # as configs/study/mstar.toml holds them out
    assert list(config.hold_out) == list(periodic_sectors(30.0, 90.0, 0.0))


def test_mesh_files_are_looked_up_in_the_folder(tmp_path):
    targets = [{"source": "a.obj", "label": "A", "mesh": {"add": ["b.obj"]}}, {"source": "tank:1", "label": "B"}]
    found = with_meshes(ChipPriorConfig.model_validate({"targets": targets}), tmp_path)
    assert [target.source for target in found.targets] == [str(tmp_path / "a.obj"), "tank:1"]
    assert found.targets[0].mesh.add == (tmp_path / "b.obj",)
