"""Training an adapter further: start_from."""

import json

import pytest
import torch

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.workflows.train import train
from geodiff_sar.workflows.train_config import TrainConfig
from training_runs import config_for, weights_of


@pytest.fixture(scope="module")
def first(chips_root, tiny_base, tmp_path_factory):
    """An adapter of three steps."""
    return train(config_for(chips_root, tiny_base, tmp_path_factory.mktemp("first"), max_steps=3))


def further(config: TrainConfig, **changes) -> TrainConfig:
    return TrainConfig.model_validate({**config.model_dump(), "output_name": "further", **changes})


def test_its_weights_are_the_first_ones(first, chips_root, tiny_base, tmp_path):
    sections = {"optimizer": {"lr": 1e-12}, "lora": {"dropout": 0.0}, "ema": {"enabled": False}}
    config = further(
        config_for(chips_root, tiny_base, tmp_path, sections, max_steps=1),
        start_from=str(first),
        conditioning={"points": {"heads": 2}, "pose_dropout": 0.5},
    )
    folder = train(config)
    before, after = weights_of(first), weights_of(folder)
    assert before.keys() == after.keys()
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=1e-5, atol=1e-8)
    untrained = train(further(config, output_name="untrained", start_from=None))
    assert any(not torch.allclose(value, before[key]) for key, value in weights_of(untrained).items())
    record = json.loads((folder / "run_fusion.json".replace("run", "further")).read_text())["geodiff_sar"]
    assert len(record["started_from"]) == 64
    assert "trained further" in (folder / "README.md").read_text()


def test_other_settings_are_named(first, chips_root, tiny_base, tmp_path):
    config = further(config_for(chips_root, tiny_base, tmp_path, max_steps=1), start_from=str(first))
    for changes, message in (
        ({"lora": {"rank": 3}}, r"lora\.rank: there 2, here 3"),
        ({"inject": ["pooled", "tokens"]}, r"conditioning\.inject"),
        ({"fusion": {"method": "add"}}, r"fusion\.method: there hybrid_film_attn, here add"),
        ({"inject": [], "conditioning": {}, "fusion": {}}, "there"),
    ):
        with pytest.raises(OptionError, match=message):
            train(further(config, **changes))
        assert not (tmp_path / "further" / "config.toml").exists()
    with pytest.raises(FileError, match="start_from names an adapter"):
        train(further(config, start_from=str(tmp_path / "nothing")))
    with pytest.raises(ValueError, match="an adapter is trained further as one"):
        further(config, train_base="full", lora={})


def test_a_run_keeps_the_adapter_it_began_with(first, chips_root, tiny_base, tmp_path):
    other = train(config_for(chips_root, tiny_base, tmp_path / "other", max_steps=2))
    kept = tmp_path / "start"
    first.rename(kept)
    try:
        config = further(config_for(chips_root, tiny_base, tmp_path, max_steps=2), start_from=str(kept))
        train(config)
        kept.rename(first)
        other.rename(kept)
        with pytest.raises(OptionError, match="another adapter than the one"):
            train(config)
    finally:
        if not first.exists():
            kept.rename(first)
