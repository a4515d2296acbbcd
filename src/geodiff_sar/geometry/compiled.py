"""Whether the kernels have been compiled on this machine before."""

from pathlib import Path

from geodiff_sar.geometry.engines.fused import _follow


def is_compiled() -> bool:
    """True when numba's cache holds the tracing kernel in its present form (the source file is not newer)."""
    folder, source = Path(str(_follow.stats.cache_path)), Path(_follow.py_func.__code__.co_filename)
    indices = folder.glob(f"{source.stem}._follow-*.nbi") if folder.is_dir() else []
    return any(index.stat().st_mtime >= source.stat().st_mtime for index in indices)
