"""A training that cannot fit is refused before anything is loaded or written."""

import pytest
import torch

from geodiff_sar.core.errors import OptionError
from geodiff_sar.workflows import room
from geodiff_sar.workflows.plan import make_plan
from geodiff_sar.workflows.room import TOLERANCE, require_room
from geodiff_sar.workflows.train import train
from training_runs import config_for

CPU = torch.device("cpu")


def test_a_step_that_does_not_fit_is_refused(chips_root, tiny_base, tmp_path, monkeypatch):
    config = config_for(chips_root, tiny_base, tmp_path, max_steps=1)
    plan = make_plan(config)
    needed = plan.step - plan.libraries
    monkeypatch.setattr(room, "SMALL", 0.0)
    monkeypatch.setattr(room, "free_bytes", lambda device: 1.01 * needed / TOLERANCE)
    require_room(config, CPU)
    monkeypatch.setattr(room, "free_bytes", lambda device: 0.9 * needed / TOLERANCE)
    with pytest.raises(OptionError, match=r"(?s)a step takes .*activations .* are free on cpu"):
        train(config)
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(room, "free_bytes", lambda device: None)  # the system does not say
    require_room(config, CPU)


def test_small_bases_are_not_counted(chips_root, tiny_base, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "make_plan", lambda *_: pytest.fail("counted"))
    require_room(config_for(chips_root, tiny_base, tmp_path, max_steps=1), CPU)
