"""Independent jobs over several threads, with progress and a stop in good order."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import Interrupted

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def memory_bytes() -> int | None:
    """Memory of this machine or of the container that this process runs in; None where it cannot be told."""
    found = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such container, or no limit
            found.append(int((Path("/sys/fs/cgroup") / limit).read_text()))
    return min(found, default=None)


def run_jobs(
    jobs: Sequence[JobT], work: Callable[[JobT], ResultT], workers: int, title: str, unit: str = "jobs"
) -> Iterable[tuple[JobT, ResultT]]:
    """Yield (job, result) as jobs finish; Ctrl-C finishes those under way and raises Interrupted.

    The work has to be such that its result does not depend on other jobs; then nothing depends on the number of workers.

    Args:
        jobs: what to do.
        work: does one job; it should release Python's lock for most of its time.
        workers: jobs at the same time.
        title: shown before the bar.
        unit: what the jobs are, for the message of an interruption.
    """
    done = 0
    with progress_bar() as bar, ThreadPoolExecutor(max_workers=workers) as pool:
        line = bar.add_task(title, total=len(jobs), note="")
        waiting: dict[Future[ResultT], JobT] = {}
        upcoming = iter(jobs)
        try:
            while True:
                while len(waiting) < 2 * workers and (job := next(upcoming, None)) is not None:
                    waiting[pool.submit(work, job)] = job
                if not waiting:
                    return
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield waiting.pop(future), future.result()
                    done += 1
                    bar.update(line, completed=done)
        except KeyboardInterrupt:
            pool.shutdown(wait=True, cancel_futures=True)
            raise Interrupted(f"after {done} of {len(jobs)} {unit}; run the same command again to go on") from None
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
