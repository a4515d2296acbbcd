"""Fixtures that many tests use."""

from pathlib import Path

import pytest
import torch

from support import TINY, write_chips_root


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model in diffusers' layout, made by the pre-training workflow itself."""
    from geodiff_sar.training.pretrain.options import PretrainOptions
    from geodiff_sar.workflows.pretrain import pretrain

    folder = tmp_path_factory.mktemp("base") / "tiny"
    return pretrain(PretrainOptions.model_validate({**TINY, "output_dir": str(folder)}))


@pytest.fixture(scope="session")
def chips_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten small chips of two targets in the published layout, with .pt features of width 64."""
    root = tmp_path_factory.mktemp("chips")
    write_chips_root(root)
    return root
