"""Feature spaces of the option ``--space``, one file each."""

from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.registry import Registry
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace


class SpaceOptions(Options):
    """Which feature space."""

    name: str = Field(default="sar", description="sar, timm:<model>, inception or clip")
    weights: Path | None = Field(default=None, description="weights of the space: a file, or the folder of clip")
    steps: int = Field(default=400, ge=1, description="training steps of a space that is trained here")
    batch: int = Field(default=32, ge=1, le=4096, description="chips that go through a network at a time")

    @property
    def kind(self) -> str:
        """The registered name: what stands before the colon."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """What stands behind the colon, or nothing."""
        return self.name.partition(":")[2]


SpaceBuilder = Callable[[SpaceOptions, ChipSet, Path | None, int], FeatureSpace]
"""Makes a space from options, real chips that may scale or train it, a cache folder or None, and a seed."""

SPACES: Registry[SpaceBuilder] = Registry("feature space", "--space", "geodiff_sar.evaluation.spaces")


def make_space(options: SpaceOptions, real: ChipSet, cache: Path | None, seed: int) -> FeatureSpace:
    """The space that the options name; nothing is ever downloaded.

    Args:
        options: which one, and its weights.
        real: real chips that may scale or train it; none of them is judged.
        cache: where a space that is trained keeps what it learnt.
        seed: of its training.

    Raises:
        OptionError: an unknown space, or weights that are missing where they are needed.
        FileError: weights that cannot be read or do not fit.
    """
    return SPACES.get(options.kind)(options, real, cache, seed)


def refuse_model(options: SpaceOptions) -> None:
    """An OptionError where a model is named that this space does not take."""
    if ":" in options.name:
        raise OptionError(
            "--space", repr(options.name), f"the space {options.kind} has one model", f"write {options.kind}"
        )
