import json
import shutil

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.features import save_features
from geodiff_sar.data.readers import READERS, read_samples
from geodiff_sar.data.sectors import in_sector
from geodiff_sar.data.splits import SplitOptions, split_samples
from support import SHARED, random_prior, write_chips_root


def test_published_layout_from_root_and_from_its_inside(chips_root):
    whole = read_samples(chips_root)
    assert len(whole) == 10
    assert all(sample.prior_path is not None for sample in whole)
    inside = read_samples(chips_root / "train/data/train", pointcloud_dir=chips_root / "3d_features")
    assert [s.id for s in inside] == [s.id for s in whole]
    one_class = read_samples(chips_root / "train/data/train/aircraft")
    assert [s.id for s in one_class] == [s.id for s in whole]
    assert all(sample.prior_path is None for sample in one_class)


def test_repeats_folders_and_equal_stems(tmp_path):
    write_chips_root(tmp_path, count=3)
    train = tmp_path / "train/data/train"
    shutil.copytree(train / "aircraft", train / "5_ships")
    save_features(tmp_path / "3d_features/ships/1.npy", random_prior(1))
    samples = {sample.id: sample for sample in read_samples(tmp_path)}
    assert set(samples) == {f"{name}/{n}" for name in ("aircraft", "ships") for n in (1, 2, 3)}
    assert samples["ships/1"].repeats == 5
    assert samples["aircraft/1"].repeats == 1
    assert samples["ships/1"].prior_path == tmp_path / "3d_features/ships/1.npy"
    assert samples["aircraft/1"].prior_path is None  # "1" alone could mean either chip


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_tables(tmp_path, kind):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    save_features(tmp_path / "f.npy", random_prior(0))
    text = "SAR image,T72,X-band,High,HH-Polarization,10.5"
    row = {"file_name": "a.png", "text": text, "depression": 17, "features": "f.npy"}
    if kind == "jsonl":
        (tmp_path / "metadata.jsonl").write_text(json.dumps(row) + "\n\n")
    else:
        (tmp_path / "metadata.csv").write_text(f'file_name,text,depression,features\na.png,"{text}",17,f.npy\n')
    (sample,) = read_samples(tmp_path)
    assert sample.id == "a"
    assert sample.pose is not None
    assert (sample.pose.azimuth_deg, sample.pose.depression_deg) == (10.5, 17.0)
    assert sample.prior_path == tmp_path / "f.npy"


def test_table_of_fields(tmp_path):
    header = "file_name,target,band,resolution,polarisation,azimuth\n"
    (tmp_path / "metadata.csv").write_text(header + "a.png,T72,X,High,HH,10\n")
    assert read_samples(tmp_path)[0].caption_text == "SAR image,T72,X-band,High,HH-Polarization,10.0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file_name,txt\na.png,x\n", r"metadata\.csv:2.*unknown columns.*txt"),
        ("file_name,text\na.png,boat\n", r"metadata\.csv:2.*fields"),
        ("file_name,azimuth\na.png,3\n", "neither text nor"),
        ('file_name,text,depression\na.png,"SAR image,T72,X-band,High",low\n', "depression is 'low'"),
        ('file_name,text\na.png,"SAR image,T,X-band,High"\na.png,"SAR image,T,X-band,High"\n', "two chips have the id"),
    ],
)
def test_bad_tables_name_the_line(tmp_path, content, words):
    (tmp_path / "metadata.csv").write_text(content)
    with pytest.raises(DataError, match=words):
        read_samples(tmp_path)


def test_folders_without_data(tmp_path, chips_root):
    with pytest.raises(FileError, match="no such folder"):
        read_samples(tmp_path / "none")
    with pytest.raises(FileError, match="no chips found"):
        read_samples(tmp_path)
    with pytest.raises(OptionError, match=r"described, .*reference, .*table"):
        read_samples(chips_root, "tabel")
    assert READERS.names() == sorted(
        ["described", "manifest", "mstar", "recipes", "reference", "sample", "sicd", "table"]
    )


def test_missing_and_malformed_captions(tmp_path):
    write_chips_root(tmp_path, count=2)
    caption = tmp_path / "train/data/train/aircraft/2.txt"
    caption.write_text("an aircraft\n")
    with pytest.raises(DataError, match=r"2\.txt"):
        read_samples(tmp_path)
    caption.unlink()
    with pytest.raises(FileError, match=r"2\.txt.*no such file"):
        read_samples(tmp_path)


