import pickle

import numpy as np
import pytest
import torch

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.features import find_features, load_features, save_features
from support import SHARED, random_prior


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".npy", ".npz"])
def test_round_trip(tmp_path, suffix):
    prior = random_prior(4)
    save_features(tmp_path / f"1{suffix}", prior)
    read = load_features(tmp_path / f"1{suffix}")
    assert np.array_equal(read.features, prior.features)
    if suffix != ".npy":
        assert read.coordinates is not None
        assert np.array_equal(read.coordinates, prior.coordinates)
    if suffix == ".safetensors":
        assert read.pose == prior.pose


def test_bare_tensor_one_row_and_any_width(tmp_path):
    torch.save(torch.ones(64), tmp_path / "row.pt")
    assert load_features(tmp_path / "row.pt").features.shape == (1, 64)
    np.save(tmp_path / "w.npy", np.ones((3, 7), np.float32))
    assert load_features(tmp_path / "w.npy", None).features.shape == (3, 7)


def _bad(tmp_path, kind):
    path = tmp_path / f"{kind}.npy"
    if kind == "missing":
        return path
    if kind == "empty":
        path.touch()
    elif kind == "truncated":
        np.save(path, np.ones((50, 64), np.float32))
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "width":
        np.save(path, np.ones((5, 63), np.float32))
    elif kind == "nan":
        array = np.ones((5, 64), np.float32)
        array[2, 3] = np.nan
        np.save(path, array)
    elif kind == "cube":
        np.save(path, np.ones((2, 5, 64), np.float32))
    elif kind == "none":
        np.save(path, np.ones((0, 64), np.float32))
    elif kind == "text":
        np.save(path, np.array([["a"] * 64]))
    elif kind == "pickle":
        np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("missing", "no such file"),
        ("empty", "is empty"),
        ("truncated", "truncated or damaged"),
        ("width", "width 63"),
        ("nan", "NaN or infinite"),
        ("cube", r"shape \(2, 5, 64\)"),
        ("none", r"shape \(0, 64\)"),
        ("text", "type"),
        ("pickle", "pickle"),
    ],
)
def test_bad_files_are_named_with_a_remedy(tmp_path, kind, words):
    path = _bad(tmp_path, kind)
    with pytest.raises((FileError, DataError), match=words) as error:
        load_features(path)
    assert str(path) in str(error.value)
    assert "remedy" in str(error.value)


class Payload:
    """Would write a file if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_pickles_are_never_executed(tmp_path):
    mark = tmp_path / "executed"
    torch.save({"features": Payload(str(mark))}, tmp_path / "a.pt")
    (tmp_path / "b.pt").write_bytes(pickle.dumps(Payload(str(mark)), protocol=2))
    with (tmp_path / "c.npz").open("wb") as file:
        np.savez(file, features=np.array([Payload(str(mark))], dtype=object))
    for name in ("a.pt", "b.pt", "c.npz"):
        with pytest.raises(FileError, match="pickle"):
            load_features(tmp_path / name)
    assert not mark.exists()


def test_latents_beside_features_are_passed_over(tmp_path):
    np.savez(tmp_path / "1.npz", latents_256x256=np.zeros((16, 32, 32), np.float32))
    assert find_features(tmp_path, "1") is None
    np.save(tmp_path / "1.npy", np.ones((2, 64), np.float32))
    assert find_features(tmp_path, "1") == tmp_path / "1.npy"
    save_features(tmp_path / "1.pt", random_prior(1))
    assert find_features(tmp_path, "1") == tmp_path / "1.pt"


@pytest.mark.skipif(not (SHARED / "data/geodiff10").is_dir(), reason=f"no {SHARED}/data/geodiff10 (set GEODIFF_SHARED)")
def test_published_features():
    counts = [211, 269, 243, 227, 206, 258, 198, 219, 210, 237]
    for number, count in enumerate(counts, start=1):
        folder = SHARED / "data/geodiff10/3d_features"
        prior = load_features(folder / f"{number}.pt")
        assert prior.features.shape == (count, 64)
        assert prior.coordinates is not None
        assert np.array_equal(prior.features, load_features(folder / f"{number}.npy").features)
        with pytest.raises(FileError, match="latents_256x256"):
            load_features(folder / f"{number}.npz")
