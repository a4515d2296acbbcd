"""``geodiff-sar atr`` from folders to files, and what bad input gets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError, GeodiffError, OptionError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.workflows.atr import atr, read_material
from geodiff_sar.workflows.atr_options import AtrRequest, atr_request
from learning_support import bar_chips


def write_folder(root: Path, chips: ChipSet) -> Path:
    """Chips as PNG with ``metadata.jsonl``."""
    root.mkdir(parents=True)
    rows = []
    for name, pixels, target, azimuth in zip(chips.ids, chips.amplitude, chips.target, chips.azimuth_deg, strict=True):
        Image.fromarray(np.minimum(pixels, 255).astype(np.uint8)).save(root / f"{name}.png")
        text = f"SAR image,{target},X-band,High,HH-Polarization,{azimuth:.1f}"
        rows.append({"file_name": f"{name}.png", "text": text, "azimuth": float(azimuth)})
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("atr")
    write_folder(root / "real", bar_chips(72, 0, name="real"))
    write_folder(root / "generated", bar_chips(48, 1, name="made"))
    write_folder(root / "test", bar_chips(24, 2, name="held"))
    return root


def _request(folders: Path, out: Path, **more: object) -> AtrRequest:
    return atr_request({"real": folders / "real", "out": out, "steps": 2, "batch": 8, "fractions": "0.5,1", **more})


def test_a_study_from_folders_to_files(folders: Path, tmp_path: Path):
    request = _request(folders, tmp_path / "out", generated=folders / "generated", ratios="0.5")
    text = atr(request)
    assert "report.html" in text
    value = json.loads((tmp_path / "out" / "atr.json").read_text())
    assert value["facts"]["real"]["chips"] + value["facts"]["test"]["chips"] == 72
    assert len(value["facts"]["split"]["sha256"]) == 64
    assert "azimuth-sectors" in value["facts"]["split"]["protocol"]
    assert "unseen sectors cannot be learnt" in value["heads_left_out"]["sector"]
    experiments = {row["experiment"] for row in value["scores"]}
    assert experiments == {"real", "synthetic", "real + synthetic", "clutter only", "target only"}
    assert any("direction of range" in sentence for sentence in value["warnings"])
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<table>") == 2
    assert value["facts"]["split"]["sha256"] in page
    first = value["scores"]
    atr(request)
    value = json.loads((tmp_path / "out" / "atr.json").read_text())
    assert value["facts"]["runs"]["made_now"] == 0
    assert value["scores"] == first


def test_a_test_folder_instead_of_a_split(folders: Path, tmp_path: Path):
    atr(_request(folders, tmp_path / "out", test=folders / "test", cache=tmp_path / "cache"))
    value = json.loads((tmp_path / "out" / "atr.json").read_text())
    assert value["facts"]["real"]["chips"] == 72
    assert value["facts"]["test"]["chips"] == 24
    assert value["heads"]["sector"][0] == "0-30"
    assert (tmp_path / "cache" / "atr").is_dir()
    assert not (tmp_path / "out" / "cache").exists()


def test_a_leak_between_training_and_test_is_refused(folders: Path, tmp_path: Path):
    with pytest.raises(DataError, match="real-"):
        atr(_request(folders, tmp_path / "out", test=folders / "real"))
    assert not (tmp_path / "out" / "atr.json").exists()


def test_generated_chips_that_copy_test_chips_are_refused(folders: Path, tmp_path: Path):
    with pytest.raises(DataError, match="held-"):
        atr(_request(folders, tmp_path / "out", test=folders / "test", generated=folders / "test"))


def test_unknown_targets_and_other_sizes_are_refused(folders: Path, tmp_path: Path):
    write_folder(tmp_path / "dots", bar_chips(24, 5, targets=("dot", "long"), name="dots"))
    with pytest.raises(DataError, match="dot"):
        atr(_request(folders, tmp_path / "out", generated=tmp_path / "dots"))
    write_folder(tmp_path / "large", bar_chips(24, 5, side=40, name="large"))
    with pytest.raises(DataError, match="40 x 40"):
        atr(_request(folders, tmp_path / "out", generated=tmp_path / "large"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"split": "alternate", "test": Path("x")}, "--test and --split"),
        ({"fractions": "a,b"}, "--fractions"),
        ({"seeds": 1}, "seeds"),
        ({"common_remap": "log"}, "common_remap"),
    ],
)
def test_wrong_options_are_named(wrong: dict[str, object], named: str):
    with pytest.raises(OptionError, match=named):
        atr_request({"real": Path("a"), "out": Path("b"), **wrong})


def test_a_backbone_that_is_none(folders: Path, tmp_path: Path):
    with pytest.raises(GeodiffError, match="resnet18"):
        atr(_request(folders, tmp_path / "out", backbone="resnet_18"))


def test_classes(folders: Path, tmp_path: Path):
    whole = read_material(_request(folders, tmp_path, generated=folders / "generated"))[0]
    targets = sorted(set(whole.training.target))
    assert targets == ["long", "short"]
    request = _request(folders, tmp_path, generated=folders / "generated", classes=("short",))
    some = read_material(request)[0]
    assert some.generated is not None
    for chips in (some.training, some.test, some.generated):
        assert set(chips.target) == {"short"}
