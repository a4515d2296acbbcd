import json
import pickle
import zipfile

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file as save_safetensors
from safetensors.torch import save_file as save_torch

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


def _odd_pt(content):
    return lambda path: torch.save(content, path)


def _odd_header(**header):
    def write(path):
        save_safetensors({"features": np.ones((5, 64), np.float32)}, path, {"geodiff_sar": json.dumps(header)})

    return write


def _zip_of_text(name):
    def write(path):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "no array")

    return write


GOOD = torch.ones(5, 64)


@pytest.mark.parametrize(
    ("name", "write", "words"),
    [
        ("metadata.pt", _odd_pt({"features": GOOD, "metadata": [1]}), "'metadata' is a list"),
        ("sparse.pt", _odd_pt(GOOD.to_sparse()), "layout"),
        ("complex.pt", _odd_pt({"features": GOOD.to(torch.complex64)}), "complex64"),
        ("bool.pt", _odd_pt({"features": GOOD.bool()}), "bool"),
        ("list.pt", _odd_pt({"features": GOOD, "coordinates": [[0.0, 0.0, 0.0]] * 5}), "holds a list"),
        ("shape.pt", _odd_pt({"features": GOOD, "coordinates": torch.ones(5, 2)}), r"shape \(5, 2\)"),
        ("large.pt", _odd_pt(torch.full((5, 64), 1e300, dtype=torch.float64)), "infinite"),
        ("text.npz", _zip_of_text("readme.txt"), "no arrays"),
        ("features.npz", _zip_of_text("features.npy"), "no arrays"),
        ("keys.safetensors", _odd_header(pose={"x": 1}), "'pose' is"),
        ("angle.safetensors", _odd_header(pose={"azimuth_deg": 400.0}), "400.0 degrees"),
        ("kind.safetensors", _odd_header(pose=7), "'pose' is a int"),
        ("radar.safetensors", _odd_header(radar={"center_frequency_hz": "x"}), "'radar' is"),
        ("provenance.safetensors", _odd_header(provenance=[1]), "'provenance' is a list"),
    ],
)
def test_odd_files_are_named(tmp_path, name, write, words):
    write(tmp_path / name)
    with pytest.raises((FileError, DataError), match=words) as error:
        load_features(tmp_path / name)
    assert name in str(error.value)


def test_number_formats_that_numpy_lacks(tmp_path):
    torch.save(GOOD.bfloat16().requires_grad_(), tmp_path / "a.pt")
    torch.save({"features": GOOD.long(), "metadata": None}, tmp_path / "b.pt")
    save_torch({"features": GOOD.bfloat16()}, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        assert np.array_equal(load_features(tmp_path / name).features, np.ones((5, 64), np.float32))


def test_maps_have_channels(tmp_path):
    save_safetensors(
        {"features": np.ones((5, 64), np.float32), "maps": np.ones((4, 4), np.float32)}, tmp_path / "a.safetensors"
    )
    with pytest.raises(DataError, match=r"maps of shape \(4, 4\)"):
        load_features(tmp_path / "a.safetensors")


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
