"""Fixtures that many tests use."""

import socket
from pathlib import Path

import pytest
import torch

from support import TINY, write_chips_root


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    """No test in this process leaves the machine; sockets to the machine itself are allowed, processes need them."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and str(address[0]) not in (
            "localhost",
            "127.0.0.1",
            "::1",
        ):
            raise AssertionError(f"a test connects to {address}")
        return connect(self, address)

    def no_names(host, *others, **options):
        if host not in (None, "", "localhost", "127.0.0.1", "::1"):
            raise AssertionError(f"a test looks up {host}")
        return look_up(host, *others, **options)

    look_up = socket.getaddrinfo
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", local_only)
        patch.setattr(socket, "getaddrinfo", no_names)
        yield


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
