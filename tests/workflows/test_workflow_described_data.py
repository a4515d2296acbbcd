import shutil

import pytest
from tracing_cases import command

from geodiff_sar.core.config import load_options, read_toml, write_toml
from geodiff_sar.core.errors import OptionError
from geodiff_sar.workflows.described_data import described_data
from geodiff_sar.workflows.train import TrainConfig, train
from support import write_chips_root
from training_runs import config_for, weights_of

SET = """
[general]
caption_extension = ".txt"
caption_dropout_rate = 0.5
[[datasets]]
resolution = 32
batch_size = 3
enable_bucket = true
min_bucket_reso = 16
max_bucket_reso = 64
bucket_reso_steps = 16
  [[datasets.subsets]]
  image_dir = '{folder}'
  num_repeats = 2
{more}
"""


def described(root, base, output, more="", sections=None, **train_options):
    """A short run on the folder of ``root`` by a dataset configuration; everything else as config_for."""
    file = output / "set.toml"
    output.mkdir(parents=True, exist_ok=True)
    file.write_text(SET.format(folder=root / "train/data/train/aircraft", more=more))
    data = {"dataset_config": str(file), "pointcloud_dir": str(root / "3d_features")}
    tables = {"data": {**data, "root": None, "buckets": {}, "captions": {}}, **(sections or {})}
    config = config_for(root, base, output, tables, **train_options)
    train_table = config.train.model_dump(exclude_unset=True)
    if "batch_size" not in train_options:
        train_table.pop("batch_size")
    return TrainConfig.model_validate({**config.model_dump(exclude_unset=True), "train": train_table})


def test_a_run_takes_what_the_file_states(chips_root, tiny_base, tmp_path):
    folder = train(described(chips_root, tiny_base, tmp_path, max_steps=2))
    written = read_toml(folder / "config.toml")
    assert written["data"]["buckets"] == {
        "resolution": [32, 32],
        "enable_bucket": True,
        "min_bucket_reso": 16,
        "max_bucket_reso": 64,
        "bucket_reso_steps": 16,
    }
    assert written["data"]["captions"]["dropout_rate"] == 0.5
    assert written["data"]["captions"]["keep_tokens"] == 0
    assert written["train"]["batch_size"] == 3


def test_the_same_chips_train_the_same_weights_by_either_way(chips_root, tiny_base, tmp_path):
    sections = {"data": {"root": str(chips_root), "buckets": {"resolution": [32, 32], "min_bucket_reso": 16}}}
    sections["data"]["buckets"]["max_bucket_reso"] = 64
    sections["data"]["captions"] = {"dropout_rate": 0.0, "keep_tokens": 0}
    plain = train(config_for(chips_root, tiny_base, tmp_path / "plain", sections, max_steps=3))
    more = "  caption_dropout_rate = 0.0\n  num_repeats = 1".replace("  num_repeats = 1", "")
    config = described(chips_root, tiny_base, tmp_path / "described", more, max_steps=3)
    file = tmp_path / "described" / "set.toml"
    file.write_text(file.read_text().replace("num_repeats = 2", "").replace("batch_size = 3", "batch_size = 4"))
    by_file = train(config)
    one, other = weights_of(plain), weights_of(by_file)
    assert one.keys() == other.keys()
    assert all((one[key] == other[key]).all() for key in one)


def test_the_written_configuration_means_the_same_again(chips_root, tiny_base, tmp_path):
    second = tmp_path / "second"
    write_chips_root(second, count=2)
    more = f"  [[datasets.subsets]]\n  image_dir = '{second}/train/data/train/aircraft'\n  caption_dropout_rate = 0.0"
    config, samples = described_data(described(chips_root, tiny_base, tmp_path, more))
    assert {sample.captions.dropout_rate for sample in samples} == {0.5, 0.0}
    write_toml(tmp_path / "again.toml", config)
    again, same = described_data(load_options(TrainConfig, tmp_path / "again.toml"))
    assert same == samples
    assert again == config


