"""Local files are read without a network: a connection from any test is an error (conftest.py)."""

import socket

import pytest
import torch

from checkpoint_support import tiny_models, write_checkpoint
from geodiff_sar.model.base import load_base
from geodiff_sar.workflows.check_weights import check_weights


def test_connections_and_names_are_refused_here():
    with pytest.raises(AssertionError, match="connects"), socket.socket() as wire:
        wire.connect(("192.0.2.1", 443))
    with pytest.raises(AssertionError, match="looks up"):
        socket.getaddrinfo("huggingface.co", 443)


def test_folders_and_single_files_need_no_network(tmp_path, monkeypatch):
    def refuse(self, address):
        raise AssertionError(f"connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)  # not even to this machine
    for base in ("mini", write_checkpoint(tmp_path, tiny_models(), dtype=torch.float32)):
        assert check_weights(base, None)[1]
        load_base(base).text.encode(["a chip"])


def test_missing_tokenizers_say_which_files_are_wanted(tmp_path):
    from dataclasses import replace

    files = write_checkpoint(tmp_path, tiny_models(), dtype=torch.float32)
    (tmp_path / "empty").mkdir()
    report, intact = check_weights(replace(files, tokenizers=tmp_path / "empty"), None)
    assert not intact
    assert "rule: --tokenizers names a folder with" in report
