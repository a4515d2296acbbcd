"""Loading a part of a single file takes the memory of the loaded part, whatever number format the file is in."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from checkpoint_support import tiny_models, tiny_vae, write_checkpoint

CHILD = """
import sys
from pathlib import Path
import torch
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.single_file import read
from geodiff_sar.model.single_file.source import SingleFileBase

def megabytes(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024

read.MAPPED_TOGETHER = 2**23
for path in sys.argv[1:]:
    source = SingleFileBase(BaseFiles(path), ("transformer", "vae"))
    source.require("vae")
    Path("/proc/self/clear_refs").write_text("5")
    before = megabytes("VmRSS:")
    module = source.load("vae", torch.bfloat16)
    print(megabytes("VmHWM:") - before, sum(p.nbytes for p in module.parameters()) / 2**20)
    del module
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks are read as Linux writes them")
def test_the_peak_is_that_of_the_loaded_part(tmp_path):
    models = tiny_models()
    models.vae = tiny_vae(block_out_channels=(128, 256, 512, 512), layers_per_block=1).eval()
    formats = (torch.float32, torch.float16, torch.float8_e4m3fn, torch.bfloat16)
    paths = [write_checkpoint(tmp_path / str(stored), models, dtype=stored).name for stored in formats]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *paths], capture_output=True, text=True, check=True, timeout=120
    )
    room = 30  # the piece of the file that is cast, the largest tensor, and the module's own objects
    for stored, line in zip(formats, done.stdout.splitlines(), strict=True):
        peak, loaded = (float(word) for word in line.split())
        assert loaded > 60
        assert peak < (0 if stored == torch.bfloat16 else loaded) + room, (stored, peak, loaded)