def test_captions_are_dropped_subset_by_subset(chips_root, tiny_base, tmp_path):
    """The dropout of the first subset leaves the captions of the second as they are, in the batches that training sees."""
    from geodiff_sar.data.dataset import ChipDataset
    from geodiff_sar.model.base import load_base

    second = tmp_path / "second"
    write_chips_root(second, count=2)
    more = f"  caption_dropout_rate = 1.0\n  [[datasets.subsets]]\n  image_dir = '{second}/train/data/train/aircraft'\n"
    more += "  shuffle_caption = true\n  caption_dropout_rate = 0.0"
    sections = {"data": {"allow_missing_geometry": True}}
    config, samples = described_data(described(chips_root, tiny_base, tmp_path, more, max_steps=1))
    data = config.data.model_copy(update=sections["data"])
    base = load_base(str(tiny_base))
    dataset = ChipDataset(samples, data, base.settings.remap, (32, 32), base.vae, base.text, None)
    dataset.prepare()
    for plan in dataset.batch_plan(3, 0, 0):
        batch = dataset.collate(plan, 0, 0)
        for index, caption in zip(plan, batch.captions, strict=True):
            if samples[index].image_path.is_relative_to(second):
                assert sorted(caption.split(",")) == sorted(samples[index].caption_text.split(","))
            else:
                assert caption == ""


def test_the_file_wins_over_the_run_and_says_so(chips_root, tiny_base, tmp_path, capsys):
    sections = {"data": {"captions": {"dropout_rate": 0.2, "keep_tokens": 2}}}
    config = described(chips_root, tiny_base, tmp_path, batch_size=7)
    config = TrainConfig.model_validate(
        {
            **config.model_dump(exclude_unset=True),
            "data": {**config.data.model_dump(exclude_unset=True), **sections["data"]},
        }
    )
    settled, _ = described_data(config)
    assert settled.data.captions.dropout_rate == 0.5
    assert settled.data.captions.keep_tokens == 2  # the file is silent
    assert settled.train.batch_size == 3
    said = capsys.readouterr().err.replace("\n", " ")
    assert "data.captions.dropout_rate = 0.2 gives way to 0.5" in said
    assert "train.batch_size = 7 gives way to 3" in said


def test_a_run_on_other_caption_settings_is_refused(chips_root, tiny_base, tmp_path):
    second = tmp_path / "second"
    write_chips_root(second, count=2)
    more = f"  [[datasets.subsets]]\n  image_dir = '{second}/train/data/train/aircraft'\n  caption_dropout_rate = 0.0"
    sections = {"conditioning": {"modalities": ["image", "pose"]}, "fusion": {}}
    train(described(chips_root, tiny_base, tmp_path, more, sections, max_steps=2))
    changed = described(chips_root, tiny_base, tmp_path, more.replace("0.0", "0.1"), sections, max_steps=2)
    with pytest.raises(OptionError, match="other chips, captions or features"):
        train(changed)


def test_sizes_that_differ_between_data_sets_are_refused(chips_root, tiny_base, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(chips_root, other)
    more = f"[[datasets]]\nbatch_size = 3\n[[datasets.subsets]]\nimage_dir = '{other}/train/data/train/aircraft'"
    with pytest.raises(OptionError, match=r"resolution = \(32, 32\) in data set 1 and None in data set 2"):
        described_data(described(chips_root, tiny_base, tmp_path, more))


def test_on_the_command_line(chips_root, tiny_base, tmp_path, monkeypatch, capsys):
    config = described(chips_root, tiny_base, tmp_path, max_steps=1)
    file = config.data.dataset_config
    settings = config.model_copy(update={"data": config.data.model_copy(update={"dataset_config": None})})
    write_toml(tmp_path / "run.toml", settings)
    assert command(monkeypatch, "train", "--config", tmp_path / "run.toml", "--dataset_config", file) == 0
    assert (tmp_path / "run" / "run.safetensors").is_file()
    assert command(monkeypatch, "train", "--config", tmp_path / "run.toml") == 2
    assert "--dataset_config" in capsys.readouterr().err
    both = ("train", "--config", tmp_path / "run.toml", "--dataset_config", file, "--set", f"data.root={chips_root}")
    assert command(monkeypatch, *both) == 2
    assert "the data come from one" in capsys.readouterr().err
