"""One process at a time does a piece of work; the system gives a lock back when its process ends, however it ends."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from geodiff_sar.core.console import say
from geodiff_sar.core.files import make_folder

if sys.platform == "win32":
    import msvcrt

    def _taken(file: IO[bytes]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _taken(file: IO[bytes]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


WAIT_SECONDS = 1.0


@contextmanager
def claimed(folder: Path, name: str, wait: bool) -> Iterator[bool]:
    """Whether this process has ``name`` to itself for the length of the block.

    Args:
        folder: of the study; locks are empty files below ``locks``.
        name: of the work, plain.
        wait: wait for another process that is at it; otherwise give False at once.
    """
    path = make_folder(folder / "locks") / f"{name}.lock"
    with path.open("ab") as file:
        mine = _taken(file)
        if wait and not mine:
            say(f"waiting for another process: {name}")
        while wait and not mine:
            time.sleep(WAIT_SECONDS)
            mine = _taken(file)
        yield mine
