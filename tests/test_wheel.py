"""The wheel holds the embedded base and works outside the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_wheel_is_small_complete_and_runs_elsewhere(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(REPOSITORY)], check=True)
    (wheel,) = tmp_path.glob("geodiff_sar-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    assert sum(size for name, size in sizes.items() if "/weights/" in name) <= 30e6  # the limit is that of the weights
    rest = [name for name in names if "/weights/" not in name and ".dist-info/" not in name]
    assert {Path(name).suffix for name in rest} <= {
        ".py",
        ".json",
        ".css",
        ".j2",
        ".html",
        ".toml",
    }  # nothing built, no data
    assert sum(sizes[name] for name in rest if not name.endswith(".py")) <= 1e5
    for part in ("transformer/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder_3/model"):
        assert f"geodiff_sar/weights/mini/{part}.safetensors" in names
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(target), "OMP_NUM_THREADS": "1"}

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "geodiff_sar", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True).stdout

    assert str(target) in run("list", "bases")
    assert "everything needed is there and intact" in run("check-weights")
    made = run("generate", "--prompt", "SAR image,Kodiak 100,Ku-band,High,HH-Polarization,40.0", "--sample_steps", "2")
    assert (tmp_path / made.strip()).is_file()
