"""What every benchmark shares: its options, the machine it ran on, its table and its JSON."""

import argparse
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from geodiff_sar.core.files import write_json


def parser(description: str) -> argparse.ArgumentParser:
    """Options of a benchmark: ``--json FILE`` and ``--threads N``."""
    result = argparse.ArgumentParser(description=description)
    result.add_argument("--json", type=Path, help="also write the numbers to this file")
    result.add_argument("--threads", type=int, default=2, help="CPU threads")
    return result


def report(title: str, rows: dict[str, str], numbers: dict[str, Any], file: Path | None) -> None:
    """Print a table; write the numbers with machine and commit."""
    table = Table(title=title, box=None)
    table.add_column("what")
    table.add_column("measured", justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    Console(width=140).print(table)
    if file is not None:
        write_json(file, {"benchmark": title, **numbers, "machine": machine()})
        print(f"written: {file}")


def machine() -> dict[str, Any]:
    """Processor, threads, versions, commit."""
    import diffusers

    info = Path("/proc/cpuinfo")
    models = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    commit = subprocess.run(
        ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return {
        "processor": models[0].partition(":")[2].strip() if models else platform.processor(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "commit": commit.stdout.strip(),
    }
