"""Split files: who is in which part, and that nobody changes it afterwards."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.split_file import (
    parse_split,
    periodic_sectors,
    read_split,
    split_by_sectors,
    write_split,
)


@pytest.fixture
def samples(tmp_path: Path) -> list[Sample]:
    found = []
    for k in range(72):
        path = tmp_path / f"{k:02d}.png"
        Image.fromarray(np.full((4, 4), k, dtype=np.uint8)).save(path)
        caption = Caption("T72" if k % 2 else "BMP2", "X", "High", "HH", 5.0 * k)
        found.append(Sample(path.stem, path, caption, str(caption), Pose(5.0 * k), None, serial=f"s{k % 4}"))
    return found


def azimuths(samples, ids):
    return {s.pose.azimuth_deg for s in samples if s.id in ids}


def test_periodic_sectors_hold_out_what_they_say(samples):
    split = parse_split("azimuth-sectors:30/90", samples)
    assert azimuths(samples, split.parts["test"]) == {a + q for a in (0, 5, 10, 15, 20, 25) for q in (0, 90, 180, 270)}
    assert len(split.parts["train"]) + len(split.parts["test"]) == len(samples)


def test_a_sector_may_pass_through_north_and_a_guard_belongs_to_no_part(samples):
    split = split_by_sectors(samples, [(350.0, 10.0)], guard_deg=10.0)
    assert azimuths(samples, split.parts["test"]) == {350, 355, 0, 5}
    assert azimuths(samples, split.parts["train"]) == {5.0 * k for k in range(72)} - {340, 345, 350, 355, 0, 5, 10, 15}


def test_alternate_takes_turns_within_each_specimen(samples):
    split = parse_split("alternate", samples)
    for serial in ("s0", "s1", "s2", "s3"):
        mine = [s.id for s in samples if s.serial == serial]
        assert [identity in split.parts["train"] for identity in mine] == [k % 2 == 0 for k in range(len(mine))]


def test_other_chips_are_held_out_by_azimuth(samples):
    split = parse_split("azimuth-sectors:350-10,90-120", samples)
    assert [split.holds_out(a) for a in (355.0, 9.9, 10.0, 90.0, 120.0, 349.9)] == [
        True,
        True,
        False,
        True,
        False,
        False,
    ]
    assert parse_split("serials:s1", samples).holds_out(200.0)


def test_serials(samples):
    split = parse_split("serials:s1", samples)
    assert {s.serial for s in samples if s.id in split.parts["test"]} == {"s1"}
    with pytest.raises(OptionError, match="s9"):
        parse_split("serials:s9", samples)


def test_a_file_is_read_back_and_the_order_of_chips_does_not_matter(samples, tmp_path):
    split = parse_split("alternate", samples)
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json", samples[::-1]) == split
    assert parse_split(str(tmp_path / "split.json"), samples).sha256 == split.sha256


def test_a_changed_file_is_refused(samples, tmp_path):
    write_split(tmp_path / "split.json", parse_split("alternate", samples))
    value = json.loads((tmp_path / "split.json").read_text())
    value["parts"]["train"].append(value["parts"]["test"].pop())
    (tmp_path / "split.json").write_text(json.dumps(value))
    with pytest.raises(FileError, match="not changed"):
        read_split(tmp_path / "split.json", samples)


def test_other_chips_are_refused(samples, tmp_path):
    write_split(tmp_path / "split.json", parse_split("alternate", samples))
    with pytest.raises(DataError, match="not in the data"):
        read_split(tmp_path / "split.json", samples[1:])
    Image.fromarray(np.full((4, 4), 200, dtype=np.uint8)).save(samples[0].image_path)
    with pytest.raises(DataError, match="by content"):
        read_split(tmp_path / "split.json", samples)


@pytest.mark.parametrize(("width", "every"), [(30.0, 70.0), (90.0, 90.0), (0.0, 90.0), (10.0, 0.0)])
def test_sectors_that_do_not_go_round(width, every):
    with pytest.raises(OptionError, match="divides 360"):
        periodic_sectors(width, every)


@pytest.mark.parametrize("text", ["", "sectors:0-30", "azimuth-sectors:0-400", "azimuth-sectors:a-b", "nowhere.json"])
def test_unknown_forms(samples, text):
    with pytest.raises(OptionError):
        parse_split(text, samples)


def test_a_guard_that_closes_the_circle_leaves_nothing_to_train_on(samples):
    with pytest.raises(DataError, match="'train'"):
        split_by_sectors(samples, [(0.0, 30.0)], guard_deg=170.0)


def test_a_split_is_of_its_labels_too(samples, tmp_path):
    write_split(tmp_path / "split.json", parse_split("alternate", samples))
    turned = [replace(samples[0], pose=Pose(7.0)), *samples[1:]]
    with pytest.raises(DataError, match="by content"):
        read_split(tmp_path / "split.json", turned)
    samples[3].image_path.unlink()
    with pytest.raises(FileError, match=r"03\.png"):
        parse_split("alternate", samples)
