"""The whole of evaluate on small sets: report, numbers, controls, resume, refusals."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation_support import make_chips
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.workflows.evaluate import evaluate, read_sets
from geodiff_sar.workflows.evaluate_options import EvaluateRequest
from geodiff_sar.workflows.split import make_split

FAST = {"encoder_steps": 12, "estimator_steps": 12}


def write(folder: Path, count: int, seed: int, name: str) -> Path:
    chips = make_chips(count, seed, name)
    folder.mkdir()
    rows = []
    for k, identity in enumerate(chips.ids):
        Image.fromarray(np.clip(chips.amplitude[k], 0, 255).astype(np.uint8)).save(folder / f"{identity}.png")
        text = f"SAR image,{chips.target[k]},X-band,High,HH-Polarization,{chips.azimuth_deg[k]:.3f}"
        rows.append({"file_name": f"{identity}.png", "text": text})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    real, generated = write(root / "real", 96, 0, "real"), write(root / "generated", 30, 5, "generated")
    request = EvaluateRequest(real=real, generated=generated, out=root / "out", **FAST)
    evaluate(request)
    return request


def test_numbers_of_every_row_and_family(finished):
    value = json.loads((finished.out / "metrics.json").read_text())
    rows = {score["row"] for score in value["scores"]}
    assert rows == {"generated", "real half", "azimuth-shuffled", "class-shuffled", "noise", "clutter only"}
    assert {s["family"] for s in value["scores"]} == {"distribution", "paired", "azimuth", "radar", "memorisation"}
    assert all((s["space"] is not None) == (s["family"] == "distribution") for s in value["scores"])
    with (finished.out / "metrics.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(value["scores"])


def test_good_and_bad_stand_where_they_must(finished):
    value = json.loads((finished.out / "metrics.json").read_text())
    found = {(s["row"], s["quantity"]): s["value"] for s in value["scores"] if s["group"] == "all"}
    for row in ("generated", "real half"):
        assert found[row, "kid"] < found["noise", "kid"]
        assert found[row, "kid"] < found["clutter only", "kid"]
    assert found["generated", "share_of_copies"] == 0


def test_the_page_holds_everything_itself(finished):
    page = (finished.out / "report.html").read_text()
    assert 'src="http' not in page
    assert 'href="http' not in page
    assert page.count("data:image/png;base64,") > 20
    assert "real half" in page


def test_a_second_run_reads_what_the_first_one_measured(finished):
    before = (finished.out / "metrics.json").read_bytes()
    networks = {p: p.stat().st_mtime_ns for p in (finished.out / "cache").rglob("*") if p.is_file()}
    evaluate(finished)
    assert (finished.out / "metrics.json").read_bytes() == before
    assert networks == {p: p.stat().st_mtime_ns for p in (finished.out / "cache").rglob("*") if p.is_file()}


def test_a_split_judges_the_held_out_chips_and_trains_on_the_others(finished):
    request = finished.model_copy(
        update={"split": "azimuth-sectors:90/180", "out": finished.out.parent / "split", "metrics": ("fid",)}
    )
    evaluate(request)
    value = json.loads((request.out / "metrics.json").read_text())
    facts = value["facts"]
    assert 8 <= facts["generated"]["chips"] < 30
    assert any("left out" in warning for warning in value["warnings"])
    assert facts["split"]["sha256"]
    assert facts["training"]["chips"] + facts["parts"]["judged"] == 96


def test_the_judged_chips_among_the_training_chips_are_refused(finished):
    request = finished.model_copy(update={"train": finished.real, "out": finished.out.parent / "leak"})
    with pytest.raises(DataError, match="pairs of the same chip"):
        evaluate(request)
    assert not request.out.exists()


def test_too_few_generated_chips(finished, tmp_path):
    few = write(tmp_path / "few", 5, 9, "few")
    with pytest.raises(DataError, match="5 chips to judge"):
        evaluate(finished.model_copy(update={"generated": few, "out": tmp_path / "out"}))


def test_unknown_metric(finished):
    with pytest.raises(OptionError, match="kid"):
        evaluate(finished.model_copy(update={"metrics": ("kit",)}))


def test_generated_chips_that_are_judged_chips_over_again_are_refused(finished, tmp_path):
    request = finished.model_copy(
        update={"generated": finished.real, "split": "azimuth-sectors:90/180", "out": tmp_path / "out"}
    )
    with pytest.raises(DataError, match="pairs of the same chip"):
        evaluate(request)


def test_no_metric_left(finished, tmp_path):
    request = finished.model_copy(
        update={"metrics": ("azimuth_consistency",), "azimuth": False, "out": tmp_path / "out"}
    )
    with pytest.raises(OptionError, match="others than azimuth"):
        evaluate(request)
    assert not request.out.exists()


def test_a_depression_that_becomes_known_is_used(finished, tmp_path):
    folders = {name: tmp_path / name for name in ("real", "generated")}
    for name, seed, count in (("real", 0, 96), ("generated", 5, 30)):
        write(folders[name], count, seed, name)
    request = EvaluateRequest(**folders, out=tmp_path / "out", metrics=("shadow_length",), **FAST)
    evaluate(request)
    for folder in folders.values():
        table = folder / "metadata.jsonl"
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        table.write_text("".join(json.dumps({**row, "depression": 17.0, "mask": None}) + "\n" for row in rows))
        (folder / "dataset.toml").write_text(
            '[grid]\nrange_direction = "right"\npixel_range_m = 0.2\npixel_cross_range_m = 0.2\n'
        )
    evaluate(request)
    scores = json.loads((request.out / "metrics.json").read_text())["scores"]
    heights = [s["value"] for s in scores if s["quantity"] == "implied_height" and s["row"] == "real half"]
    assert heights[0] > 0


def test_a_damaged_measurement_is_measured_again(finished):
    path = next((finished.out / "cache" / "measurements").glob("ssim-*.json"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    evaluate(finished)
    assert path.read_bytes() == whole


def test_classes_are_taken_from_all_folders(finished, tmp_path):
    whole = read_sets(finished, True)
    targets = sorted(set(whole.real.target))
    assert len(targets) > 1
    split = tmp_path / "split.json"
    made = make_split(finished.real, split, classes=(targets[0],), protocol="azimuth-sectors:0-90,180-270")
    assert targets[0] in made
    assert targets[1] not in made
    changes = {"classes": (targets[0],), "split": str(split)}
    some = read_sets(finished.model_copy(update=changes), True)
    for chips in (some.real, some.generated, some.training):
        assert set(chips.target) == {targets[0]}
    assert len(some.real) == sum(target == targets[0] for target in whole.real.target)
    with pytest.raises(DataError, match="--classes"):
        read_sets(finished.model_copy(update={"split": str(split)}), True)
    with pytest.raises(DataError, match="Tirpitz: no chip in"):
        read_sets(finished.model_copy(update={"classes": ("Tirpitz",)}), True)
