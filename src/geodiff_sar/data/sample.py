"""One chip of a data set, not yet read."""

from dataclasses import dataclass
from pathlib import Path

from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, has_separators


@dataclass(frozen=True)
class Sample:
    """Where a chip, its caption and its point features are.

    Attributes:
        id: unique within the data set.
        image_path: the chip.
        caption: parsed caption.
        caption_text: the caption as written in the file.
        pose: azimuth of the caption or of the table, with the depression where it is known; None without azimuth.
        prior_path: point features, or None when none were found.
        repeats: how often one epoch shows it.
    """

    id: str
    image_path: Path
    caption: Caption
    caption_text: str
    pose: Pose | None
    prior_path: Path | None
    repeats: int = 1

    @property
    def training_text(self) -> str:
        """The caption as the text encoders see it: printed from its fields, so that training and generation spell it
        alike; as written where it holds separators for shuffling."""
        return self.caption_text if has_separators(self.caption_text) else str(self.caption)
