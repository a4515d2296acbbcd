"""Small runs of the two commands that trace 3D models, as the command line would start them."""

import hashlib
import sys
from pathlib import Path

import numpy as np

from geodiff_sar import cli
from geodiff_sar.workflows.prior import PriorRequest, make_priors
from geodiff_sar.workflows.simulate import SimulateRequest, simulate
from geodiff_sar.workflows.tracing import TraceConfig

SMALL = {
    "targets": [{"source": "tank:1"}],
    "azimuths": "0:360:90",
    "radar": "compact-ku",
    "radar_set": ["rows=48", "columns=48"],
    "prior": {"trace": {"rays": 20_000}},
}
SMALL_ARGUMENTS = (
    *("--azimuths", "0", "--radar", "compact-ku", "--radar-set", "rows=48", "--radar-set", "columns=48"),
    *("--set", "trace.rays=20000"),
)


def small(**changes) -> TraceConfig:
    return TraceConfig.model_validate({**SMALL, **changes})


def priors(folder: Path, workers: int = 1, formats=("safetensors",), overwrite: bool = False, **changes) -> str:
    return make_priors(PriorRequest(small(**changes), folder, formats, workers, overwrite))


def chips(folder: Path, workers: int = 1, overwrite: bool = False, **changes) -> str:
    return simulate(SimulateRequest(small(**changes), folder, workers, overwrite))


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def command(monkeypatch, *arguments: str | Path) -> int:
    """Exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["geodiff-sar", *map(str, arguments)])
    try:
        cli.main()
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def write_box(path: Path, size=(4.0, 2.0, 1.5), offset=(0.0, 0.0, 0.0), inside_out: bool = False) -> Path:
    corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)]) * size + offset
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    turned = [face[::-1] if inside_out else face for face in faces]
    lines = [f"v {x} {y} {z}" for x, y, z in corners] + [f"f {a + 1} {b + 1} {c + 1}" for a, b, c in turned]
    path.write_text("\n".join(lines) + "\n")
    return path
