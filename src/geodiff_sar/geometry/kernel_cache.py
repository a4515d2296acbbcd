"""Keeping numba's cache honest: compiled kernels are thrown away when any source file of this package has changed.

numba compares a cached kernel with the file that it stands in, not with the files of the kernels that it calls; after an
update of one of those it would go on running the old code.
"""

import contextlib
import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import atomic_write_text

STAMP = "geodiff_sar_kernels.sha256"


def drop_stale_kernels(*dispatchers: Any) -> None:
    """Empty the cache folders of these kernels unless they were filled by the present sources and numba.

    A folder that cannot be written is left alone: numba then has its cache elsewhere, or none.
    """
    for folder in {_folder(dispatcher) for dispatcher in dispatchers}:
        stamp = folder / STAMP
        if stamp.is_file() and stamp.read_text(encoding="utf-8") == _fingerprint():
            continue
        modules = [path.stem for path in Path(__file__).parent.rglob("*.py")]
        with contextlib.suppress(FileError, OSError):
            for pattern in ("*.nbi", "*.nbc"):
                for path in folder.glob(pattern):
                    if path.name.split(".")[0] in modules:
                        path.unlink(missing_ok=True)
            atomic_write_text(stamp, _fingerprint())


def is_compiled(dispatcher: Any) -> bool:
    """True when numba's cache holds this kernel, compiled from the present sources."""
    folder = _folder(dispatcher)
    module = Path(dispatcher.py_func.__code__.co_filename).stem
    return (
        (folder / STAMP).is_file()
        and (folder / STAMP).read_text(encoding="utf-8") == _fingerprint()
        and any(folder.glob(f"{module}.{dispatcher.py_func.__name__}-*.nbi"))
    )


def _folder(dispatcher: Any) -> Path:
    return Path(str(dispatcher.stats.cache_path))


@lru_cache(maxsize=1)
def _fingerprint() -> str:
    digest = hashlib.sha256(numba.__version__.encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
