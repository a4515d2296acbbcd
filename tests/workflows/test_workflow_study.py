"""A tiny study from configuration to tables, killed and gone on with; and what bad input gets."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tracing_cases import SMALL, command

from geodiff_sar.core.config import load_options
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.split_file import read_split
from geodiff_sar.model.adapter import read_record
from geodiff_sar.model.adapter_files import resolve_adapter
from geodiff_sar.workflows.study import making
from geodiff_sar.workflows.study.instruments import make_instruments
from geodiff_sar.workflows.study.jobs import _kept, all_jobs
from geodiff_sar.workflows.study.locks import claimed
from geodiff_sar.workflows.study.material import prepare
from geodiff_sar.workflows.study.options import StudyConfig, StudyGenerate, StudyMeasure
from geodiff_sar.workflows.study.report import fill
from geodiff_sar.workflows.study.run import StudyRequest, study
from study_support import settings, tiny_study, write_data

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "study"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("study") / "data")


@pytest.fixture(scope="module")
def finished(data, tiny_base):
    """A finished study of two rows, three adapters."""
    request = StudyRequest(config=tiny_study(data, tiny_base), out=data.parent / "out")
    study(request)
    return request


def contents(folder: Path) -> dict[str, bytes]:
    names = ("study.json", "study.csv", "study.md")
    return {name: (folder / name).read_bytes() for name in names}


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (folder / "runs").rglob("*") if path.is_file()}


def test_numbers_of_every_row(finished):
    value = json.loads((finished.out / "study.json").read_text())
    assert value["facts"]["unfinished"] == []
    assert value["facts"]["views"] == {"held out": 32, "trained": 8}
    cells = {(c["row"], c["kind"], c["quantity"]): c for c in value["cells"]}
    for row, seeds in (("plain", [1, 2]), ("add", [2])):
        share = cells[row, "value", "share_within_10_deg"]
        assert share["seeds"] == seeds
        assert share["n"] == 32
        assert share["low"] <= share["value"] <= share["high"]
        assert cells[row, "value in trained sectors", "ssim"]["n"] == 8
        assert cells[row, "value", "share_of_copies"]["value"] == 0
        assert np.isfinite(cells[row, "value", "kid"]["value"])
    difference = cells["add", "difference to baseline", "ssim"]
    assert difference["seeds"] == [2]
    plain, add = cells["plain", "value", "ssim"], cells["add", "value", "ssim"]
    assert difference["value"] == pytest.approx(add["value"] - plain["per_seed"][1], abs=1e-6)
    assert cells["real chips", "value", "share_within_10_deg"]["n"] == 16
    apart = cells["real chips", "value", "share_near"]  # all real chips that are not trained on
    assert apart["n"] == 32
    assert 0 <= apart["value"] <= 1
    with (finished.out / "study.csv").open() as file:
        assert len(list(csv.DictReader(file))) == len(value["cells"])


def test_tables_and_pictures(finished):
    text = (finished.out / "study.md").read_text()
    assert json.loads((finished.out / "split.json").read_text())["sha256"][:16] in text
    main = next(line for line in text.splitlines() if line.startswith("| the plain row | 2 |"))
    assert main.count("[") >= 7
    for name in ("sweep_tank.png", "sector_truck.png", "error.png", "loss.png"):
        assert f"(pictures/{name})" in text
        assert (finished.out / "pictures" / name).stat().st_size > 1000


def test_a_second_run_makes_nothing_anew(finished):
    before, files = contents(finished.out), times(finished.out)
    study(finished)
    assert contents(finished.out) == before
    assert times(finished.out) == files


def test_held_out_chips_are_not_trained_on_and_noise_is_shared(finished):
    split = json.loads((finished.out / "split.json").read_text())["parts"]
    folders = sorted((finished.out / "runs").iterdir())
    assert [folder.name.rsplit("-", 1)[0] for folder in folders] == ["add-seed2", "plain-seed1", "plain-seed2"]
    prompts = []
    for folder in folders:
        manifest = json.loads((folder / "adapter" / "manifest.json").read_text())
        assert manifest["data"]["training"]["chips"] == len(split["train"])
        assert not (folder / "adapter" / "checkpoints").exists()
        prompts.append(json.loads(next(folder.glob("chips-*/000/prompts.json")).read_text()))
    assert [p["seed"] for p in prompts[0]] == [p["seed"] for p in prompts[2]]
    assert [p["seed"] for p in prompts[0]] != [p["seed"] for p in prompts[1]]
    references = {Path(p["reference"]).stem for p in prompts[0]}
    assert references <= set(split["train"])
    assert all("reference" not in p for p in prompts[1])


def test_killed_while_generating_it_goes_on(data, tiny_base, finished, tmp_path, monkeypatch):
    config = tiny_study(data, tiny_base, seeds=[2])
    monkeypatch.setattr(making, "CHUNK", 20)
    whole = StudyRequest(config=config, out=tmp_path / "whole", rows=("plain",), only="train")
    shutil.copytree(finished.out / "cache", whole.out / "cache")
    study(whole)
    shutil.copytree(whole.out, tmp_path / "again")
    whole, again = (
        whole.model_copy(update={"out": tmp_path / name, "only": "generate"}) for name in ("whole", "again")
    )
    study(whole)
    calls = []

    def broken(request):
        calls.append(request)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return generate(request)

    generate = making.generate_chips
    monkeypatch.setattr(making, "generate_chips", broken)
    with pytest.raises(KeyboardInterrupt):
        study(again)
    first = next(again.out.glob("runs/*/chips-*/000/chip_0000*.png"))
    made = first.stat().st_mtime_ns
    study(again)
    assert len(calls) == 3
    assert first.stat().st_mtime_ns == made
    chips = [sorted(request.out.glob("runs/*/chips-*/*/*.png")) for request in (whole, again)]
    assert len(chips[0]) == len(chips[1]) == 40
    assert all(np.array_equal(load_chip(a), load_chip(b)) for a, b in zip(*chips, strict=True))


def test_stages_one_by_one(data, tiny_base, finished, tmp_path):
    request = StudyRequest(config=tiny_study(data, tiny_base), out=tmp_path, rows=("add",))
    shutil.copytree(finished.out / "cache", tmp_path / "cache")
    with pytest.raises(FileError, match="holds no trained adapter"):
        study(request.model_copy(update={"only": "generate"}))
    study(request.model_copy(update={"only": "train"}))
    with pytest.raises(DataError, match="0 of 40 chips"):
        study(request.model_copy(update={"only": "measure"}))
    study(request.model_copy(update={"only": "generate"}))
    with pytest.raises(DataError, match="no adapter is measured"):
        study(request.model_copy(update={"only": "report"}))
    study(request.model_copy(update={"only": "measure"}))
    study(request.model_copy(update={"only": "report"}))
    assert json.loads((tmp_path / "study.json").read_text())["facts"]["unfinished"] == ["the plain row (seed 1, 2)"]


def test_use_of_the_chips(finished, tmp_path):
    use = {"rows": ["add"], "fractions": [0.5], "fit": {"steps": 2, "batch_size": 8}}
    config = finished.config.model_copy(update={"use": tiny_study(Path(), Path(), use=use).use})
    shutil.copytree(finished.out, tmp_path / "out")
    request = finished.model_copy(update={"config": config, "out": tmp_path / "out"})
    study(request)
    lines = json.loads((request.out / "study.json").read_text())["use"]
    assert [(line["real"], line["synthetic"]) for line in lines] == [(32, 0), (32, 0), (32, 32), (32, 40)]
    assert [line["gain"] is None for line in lines] == [False, True, False, False]
    assert "ordinary augmentation" in (request.out / "study.md").read_text()
    files = sorted((request.out / "cache" / "atr").glob("*.json"))
    stamps = [path.stat().st_mtime_ns for path in files]
    assert len(files) == 3 * 4
    study(request)
    assert [path.stat().st_mtime_ns for path in files] == stamps


def test_kept_results_stand_in_for_a_lost_folder(finished, tmp_path):
    use = {"rows": ["add"], "fractions": [0.5], "fit": {"steps": 2, "batch_size": 8}}
    config = finished.config.model_copy(update={"use": tiny_study(Path(), Path(), use=use).use})
    first = finished.model_copy(update={"config": config, "out": tmp_path / "first", "results": tmp_path / "kept"})
    shutil.copytree(finished.out, first.out)
    study(first)
    kept = sorted(path.name.split("-")[0] for path in (tmp_path / "kept" / "tiny").iterdir())
    assert kept == ["add", "plain", "plain", "use"]
    again = first.model_copy(update={"out": tmp_path / "again"})
    shutil.copytree(first.out / "cache", again.out / "cache")
    study(again)
    assert not (again.out / "runs").exists()
    assert not list((again.out / "pictures").glob("sweep_*"))
    values = [json.loads((out / "study.json").read_text()) for out in (first.out, again.out)]
    assert values[1]["facts"] == values[0]["facts"]
    assert values[1]["use"] == values[0]["use"]
    for here, there in zip(values[0]["cells"], values[1]["cells"], strict=True):
        same = np.array([here["value"], there["value"]], dtype=float)
        np.testing.assert_allclose(same[1], same[0], rtol=1e-4, atol=1e-5)
    other = config.model_copy(update={"generate": config.generate.model_copy(update={"steps": 2})})
    with pytest.raises(DataError, match="no adapter is measured"):
        study(again.model_copy(update={"config": other, "only": "report"}))


def test_an_adapter_that_another_process_is_at_is_left_to_it(finished, capsys):
    name = next((finished.out / "runs").glob("add-*")).name
    with claimed(finished.out, name, wait=False) as mine:
        assert mine
        with claimed(finished.out, name, wait=False) as again:
            assert not again
        study(finished.model_copy(update={"only": "train"}))
    assert "another process is at: fusion by addition, seed 2" in " ".join(capsys.readouterr().err.split())
    with claimed(finished.out, name, wait=False) as mine:
        assert mine


@pytest.mark.slow
def test_several_processes(data, tiny_base, tmp_path):
    study(StudyRequest(config=tiny_study(data, tiny_base), out=tmp_path, workers=2, only="train"))
    assert len(list(tmp_path.glob("runs/*/trained.json"))) == 3
    assert (tmp_path / "logs" / "helper-1.log").is_file()


def test_simulated_chips_and_views(tmp_path, tiny_base):
    traced = {**SMALL, "azimuths": "0:360:45", "seeds": [0, 1], "radar_set": ["rows=16", "columns=16"]}
    changes = {"data": {"simulate": traced}, "split": {"start_deg": 40.0}, "generate": {"trained_every": 3}}
    config = tiny_study(Path(), tiny_base, **changes)
    material = prepare(config, tmp_path)
    assert {view.azimuth_deg for view in material.views if view.part == "held out"} == {45.0, 135.0, 225.0, 315.0}
    assert [view.azimuth_deg for view in material.views if view.part == "trained"] == [0.0, 180.0, 270.0]
    for view in material.views:
        reference = material.reference_of(view)
        assert reference in {sample.image_path for sample in material.training}
        assert reference != view.sample.image_path
    assert read_split(tmp_path / "split.json", [*material.training, *material.held_out]) == material.split


def test_adapters_go_on_from_a_first_training_on_simulated_chips(data, tiny_base, tmp_path, capsys):
    traced = {**SMALL, "azimuths": "0:360:45", "radar_set": ["rows=64", "columns=64"]}
    rows = [
        {"name": "plain", "title": "from simulated chips"},
        {"name": "alone", "title": "from nothing", "seeds": [2], "first": False},
    ]
    first = {"simulate": traced, "adapter": {"train": {"max_steps": 3}}, "seed": 5}
    config = tiny_study(data, tiny_base, rows=rows, first=first)
    request = StudyRequest(config=config, out=tmp_path, only="train")
    study(request)
    (folder,) = (tmp_path / "first").iterdir()
    manifest = json.loads((folder / "adapter" / "manifest.json").read_text())
    assert (manifest["steps"], manifest["seed"], manifest["data"]["training"]["chips"]) == (3, 5, 8)
    assert not (folder / "adapter" / "checkpoints").exists()
    started = {
        run.name.rsplit("-", 1)[0]: read_record(resolve_adapter(str(run / "adapter"))).started_from
        for run in (tmp_path / "runs").iterdir()
    }
    sha256 = resolve_adapter(str(folder / "adapter")).sha256
    assert started == {"plain-seed1": sha256, "plain-seed2": sha256, "alone-seed2": None}
    before = times(tmp_path)
    study(request)
    assert times(tmp_path) == before
    names = {job.folder(tmp_path, "0").name for job in all_jobs(config, tmp_path)}
    longer = tiny_study(data, tiny_base, rows=rows, first={**first, "adapter": {"train": {"max_steps": 4}}})
    others = {job.folder(tmp_path, "0").name for job in all_jobs(longer, tmp_path)}
    assert {name.rsplit("-", 1)[0] for name in names & others} == {"alone-seed2"}
    with pytest.raises(OptionError, match=r"first\.adapter.*sets train\.seed"):
        all_jobs(tiny_study(data, tiny_base, first={**first, "adapter": {"train": {"seed": 4}}}), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"baseline": "nothing"}, "baseline names"),
        ({"data": {}}, "exactly one of data.simulate and data.root"),
        ({"data": {"simulate": SMALL, "classes": ["tank"]}}, "classes belong to data.root"),
        ({"rows": []}, "rows"),
        ({"rows": [{"name": "plain", "title": "a"}, {"name": "plain", "title": "b"}]}, "names differ"),
        ({"rows": [{"name": "plain", "title": "a"}, {"name": "b", "title": "b", "seeds": [7]}]}, "no seed in common"),
        ({"use": {"rows": ["other"]}}, "use.rows names"),
        ({"generate": {"step": 3}}, "did you mean 'steps'"),
    ],
)
def test_configurations_that_do_not_fit(changes, message):
    with pytest.raises(OptionError, match=message):
        tiny_study(Path("data"), Path("base"), **changes)


@pytest.mark.parametrize(
    ("adapter", "message"),
    [
        ({"data": {"root": "elsewhere"}}, "sets data.root"),
        ({"train": {"seed": 3}}, "sets train.seed"),
        ({"start_from": "elsewhere"}, "sets start_from"),
        ({"fusion": {"method": "ad"}}, "fusion"),
        ({"trian": {}}, "adapter settings of the row 'other'"),
    ],
)
def test_settings_of_a_row_that_cannot_be_used(data, tiny_base, adapter, message):
    rows = [{"name": "plain", "title": "plain"}, {"name": "other", "title": "other", "adapter": adapter}]
    config = tiny_study(data, tiny_base, rows=rows)
    with pytest.raises(OptionError, match=message):
        all_jobs(config, data.parent / "none")


def test_unknown_row(finished):
    with pytest.raises(OptionError, match="rows of the study: plain, add"):
        study(finished.model_copy(update={"rows": ("ad",)}))


def test_a_split_of_other_chips_and_another_split(data, finished, tiny_base, tmp_path):
    other = write_data(tmp_path / "other", 80)
    out = tmp_path / "out"
    out.mkdir()
    (out / "split.json").write_bytes((finished.out / "split.json").read_bytes())
    with pytest.raises(DataError, match="not in the data"):
        study(StudyRequest(config=tiny_study(other, tiny_base), out=out))
    moved = tiny_study(data, tiny_base, split={"start_deg": 45.0})
    with pytest.raises(FileError, match="holds another split"):
        study(StudyRequest(config=moved, out=out))
    assert not (out / "runs").exists()


def test_missing_priors(tiny_base, tmp_path):
    bare = write_data(tmp_path / "bare", priors=False)
    with pytest.raises(DataError, match=r"no prior for 96 of 96 chips(.|\n)*the rows plain, add"):
        study(StudyRequest(config=tiny_study(bare, tiny_base), out=tmp_path / "out"))
    assert not (tmp_path / "out" / "runs").exists()


def test_the_marked_place_is_filled_again_and_again(tmp_path):
    page = tmp_path / "study.md"
    page.write_text("before\n<!-- study:tiny -->\nold\n<!-- /study:tiny -->\nafter <!-- study:other -->\n")
    for text in ("one", "two"):
        fill(page, "tiny", text)
        assert page.read_text() == (
            f"before\n<!-- study:tiny -->\n\n{text}\n<!-- /study:tiny -->\nafter <!-- study:other -->\n"
        )
    with pytest.raises(FileError, match="no place for the study 'other'"):
        fill(page, "other", "three")


def test_the_command(finished, tmp_path, monkeypatch, capsys):
    toml = finished.out / "config.toml"
    page = tmp_path / "study.md"
    page.write_text("<!-- study:tiny -->\n<!-- /study:tiny -->\n")
    arguments = ("--config", toml, "--out", finished.out, "--only", "report", "--docs", page)
    assert command(monkeypatch, "study", *arguments) == 0
    assert f"written into {page}" in capsys.readouterr().out.replace("\n", "")
    text = page.read_text()
    assert "images/study_tiny_error.png" in text
    assert "sweep" not in text
    assert {path.name for path in (tmp_path / "images").iterdir()} == {"study_tiny_error.png", "study_tiny_loss.png"}
    assert command(monkeypatch, "study", "--config", toml, "--out", finished.out, "--row", "adder") == 2


@pytest.mark.parametrize(
    "path", [CONFIGS / f"{name}.toml" for name in ("aircraft", "unseen", "mstar", "quick")], ids=str
)
def test_committed_studies_are_accepted(path):
    config = load_options(StudyConfig, path)
    jobs = all_jobs(config, Path("output") / "study")
    assert config.baseline == "text"
    assert not jobs[0].conditioned
    assert config.name == path.stem
    folders = {job.folder(Path("out"), "0") for job in jobs}
    assert len(folders) == len(jobs)


def test_chips_that_are_left_out_are_for_the_instruments_alone(data, tiny_base, tmp_path):
    whole = prepare(tiny_study(data, tiny_base), tmp_path / "whole")
    few = prepare(tiny_study(data, tiny_base, split={"train_every": 5}), tmp_path / "few")
    assert not whole.left_out
    assert {s.id for s in few.training} | {s.id for s in few.left_out} == {s.id for s in whole.training}
    for target in {s.caption.target for s in whole.training}:
        counts = [sum(s.caption.target == target for s in of) for of in (few.training, whole.training)]
        assert abs(counts[0] - counts[1] / 5) < 1
    assert [s.id for s in few.held_out] == [s.id for s in whole.held_out]
    assert few.split.protocol == f"{whole.split.protocol}, one in 5 training chips"
    assert few.sha256 != whole.sha256
    measure = StudyMeasure(encoder_steps=2, estimator_steps=2)
    same = [make_instruments(of, measure) for of in (whole, few)]
    assert np.array_equal(same[0].unseen.amplitude, same[1].unseen.amplitude)
    assert np.array_equal(same[0].unseen_error_deg, same[1].unseen_error_deg)
    with pytest.raises(FileError, match="holds another split"):
        prepare(tiny_study(data, tiny_base, split={"train_every": 4}), tmp_path / "few")


def test_keys_go_by_the_defaults_of_the_first_numbers(data, tiny_base):
    """Numbers are kept under hashes of settings, which a default that changes later must leave alone."""
    rows = {"pooled": ["pooled"], "map": ["map"], "both": ["pooled", "map"]}
    table = [{"name": name, "title": name, "adapter": {"inject": inject}} for name, inject in rows.items()]
    config = StudyConfig.model_validate(settings(data, tiny_base, rows=table, baseline="map", use=None))
    kept = {job.row.name: _kept(job.train) for job in all_jobs(config, Path("out"))}
    assert "inject" not in kept["pooled"]
    assert kept["map"]["inject"] == ["map"]
    assert kept["both"]["inject"] == ["pooled", "map"]


def test_a_level_that_is_not_kept_has_the_keys_of_the_first_numbers():
    free, kept = (StudyGenerate(keep_level=keep).kept for keep in (False, True))  # pyright: ignore
    assert "keep_level" not in free
    assert kept == {**free, "keep_level": True}
    assert StudyGenerate().kept == kept  # pyright: ignore


def test_settings_reach_the_training(data, tiny_base):
    given = settings(data, tiny_base)
    jobs = all_jobs(tiny_study(data, tiny_base), Path("out"))
    assert [job.train.train.seed for job in jobs] == [1, 2, 2]
    assert [job.train.fusion.method for job in jobs] == ["hybrid_film_attn", "hybrid_film_attn", "add"]
    assert jobs[2].train.lora.rank == given["adapter"]["lora"]["rank"]
    assert [job.with_reference for job in jobs] == [False, False, True]
