"""What the pixels of a chip file mean: how values follow from amplitude, and how the grid lies."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Num
from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError

RangeDirection = Literal["right", "left", "up", "down"]
QUARTER_TURNS: dict[RangeDirection, int] = {"right": 0, "down": 1, "left": 2, "up": -1}
"""Counter-clockwise quarter turns that bring a picture into the package's frame, where range grows to the right."""


class PixelRemap(Options):
    """How stored values follow from amplitude.

    ``power``: value ~ amplitude^exponent, so exponent 1 is linear and 0.5 the square root. ``db``: black is ``range_db``
    below white. ``nonlinear``: a display remap whose law is not known, such as MSTAR's "enhanced" pictures. ``unspecified``:
    nobody has said.

    Two sets can be compared as they are when their remaps are equal.
    """

    kind: Literal["power", "db", "nonlinear", "unspecified"] = Field(default="unspecified", description="the law")
    exponent: float | None = Field(default=None, gt=0, le=4, description="power: the exponent")
    range_db: float | None = Field(default=None, gt=0, le=200, description="db: decibels from black to white")
    name: str | None = Field(default=None, min_length=1, description="nonlinear: which display remap, such as enhanced")
    scaling: Literal["absolute", "per-chip", "unspecified"] = Field(
        default="unspecified", description="absolute: one factor for the whole set; per-chip: each chip has its own"
    )

    @model_validator(mode="after")
    def _complete(self) -> "PixelRemap":
        if (self.kind == "power") != (self.exponent is not None):
            raise ValueError('exponent is given with kind = "power", and with no other')
        if (self.kind == "db") != (self.range_db is not None):
            raise ValueError('range_db is given with kind = "db", and with no other')
        if self.name is not None and self.kind != "nonlinear":
            raise ValueError('name is given with kind = "nonlinear" only')
        return self

    def __str__(self) -> str:
        law = {
            "power": f"amplitude^{self.exponent:g}" if self.exponent not in (None, 1.0) else "amplitude",
            "db": f"decibels, {self.range_db:g} dB from black to white" if self.range_db else "",
            "nonlinear": f"a nonlinear display remap{f' ({self.name})' if self.name else ''}",
            "unspecified": "unspecified",
        }[self.kind]
        return law if self.scaling == "unspecified" else f"{law}, {self.scaling} scale"

    @property
    def invertible(self) -> bool:
        """Whether amplitude, up to a factor, follows from the values."""
        return self.kind in ("power", "db")

    def to_amplitude(self, value: Float[np.ndarray, "*shape"], white: float = 255.0) -> Float[np.ndarray, "*shape"]:
        """Amplitude up to a factor, float32; the inverse of the law.

        Args:
            value: stored values >= 0.
            white: the value of white in the decibel law.

        Raises:
            DataError: the law is not known.
        """
        if self.kind == "power":
            assert self.exponent is not None
            return (np.asarray(value, dtype=np.float64) ** (1.0 / self.exponent)).astype(np.float32)
        if self.kind == "db":
            assert self.range_db is not None
            if np.size(value) and float(np.max(value)) > white:
                raise DataError(
                    "remap",
                    f"a value of {float(np.max(value)):g}",
                    f"decibel values are at most {white:g}, white",
                    "state another",
                )
            level_db = (np.asarray(value, dtype=np.float64) / white - 1.0) * self.range_db
            amplitude = white * 10.0 ** (level_db / 20.0)
            return np.where(np.asarray(value) <= 0, 0.0, amplitude).astype(np.float32)
        raise DataError(
            "remap", str(self), "an inverse exists for the laws power and db", "state the remap of the chips"
        )

    def from_amplitude(
        self, amplitude: Float[np.ndarray, "*shape"], white: float = 255.0
    ) -> Float[np.ndarray, "*shape"]:
        """Stored values of amplitudes, float32; the law itself. Decibels below black are black.

        Raises:
            DataError: the law is not known.
        """
        share = np.asarray(amplitude, dtype=np.float64)
        if self.kind == "power":
            assert self.exponent is not None
            return (share**self.exponent).astype(np.float32)
        if self.kind == "db":
            assert self.range_db is not None
            level_db = 20.0 * np.log10(np.maximum(share, 1e-30) / white)
            return np.clip(white * (1.0 + level_db / self.range_db), 0.0, white).astype(np.float32)
        raise DataError(
            "remap", str(self), "values follow from amplitude by the laws power and db", "state the remap of the chips"
        )


UNSPECIFIED = PixelRemap()
AMPLITUDE = PixelRemap(kind="power", exponent=1.0, scaling="absolute")
"""The magnitude itself, as MSTAR raw chips and SICD hold it, or grey levels linear in it with one gain for all chips."""


class ChipGrid(Options):
    """How the pixels of a file lie in the slant plane."""

    range_direction: RangeDirection | None = Field(
        default=None, description="where slant range grows in the picture; the radar is on the other side"
    )
    pixel_range_m: float | None = Field(default=None, gt=0, description="pixel spacing in slant range, m")
    pixel_cross_range_m: float | None = Field(default=None, gt=0, description="pixel spacing in cross-range, m")
    resolution_range_m: float | None = Field(default=None, gt=0, description="3 dB width in slant range, m")
    resolution_cross_range_m: float | None = Field(default=None, gt=0, description="3 dB width in cross-range, m")


UNKNOWN_GRID = ChipGrid()


class ChipPixels(Options):
    """What the values and the grid of a set of chips mean; adapters and recipes carry it."""

    remap: PixelRemap = Field(default=UNSPECIFIED, description="how values follow from amplitude")
    grid: ChipGrid = Field(default=UNKNOWN_GRID, description="how the pixels lie")


def quarter_turns(grid: ChipGrid) -> int:
    """Quarter turns, counter-clockwise, that bring a picture of this grid into the package's frame; 0 where the direction
    of range is unknown."""
    return 0 if grid.range_direction is None else QUARTER_TURNS[grid.range_direction]


def frame_grid(grid: ChipGrid) -> ChipGrid:
    """The grid of pictures after ``to_frame``. Spacings and widths belong to range and cross-range, so they stay."""
    return grid if grid.range_direction is None else grid.model_copy(update={"range_direction": "right"})


def to_frame(picture: Num[np.ndarray, "height width"], grid: ChipGrid) -> Num[np.ndarray, "cross_range range"]:
    """A picture or mask turned so that range grows to the right (the radar on the left); as it is where the direction is
    unknown.

    Turning never mirrors a target.
    """
    turns = quarter_turns(grid)
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