def test_sectors_may_pass_through_north():
    assert in_sector(355.0, (350.0, 10.0))
    assert in_sector(5.0, (350.0, 10.0))
    assert not in_sector(10.0, (350.0, 10.0))
    assert not in_sector(180.0, (350.0, 10.0))


def test_splits_are_disjoint_and_complete(chips_root, tmp_path):
    samples = read_samples(chips_root)
    (tmp_path / "ids.txt").write_text("1\n4\n")
    for options, count in (
        (SplitOptions(validation="azimuth-sectors", sectors=[(300.0, 20.0)]), 2),
        (SplitOptions(validation="targets", targets=["B"]), 5),
        (SplitOptions(validation="list", ids=str(tmp_path / "ids.txt")), 2),
        (SplitOptions(), 0),
    ):
        training, validation = split_samples(samples, options)
        assert len(validation) == count
        assert sorted(s.id for s in (*training, *validation)) == sorted(s.id for s in samples)


@pytest.mark.parametrize(
    "options",
    [
        SplitOptions(validation="azimuth-sectors"),
        SplitOptions(validation="azimuth-sectors", sectors=[(1.0, 2.0)]),
        SplitOptions(validation="targets", targets=["C"]),
        SplitOptions(validation="targets", targets=["A", "B"]),
        SplitOptions(validation="list", ids=["77"]),
    ],
)
def test_splits_that_match_nothing_are_refused(chips_root, options):
    with pytest.raises(DataError, match=r"data\.split"):
        split_samples(read_samples(chips_root), options)


@pytest.mark.skipif(not (SHARED / "data/geodiff10").is_dir(), reason=f"no {SHARED}/data/geodiff10 (set GEODIFF_SHARED)")
def test_published_sample():
    samples = read_samples(SHARED / "data/geodiff10")
    assert len(samples) == 10
    assert {s.caption.target for s in samples} == {"Cessna 208", "King Air 350i", "Kodiak 100", "Pilatus PC 12"}
    assert all(s.prior_path is not None and s.prior_path.suffix == ".pt" for s in samples)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("file_name,text\na.png,SAR image,A,Ku-band,High\n", r"metadata\.csv:2: 3 cells more than columns"),
        ('file_name,text\n"a.png\n', "is not CSV"),
        ("file_name,target,band,resolution,polarisation\na.png,A,Ku,High,HH\n", "polarisation but no azimuth"),
        ("file_name,target,band,resolution,azimuth\na.png,A,Ku,High,nan\n", "azimuth is 'nan'"),
        ("file_name,target,band,resolution,azimuth,depression\na.png,A,Ku,High,1,95\n", r"csv:2: depression is 95"),
        ("file_name,target,band,resolution,repeats\na.png,A,Ku,High,0\n", "repeats is '0'"),
        ("file_name,target,band,resolution,repeats\na.png,A,Ku,High,1.5\n", "repeats is '1.5'"),
        ("file_name,target,band,resolution,id\na.png,A,Ku,High,../b\n", r"the id is '\.\./b'"),
        ("file_name,target,band,resolution,id\na.png,A,Ku,High,/etc/b\n", "the id is '/etc/b'"),
        ("file_name,target,band,resolution,id\na.png,A,Ku,High,b\\c\n", "the id is"),
        ("file_name,target,band,resolution\na.png,A\x01,Ku,High\n", "control characters"),
        ("file_name,target,band,resolution,id\na.png,A,Ku,High,x\nb.png,A,Ku,High,x\n", r"a\.png and .*b\.png"),
    ],
)
def test_cells_that_cannot_be_used(tmp_path, table, words):
    (tmp_path / "metadata.csv").write_text(table)
    with pytest.raises(DataError, match=words):
        read_samples(tmp_path)


def test_json_lines_are_objects(tmp_path):
    (tmp_path / "metadata.jsonl").write_text("[1]\n")
    with pytest.raises(DataError, match=r"metadata\.jsonl:1: is a list"):
        read_samples(tmp_path)


def test_settings_of_another_split_are_refused(tmp_path):
    for wrong in ({"targets": ["A"]}, {"validation": "targets", "targets": ["A"], "sectors": [[0, 10]]}):
        with pytest.raises(ValueError, match="is read with validation"):
            SplitOptions.model_validate(wrong)
    (tmp_path / "ids.txt").write_bytes(b"\xff")
    with pytest.raises(FileError, match="not UTF-8"):
        split_samples([], SplitOptions(validation="list", ids=str(tmp_path / "ids.txt")))
