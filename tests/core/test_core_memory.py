"""A full memory becomes a message; any other failure stays what it is."""

import pytest
import torch

from geodiff_sar import cli
from geodiff_sar.core.out_of_memory import memory_message


def fill_memory():
    torch.empty(10**15)


def test_a_full_memory_is_told(capsys, monkeypatch):
    monkeypatch.setattr(cli, "app", fill_memory)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "the CPU has no more" in said
    assert "goes on from its last checkpoint" in said


def test_what_it_is_known_by():
    assert "the GPU has no more: tried 20 GiB" in str(memory_message(torch.OutOfMemoryError("tried 20 GiB\nmore")))
    assert "the CPU has no more: MemoryError" in str(memory_message(MemoryError()))
    assert memory_message(RuntimeError("shapes do not fit")) is None


def test_other_failures_stay_what_they_are(monkeypatch):
    def fail():
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        cli.main()
