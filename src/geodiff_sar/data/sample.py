"""One chip of a data set, not yet read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, CaptionOptions, has_separators
from geodiff_sar.data.pixels import UNKNOWN_GRID, UNSPECIFIED, ChipGrid, PixelRemap

Origin = Literal["measured", "simulated", "generated"]


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
        remap: how the file's values follow from amplitude.
        grid: how its pixels lie.
        mask_path: picture of target, shadow and clutter (see ``data.chip_set.load_mask``), or None.
        serial: which specimen of the target, where it is known.
        sensor_azimuth_deg: direction from the target to the sensor against north, where it is known; never the aspect.
        origin: measured, simulated or generated, where it is known.
        mirrored: the picture and the prior are shown with their rows of cross-range in the opposite order (data/mirror.py).
        moved: rows and columns by which picture and prior are moved, after that (data/moving.py).
        captions: what training does with its caption; None: what it does with those of the data set.
    """

    id: str
    image_path: Path
    caption: Caption
    caption_text: str
    pose: Pose | None
    prior_path: Path | None
    repeats: int = 1
    remap: PixelRemap = UNSPECIFIED
    grid: ChipGrid = UNKNOWN_GRID
    mask_path: Path | None = None
    serial: str | None = None
    sensor_azimuth_deg: float | None = None
    origin: Origin | None = None
    mirrored: bool = False
    moved: tuple[int, int] = (0, 0)
    captions: CaptionOptions | None = None

    @property
    def training_text(self) -> str:
        """The caption as the text encoders see it: printed from its fields, so that training and generation spell it
        alike; as written where it holds separators for shuffling."""
        return self.caption_text if has_separators(self.caption_text) else str(self.caption)
