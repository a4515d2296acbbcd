"""Every configuration in the repository is one that the commands accept."""

from pathlib import Path

import pytest

from geodiff_sar.core.config import load_options
from geodiff_sar.data.buckets import make_buckets
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.workflows.tracing import TraceConfig, make_plan
from geodiff_sar.workflows.train import TrainConfig, with_resolved_fusion

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.toml")), ids=lambda path: path.name)
def test_configuration_is_accepted(path):
    if path.name == "uav_ku_real.toml":
        make_plan(load_options(TraceConfig, path))
    else:
        with_resolved_fusion(load_options(TrainConfig, path))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("mini/*.toml")), ids=lambda path: path.name)
def test_recipe_of_the_embedded_base_is_accepted(path):
    load_options(PretrainOptions, path)


def test_preset_of_the_published_script():
    config = load_options(TrainConfig, CONFIGS / "train_sd35m_24g_lora.toml")
    assert (config.lora.rank, config.lora.alpha, config.lora.dropout, config.lora.max_norm) == (32, 16.0, 0.1, 1.0)
    assert (config.optimizer.name, config.optimizer.args["d0"], config.train.seed) == ("prodigy", 1e-4, 1026)
    buckets = config.data.buckets
    assert buckets.resolution is not None
    sizes = make_buckets(
        buckets.resolution, buckets.min_bucket_reso, buckets.max_bucket_reso, buckets.bucket_reso_steps
    )
    published = [(128, 384), (128, 448), (128, 512), (192, 320), (256, 256)]
    assert sorted(sizes) == sorted({*published, *(size[::-1] for size in published)})
