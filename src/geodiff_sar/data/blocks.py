"""Arrays of many items, computed block by block, kept on disk as float16 and read item by item."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.files import atomic_path

BLOCK = 1000


class BlockStore:
    """One array per item, all of one shape.

    A block is computed as a whole and appears when it is complete, so a filling that was interrupted goes on and gives
    the same bits. Values are stored as float16, whose relative step is 0.001 at most.

    Args:
        folder: of this array alone; its name says what it was computed from.
        count: number of items.
    """

    def __init__(self, folder: Path, count: int):
        self.folder, self.count = folder, count
        self._blocks: list[np.ndarray] = []

    def fill(self, compute: Callable[[range], np.ndarray], title: str) -> None:
        """Compute the missing blocks and open all of them.

        Args:
            compute: (item, ...) array of a range of items.
            title: of the progress bar.
        """
        starts = range(0, self.count, BLOCK)
        with progress_bar() as bar:
            line = bar.add_task(title, total=self.count, note="")
            for start in starts:
                items = range(start, min(start + BLOCK, self.count))
                if not self._path(start).is_file():
                    with atomic_path(self._path(start)) as temporary, temporary.open("wb") as file:
                        np.save(file, compute(items).astype(np.float16), allow_pickle=False)
                bar.update(line, completed=items.stop)
        self._blocks = [np.load(self._path(start), mmap_mode="r", allow_pickle=False) for start in starts]

    def __getitem__(self, items: Sequence[int]) -> Tensor:
        """Values (item, ...) of some items, float32."""
        return torch.from_numpy(np.stack([self._blocks[i // BLOCK][i % BLOCK] for i in items]).astype(np.float32))

    def _path(self, start: int) -> Path:
        return self.folder / f"block-{start // BLOCK:04d}.npy"
