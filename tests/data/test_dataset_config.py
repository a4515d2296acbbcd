import json

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.data.dataset_config import check_effects, list_chips, read_dataset_config
from geodiff_sar.data.features import save_features
from support import random_prior

CAPTION = "SAR image,{},Ku-band,High,HH-Polarization,{}"


def write_folder(folder, stems, extension=".caption", target="A"):
    folder.mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(stems):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{stem}.png")
        if extension:
            (folder / f"{stem}{extension}").write_text(CAPTION.format(target, f"{number * 10}.0"))
    return folder


def read(path, text, fallback=None, clouds=None):
    path.write_text(text)
    sets = read_dataset_config(path, fallback or {})
    check_effects(path, sets)
    return {sample.id: sample for sample in list_chips(path, sets, clouds)}


def test_a_subset_wins_over_its_data_set_and_that_over_general(tmp_path):
    one, two, three = (write_folder(tmp_path / name, [name], ".txt") for name in ("one", "two", "three"))
    text = f"""
    [general]
    caption_extension = ".txt"
    shuffle_caption = true
    keep_tokens = 1
    num_repeats = 2
    [[datasets]]
    keep_tokens = 2
      [[datasets.subsets]]
      image_dir = '{one}'
      [[datasets.subsets]]
      image_dir = '{two}'
      keep_tokens = 3
      num_repeats = 5
    [[datasets]]
      [[datasets.subsets]]
      image_dir = '{three}'
      shuffle_caption = false
    """
    found = read(tmp_path / "set.toml", text, {"caption_dropout_rate": 0.25, "keep_tokens": 9})
    ways = {name: sample.captions for name, sample in found.items()}
    assert [ways[name].keep_tokens for name in ("one", "two", "three")] == [2, 3, 1]
    assert [ways[name].shuffle for name in ("one", "two", "three")] == [True, True, False]
    assert {way.dropout_rate for way in ways.values()} == {0.25}
    assert [found[name].repeats for name in ("one", "two", "three")] == [2, 5, 2]


def test_captions_beside_pictures_in_metadata_and_of_a_class(tmp_path):
    beside = write_folder(tmp_path / "beside", ["a"])
    classed = write_folder(tmp_path / "classed", ["b"], extension="")
    listed = write_folder(tmp_path / "listed", ["c", "d"], extension="")
    fields = CAPTION.format("A", "5.0").split(",", 2)
    entries = {
        "c": {"caption": CAPTION.format("B", "7.0")},
        str(listed / "d.png"): {"caption": ",".join(fields[:2]), "tags": fields[2]},
    }
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    text = f"""
    [[datasets]]
      [[datasets.subsets]]
      image_dir = '{beside}'
      [[datasets.subsets]]
      image_dir = '{classed}'
      class_tokens = "Ku-band,High"
      caption_prefix = "SAR image,T72,"
    [[datasets]]
      [[datasets.subsets]]
      image_dir = '{listed}'
      metadata_file = '{tmp_path / "meta.json"}'
    """
    found = read(tmp_path / "set.toml", text)
    assert {name: str(sample.caption) for name, sample in found.items()} == {
        "a": CAPTION.format("A", "0.0"),
        "b": "SAR image,T72,Ku-band,High",
        "c": CAPTION.format("B", "7.0"),
        "d": CAPTION.format("A", "5.0"),
    }
    assert found["b"].pose is None


def test_equal_stems_features_and_folders_named_twice(tmp_path, capsys):
    one, two = write_folder(tmp_path / "one", "xy"), write_folder(tmp_path / "two", "x")
    save_features(tmp_path / "clouds" / "y.npy", random_prior(0))
    save_features(tmp_path / "clouds" / "two" / "x.npy", random_prior(1))
    subset = "[[datasets.subsets]]\nimage_dir = '{}'\nnum_repeats = {}\n"
    text = f"[[datasets]]\n{subset.format(one, 2)}{subset.format(one, 9)}{subset.format(two, 0)}"
    text += f"[[datasets]]\n{subset.format(one, 3)}{subset.format(two, 1)}"
    found = read(tmp_path / "set.toml", text, clouds=tmp_path / "clouds")
    assert {name: sample.repeats for name, sample in found.items()} == {"one/x": 5, "y": 5, "two/x": 1}
    assert found["y"].prior_path == tmp_path / "clouds/y.npy"
    assert found["two/x"].prior_path == tmp_path / "clouds/two/x.npy"
    assert found["one/x"].prior_path is None  # "x" alone could mean either chip
    said = capsys.readouterr().err.replace("\n", " ")
    assert "a second time" in said
    assert "num_repeats = 0" in said
    save_features(one / "3d_features" / "x.npy", random_prior(0))
    assert read(tmp_path / "set.toml", text)["one/x"].prior_path == one / "3d_features/x.npy"


