"""The training loop: it learns, it repeats, it resumes exactly, and it stops on NaN."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from geodiff_sar.core.errors import FileError, Interrupted, NumericalError, OptionError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.learning.fit import FitOptions, batch_of, fit, learning_rate
from geodiff_sar.evaluation.learning.heads import ClassHead, Head
from geodiff_sar.evaluation.learning.network import ChipNetwork, NetworkOptions, build_network, infer
from geodiff_sar.evaluation.learning.store import trained_network
from learning_support import bar_chips


class StopAt(Head):
    """Asks the process to stop when its n-th batch comes."""

    def __init__(self, inner: ClassHead, batch: int):
        self.inner, self.size, self.left = inner, inner.size, batch

    def targets(self, index: np.ndarray, azimuth_deg: np.ndarray) -> np.ndarray:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return self.inner.targets(index, azimuth_deg)


def _head(chips: ChipSet) -> ClassHead:
    return ClassHead([int(t == "short") for t in chips.target], 2)


def _network(chips: ChipSet, seed: int = 0) -> ChipNetwork:
    return build_network(NetworkOptions(), {"target": 2}, chips.amplitude, seed)


def _same(first: ChipNetwork, second: ChipNetwork) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_an_easy_problem_is_learnt_and_held_out_chips_are_told_apart():
    chips, held = bar_chips(64, 0), bar_chips(64, 1)
    network = _network(chips)
    fit(network, chips, {"target": _head(chips)}, FitOptions(steps=50, batch_size=16), 0, "easy")
    features, found = infer(network, held.amplitude)
    right = found["target"].argmax(axis=1) == np.array([t == "short" for t in held.target])
    assert right.mean() > 0.9
    assert features.shape == (64, 192)
    assert np.allclose(found["target"].sum(axis=1), 1.0, atol=1e-5)


def test_same_seed_same_weights_and_another_seed_others():
    chips = bar_chips(24, 0)
    options = FitOptions(steps=3, batch_size=8)
    networks = []
    for seed in (0, 0, 1):
        networks.append(_network(chips, seed))
        fit(networks[-1], chips, {"target": _head(chips)}, options, seed, "seeds")
    assert _same(networks[0], networks[1])
    assert not _same(networks[0], networks[2])


def test_a_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path):
    chips = bar_chips(24, 0)
    options = FitOptions(steps=6, batch_size=8)
    whole = _network(chips)
    fit(whole, chips, {"target": _head(chips)}, options, 3, "whole")
    checkpoint = tmp_path / "run.unfinished"
    first = _network(chips)
    with pytest.raises(Interrupted, match="after 3 of 6 steps"):
        fit(first, chips, {"target": StopAt(_head(chips), 3)}, options, 3, "parts", checkpoint)
    assert checkpoint.is_file()
    second = _network(chips, seed=99)  # all of it comes from the checkpoint
    fit(second, chips, {"target": _head(chips)}, options, 3, "parts", checkpoint)
    assert _same(whole, second)
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_named(tmp_path: Path):
    chips = bar_chips(8, 0)
    checkpoint = tmp_path / "run.unfinished"
    checkpoint.write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"run\.unfinished"):
        fit(_network(chips), chips, {"target": _head(chips)}, FitOptions(steps=2), 0, "damaged", checkpoint)


def test_nan_stops_the_run_and_names_chips():
    chips = bar_chips(8, 0)
    amplitude = chips.amplitude.copy()
    network = _network(chips)
    amplitude[:] = np.nan
    with pytest.raises(NumericalError, match="bars-"):
        fit(network, replace(chips, amplitude=amplitude), {"target": _head(chips)}, FitOptions(steps=2), 0, "nan")


def test_batches_go_through_all_chips_before_any_comes_again():
    seen = np.concatenate([batch_of(10, 4, 0, step) for step in range(5)])
    assert sorted(seen[:10]) == list(range(10))
    assert sorted(seen[10:]) == list(range(10))
    assert not np.array_equal(seen[:10], seen[10:])
    assert sorted(batch_of(3, 7, 0, 0)[:3]) == [0, 1, 2]  # fewer chips than a batch holds


def test_learning_rate_rises_once_and_falls_to_nearly_nothing():
    options = FitOptions(steps=100, learning_rate=1.0, warmup=0.2)
    rates = np.array([learning_rate(step, options) for step in range(100)])
    top = int(rates.argmax())
    assert 18 <= top <= 22
    assert rates.max() == pytest.approx(1.0, abs=0.01)
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    assert rates[-1] < 0.01


def test_levels_matter_because_chips_are_not_normalised_by_themselves():
    chips = bar_chips(8, 0)
    network = _network(chips)
    bright, _ = infer(network, chips.amplitude * 2)
    plain, _ = infer(network, chips.amplitude)
    assert np.abs(bright - plain).max() > 1e-3
    root = np.sqrt(chips.amplitude)
    assert float(network.mean) == pytest.approx(float(root.mean()), rel=1e-4)


def test_a_kept_network_is_read_back_and_other_chips_get_another(tmp_path: Path):
    chips, other = bar_chips(16, 0), bar_chips(16, 1)
    options = FitOptions(steps=2, batch_size=8)

    def get(of: ChipSet) -> ChipNetwork:
        return trained_network("test", of, {"target": _head(of)}, NetworkOptions(), options, 0, "kept", tmp_path)

    first = get(chips)
    (path,) = (tmp_path / "networks").iterdir()
    written = path.stat().st_mtime_ns
    assert _same(first, get(chips))
    assert path.stat().st_mtime_ns == written
    get(other)
    assert len(list((tmp_path / "networks").iterdir())) == 2
    path.write_bytes(b"nothing")
    with pytest.raises(FileError, match="kept network"):
        get(chips)


def test_another_timm_model_by_name_and_an_unknown_one():
    chips = bar_chips(4, 0)
    network = build_network(NetworkOptions(backbone="resnet10t"), {"target": 2}, chips.amplitude, 0)
    assert infer(network, chips.amplitude)[0].shape == (4, 512)
    with pytest.raises(OptionError, match="resnet18"):
        build_network(NetworkOptions(backbone="resnet_18"), {"target": 2}, chips.amplitude, 0)


def test_weights_of_a_file_are_used_and_those_of_another_model_refused(tmp_path: Path):
    import timm
    from safetensors.torch import save_file

    chips = bar_chips(4, 0)
    model = timm.create_model("resnet10t", pretrained=False)
    path = tmp_path / "weights.safetensors"
    save_file(model.state_dict(), path)
    network = build_network(NetworkOptions(backbone="resnet10t", weights=path), {"target": 2}, chips.amplitude, 0)
    assert torch.equal(network.backbone.layer1[0].conv1.weight, model.layer1[0].conv1.weight)
    with pytest.raises(FileError, match="resnet18"):
        build_network(NetworkOptions(backbone="resnet18", weights=path), {"target": 2}, chips.amplitude, 0)
    with pytest.raises(OptionError, match="--backbone"):
        build_network(NetworkOptions(weights=path), {"target": 2}, chips.amplitude, 0)
    few = {name: value for name, value in model.state_dict().items() if not name.startswith("layer4")}
    save_file(few, tmp_path / "few.safetensors")
    with pytest.raises(FileError, match="layer4"):
        build_network(
            NetworkOptions(backbone="resnet10t", weights=tmp_path / "few.safetensors"),
            {"target": 2},
            chips.amplitude,
            0,
        )
