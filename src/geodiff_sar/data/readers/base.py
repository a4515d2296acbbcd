"""What a reader of a data layout does."""

from abc import ABC, abstractmethod
from pathlib import Path

from geodiff_sar.data.sample import Sample


class Reader(ABC):
    """Recognises a folder layout and lists its samples."""

    @staticmethod
    @abstractmethod
    def detect(root: Path) -> bool:
        """Whether ``root`` has this layout."""

    @staticmethod
    @abstractmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        """All samples; features are looked for in ``pointcloud_dir``, or where the layout keeps them."""