def test_json_reads_as_toml_does(tmp_path):
    folder = write_folder(tmp_path / "one", "a")
    data = {"datasets": [{"subsets": [{"image_dir": str(folder), "num_repeats": 4}]}]}
    assert read(tmp_path / "set.json", json.dumps(data))["a"].repeats == 4


HEAD = "[[datasets]]\n{set}\n[[datasets.subsets]]\nimage_dir = '{folder}'\n{subset}\n"


@pytest.mark.parametrize(
    ("place", "line", "said"),
    [
        ("subset", "flip_aug = true", r"subset 1 of data set 1: flip_aug = True[\s\S]*wrong way[\s\S]*data\.mirror"),
        ("set", "color_aug = true", "color_aug = True"),
        ("subset", "random_crop = true", r"data\.moved_copies"),
        ("subset", "is_reg = true", "regularisation"),
        ("subset", "caption_tag_dropout_rate = 0.1", "outside the grammar"),
        ("set", "enable_bucket = true\nbucket_no_upscale = true", "bucket_no_upscale = True"),
        ("subset", "batch_size = 2", r"batch_size = 2\n.*setting of \[general\] and \[\[datasets\]\]"),
        ("set", "image_dir = 'x'", r"setting of \[\[datasets\.subsets\]\]"),
        ("subset", "num_repeat = 2", r"num_repeat = 2[\s\S]*write 'num_repeats'"),
        ("subset", "num_repeats = '2'", "num_repeats = '2'[\\s\\S]*whole number"),
        ("subset", "caption_dropout_rate = 1.5", "a share from 0 to 1"),
        ("set", "resolution = [1, 2, 3]", r"resolution = \[1, 2, 3\]"),
        ("subset", "shuffle_caption = 1", "true or false"),
    ],
)
def test_what_is_refused(tmp_path, place, line, said):
    folder = write_folder(tmp_path / "one", "a")
    text = HEAD.format(**{"set": "", "subset": "", "folder": folder, place: line})
    with pytest.raises(OptionError, match=said) as caught:
        read(tmp_path / "set.toml", text)
    assert "set.toml" in caught.value.subject


def test_what_changes_nothing_is_accepted_or_named(tmp_path, capsys):
    folder = write_folder(tmp_path / "one", "a")
    lines = "flip_aug = false\ncolor_aug = false\nrandom_crop = false\ncache_info = true\nis_reg = false"
    assert read(tmp_path / "set.toml", HEAD.format(set="bucket_no_upscale = true", subset=lines, folder=folder))
    said = capsys.readouterr().err.replace("\n", " ")
    assert "cache_info = True has no effect" in said
    assert "flip_aug" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"at least one \[\[datasets\]\]"),
        ("[[datasets]]\nresolution = 64", r"at least one \[\[datasets.subsets\]\]"),
        ("[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 1", "has no image_dir"),
        ("[generals]\n[[datasets]]", "generals"),
        ("datasets = 3", "the file has 3"),
        ("datasets = [3]", "data set 1 is 3"),
    ],
)
def test_files_without_form(tmp_path, text, said):
    with pytest.raises(OptionError, match=said):
        read(tmp_path / "set.toml", text)


def test_folders_and_captions_that_are_not_there(tmp_path):
    with pytest.raises(FileError, match="starts where the command runs"):
        read(tmp_path / "set.toml", HEAD.format(set="", subset="", folder="nowhere"))
    folder = write_folder(tmp_path / "one", "a", ".txt")
    text = HEAD.format(set="", subset="", folder=folder)
    with pytest.raises(FileError, match=r"set caption_extension = '\.txt'"):
        read(tmp_path / "set.toml", text)
    (folder / "a.caption").write_text("1girl, solo")
    with pytest.raises(DataError, match=r"a\.caption[\s\S]*fields"):
        read(tmp_path / "set.toml", text)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no chip"):
        read(tmp_path / "set.toml", HEAD.format(set="", subset="", folder=tmp_path / "empty"))
    with pytest.raises(FileError, match="not valid TOML"):
        read(tmp_path / "set.toml", "[[datasets]")


def test_one_chip_with_two_ways_is_refused(tmp_path):
    folder = write_folder(tmp_path / "one", "a")
    subset = f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{folder}'\n"
    with pytest.raises(DataError, match="two subsets with other captions"):
        read(tmp_path / "set.toml", subset + subset + "shuffle_caption = true\n")
