"""Which settings and files a resumed run may have."""

import json
from typing import get_args

import pytest
import tomli_w

from geodiff_sar.core.config import Options, read_toml
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import atomic_write_text
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.workflows.train import TrainConfig, train
from training_runs import config_for


def test_a_setting_that_came_later_stood_at_its_default(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    folder = train(config)
    marked = read_toml(folder / "config.toml")
    del marked["memory"], marked["lora"]["dora"]
    for name, value in (("dora", True), ("dora", False)):
        atomic_write_text(folder / "config.toml", tomli_w.dumps(marked))
        changed = config.model_copy(update={"lora": config.lora.model_copy(update={name: value})})
        if value:
            with pytest.raises(OptionError, match=r"lora\.dora: False -> True\)"):
                train(changed)
        else:
            assert train(changed) == folder


def test_no_option_can_be_none_and_has_another_default():
    """A None is left out of config.toml, and what is missing there stood at its default."""

    def wrong(cls, prefix=""):
        for name, info in cls.model_fields.items():
            if isinstance(info.annotation, type) and issubclass(info.annotation, Options):
                yield from wrong(info.annotation, f"{prefix}{name}.")
            elif type(None) in get_args(info.annotation) and info.get_default(call_default_factory=True) is not None:
                yield prefix + name

    assert list(wrong(TrainConfig)) == []


def test_streaming_may_begin_in_a_resumed_run(chips_root, tiny_base, tmp_path):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    folder = train(config)
    assert train(config.model_copy(update={"memory": MemoryOptions(t5="streamed")})) == folder
    with pytest.raises(OptionError, match=r"memory\.t5: streamed -> none"):
        train(config.model_copy(update={"memory": MemoryOptions(t5="none")}))


@pytest.mark.parametrize("known", [True, False])
def test_the_global_batch_of_a_resumed_run_stays(chips_root, tiny_base, tmp_path, known):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=2)
    folder = train(config)
    mark = json.loads((folder / "run.json").read_text())
    assert mark.pop("micro_batches") == 1
    if not known:
        (folder / "run.json").write_text(json.dumps(mark))
    with pytest.raises(OptionError, match=r"a step of 2 batches.* has 1"):
        train(config_for(chips_root, tiny_base, tmp_path, max_steps=2, accumulation=2))
    assert train(config) == folder
