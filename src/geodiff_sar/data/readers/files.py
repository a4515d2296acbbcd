"""What several readers need: walking folders, ids from file names."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[Path]:
    """Files below ``root`` in the order of their paths; hidden files and folders, and links to nothing, are left out."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(name for name in names if not name.startswith("."))
        paths = (Path(folder) / name for name in sorted(files) if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


def file_ids(root: Path, files: list[Path], suffix: bool = False) -> dict[Path, str]:
    """Ids of chips: the stem of the file (``suffix``: its whole name), or its path below ``root`` where several share it."""

    def plain(path: Path) -> Path:
        return path if suffix else path.with_suffix("")

    counts = Counter(plain(path).name for path in files)
    return {
        path: plain(path).name if counts[plain(path).name] == 1 else plain(path.relative_to(root)).as_posix()
        for path in files
    }
