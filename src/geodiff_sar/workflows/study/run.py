"""The study: train, generate, measure, report; rows that are done are not done again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from geodiff_sar.core.config import Options, write_toml
from geodiff_sar.core.console import say, warn
from geodiff_sar.core.files import make_folder, require_writable
from geodiff_sar.core.work import processors
from geodiff_sar.workflows.study.instruments import Instruments, make_instruments
from geodiff_sar.workflows.study.jobs import Job, all_jobs, choose
from geodiff_sar.workflows.study.kept import KeptResults
from geodiff_sar.workflows.study.locks import claimed
from geodiff_sar.workflows.study.making import chips_folder, generate_views, train_adapter
from geodiff_sar.workflows.study.material import Material, prepare, require_priors
from geodiff_sar.workflows.study.measuring import measure_chips
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.report import chips_of_rows, write_report
from geodiff_sar.workflows.study.use import measure_use, use_key, write_uses

Stage = Literal["train", "generate", "measure", "report"]
STAGES: tuple[Stage, ...] = ("train", "generate", "measure", "report")


class StudyRequest(Options):
    """What ``geodiff-sar study`` is asked for."""

    remedy: ClassVar[str] = "see `geodiff-sar study --help`"

    config: StudyConfig
    out: Path = Field(description="folder of the study")
    rows: tuple[str, ...] = Field(default=(), description="names of rows; none: all")
    only: Stage | None = Field(default=None, description="one stage; None: all of them")
    workers: int = Field(default=1, ge=1, description="processes that work on different adapters at the same time")
    docs: Path | None = Field(default=None, description="Markdown file whose marked place gets the tables")
    results: Path | None = Field(
        default=None,
        description="folder where numbers are kept; an adapter whose numbers are there is not trained again",
    )

    @property
    def kept(self) -> KeptResults | None:
        """The kept results of this study."""
        return None if self.results is None else KeptResults(self.results / self.config.name)


def study(request: StudyRequest) -> str:
    """Carry out what is missing, and write ``study.json``, ``study.csv``, ``study.md`` and ``pictures``.

    Several processes may work in one folder: each takes adapters that no other is at. Killed and started again, it goes on.

    Raises:
        GeodiffError: mistakes in configuration or data, before the first training.
    """
    config, out = request.config, request.out
    require_writable(out)
    jobs = all_jobs(config, out)
    chosen = choose(jobs, request.rows)
    make_folder(out)
    with claimed(out, "data", wait=True):
        material = prepare(config, out, None if request.workers > 1 else processors())
    require_priors(material, chosen)
    write_toml(out / "config.toml", config)
    stages = STAGES if request.only is None else (request.only,)
    instruments = None
    with _helpers(request, len(chosen) if stages != ("report",) else 0):
        if "measure" in stages or "report" in stages:
            with claimed(out, "instruments", wait=True):
                instruments = make_instruments(material, config.measure)
        if stages != ("report",):
            _work(request, material, instruments, chosen, stages)
    if "measure" in stages and instruments is not None and config.use is not None:
        _use(request, material, instruments, jobs)
    if "report" not in stages or instruments is None:
        return f"study: {out}"
    with claimed(out, "report", wait=True):
        return write_report(config, out, jobs, material, instruments, request.docs, request.kept)


def _work(
    request: StudyRequest, material: Material, instruments: Instruments | None, jobs: list[Job], stages: tuple[str, ...]
) -> None:
    left = []
    for number, job in enumerate(jobs, start=1):
        if request.kept is not None and request.kept.measured(request.config, material, job) is not None:
            say(f"[{number}/{len(jobs)}] {job.title}: its numbers are kept in {request.kept.folder}")
            continue
        folder = job.folder(request.out, material.sha256)
        with claimed(request.out, folder.name, wait=False) as mine:
            if not mine:
                left.append(job.title)
                continue
            say(f"[{number}/{len(jobs)}] {job.title}")
            _carry_out(request, material, instruments, job, folder, stages)
    if left:
        say(f"another process is at: {'; '.join(left)}")


def _carry_out(
    request: StudyRequest,
    material: Material,
    instruments: Instruments | None,
    job: Job,
    folder: Path,
    stages: tuple[str, ...],
) -> None:
    if "train" in stages:
        train_adapter(job, folder, job.first_folder(request.out, material.sha256))
    if "generate" in stages:
        generate_views(job, material, request.config.generate, folder)
    if "measure" in stages and instruments is not None:
        chips = chips_folder(job, material, request.config.generate, folder)
        measured = measure_chips(job, material, request.config, instruments, folder, chips)
        if request.kept is not None:
            request.kept.keep_measured(request.config, material, job, measured)
        error = sorted(measured["held out"]["error_deg"])
        near = sum(value <= 10.0 for value in error) / len(error)
        say(f"{job.title}: median error {error[len(error) // 2]:.1f} degrees, {near:.0%} within 10 in held-out sectors")


def _use(request: StudyRequest, material: Material, instruments: Instruments, jobs: list[Job]) -> None:
    config = request.config
    assert config.use is not None
    if request.kept is not None and request.kept.uses(use_key(config, material, jobs)) is not None:
        say(f"the classifiers' numbers are kept in {request.kept.folder}")
        return
    folders = chips_of_rows(config, jobs, material)
    missing = [name for name in config.use.rows if name not in folders]
    if missing:
        say(f"classifiers wait for the chips of the rows {', '.join(missing)}")
        return
    with claimed(material.out, "use", wait=False) as mine:
        if mine:
            uses = measure_use(config, material, instruments, folders)
            write_uses(uses, use_key(config, material, jobs), material, request.kept)
        else:
            say("another process trains the classifiers")


@contextmanager
def _helpers(request: StudyRequest, jobs: int) -> Iterator[None]:
    """Other processes at the same work during the block, each with its share of the processors and a log of its own.

    The block ends when they have ended; where it fails, they are asked to stop, which they do after a checkpoint.
    """
    count = min(request.workers, jobs) - 1
    helpers = _started(request, count) if count > 0 else []
    try:
        yield
    except BaseException:
        for process, _ in helpers:
            process.terminate()
        raise
    for process, log in helpers:
        if process.wait() != 0:
            warn(f"another process ended with code {process.returncode}; see {log}")


def _started(request: StudyRequest, count: int) -> list[tuple[subprocess.Popen, Path]]:
    import torch

    threads = max(1, processors() // (count + 1))
    torch.set_num_threads(threads)
    command = [sys.executable, "-m", "geodiff_sar", "study", "--config", str(request.out / "config.toml")]
    command += ["--out", str(request.out)]
    for name in request.rows:
        command += ["--row", name]
    command += ["--only", request.only] if request.only else []
    command += ["--results", str(request.results)] if request.results else []
    helpers = []
    for number in range(1, count + 1):
        log = make_folder(request.out / "logs") / f"helper-{number}.log"
        with log.open("ab") as file:
            environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
            helpers.append((subprocess.Popen(command, stdout=file, stderr=file, env=environment), log))
        say(f"another process works too; its log: {log}")
    return helpers
