from types import SimpleNamespace

import pytest

from geodiff_sar.geometry import kernel_cache
from geodiff_sar.geometry.kernel_cache import STAMP, drop_stale_kernels, is_compiled


def kernel() -> None:
    """Stands for a compiled function of geometry/bvh.py."""


@pytest.fixture
def dispatcher(tmp_path, monkeypatch):
    """A kernel of geometry/bvh.py, whose cache is a temporary folder; the sources are what the test says."""
    monkeypatch.setattr(kernel_cache, "_fingerprint", lambda: "sources 1")
    code = SimpleNamespace(co_filename="/somewhere/geometry/bvh.py")
    return SimpleNamespace(
        stats=SimpleNamespace(cache_path=str(tmp_path)),
        py_func=SimpleNamespace(__name__=kernel.__name__, __code__=code),
    )


def test_compiled_means_cached_from_the_present_sources(dispatcher, tmp_path, monkeypatch):
    assert not is_compiled(dispatcher)
    drop_stale_kernels(dispatcher)
    assert (tmp_path / STAMP).read_text() == "sources 1"
    assert not is_compiled(dispatcher)
    (tmp_path / "bvh.kernel-12.py311.nbi").touch()
    assert is_compiled(dispatcher)
    monkeypatch.setattr(kernel_cache, "_fingerprint", lambda: "sources 2")
    assert not is_compiled(dispatcher)


def test_only_our_stale_kernels_are_dropped(dispatcher, tmp_path, monkeypatch):
    drop_stale_kernels(dispatcher)
    ours, foreign = tmp_path / "bvh.kernel-12.py311.nbc", tmp_path / "another_package.kernel-1.py311.nbi"
    ours.touch()
    foreign.touch()
    drop_stale_kernels(dispatcher)
    assert ours.exists()
    monkeypatch.setattr(kernel_cache, "_fingerprint", lambda: "sources 2")
    drop_stale_kernels(dispatcher)
    assert not ours.exists()
    assert foreign.exists()
    assert (tmp_path / STAMP).read_text() == "sources 2"


def test_the_fingerprint_follows_the_sources(tmp_path, monkeypatch):
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(kernel_cache, "__file__", str(tmp_path / "kernel_cache.py"))
    fresh = kernel_cache._fingerprint.__wrapped__
    first = fresh()
    assert fresh() == first
    (tmp_path / "b.py").write_text("x = 2\n")
    assert fresh() != first
