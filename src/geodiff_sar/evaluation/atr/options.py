"""Settings of a classifier study."""

from typing import Annotated

from pydantic import Field, field_validator

from geodiff_sar.core.config import Options
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.network import NetworkOptions

SECTOR_DEG = 30.0
"""Width of the sectors of the azimuth head, and of the azimuth bins in which accuracy is shown."""

SMOOTHING = 0.05
"""Label smoothing of all heads."""

LEAST_SEEDS = 3

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0, le=100)]


class AtrOptions(Options):
    """What a study consists of.

    Attributes:
        fractions: shares of the real training part; subsets are nested. The whole part (1) is always among them.
        ratios: synthetic chips added per chip of the whole real training part.
    """

    seeds: int = Field(default=3, ge=LEAST_SEEDS, le=100, description="repetitions: weights, order, subsets")
    first_seed: int = Field(default=0, ge=0, description="seed of the first repetition")
    fractions: tuple[Share, ...] = Field(default=(0.1, 0.3, 1.0), description="shares of the real training chips")
    ratios: tuple[Ratio, ...] = Field(default=(0.5, 1.0), description="synthetic chips per real training chip")
    network: NetworkOptions = Field(default=NetworkOptions(), description="which classifier")
    fit: FitOptions = Field(default=FitOptions(), description="how it is trained; the same steps for every run")

    @field_validator("fractions")
    @classmethod
    def _with_all(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({*value, 1.0}))

    @field_validator("ratios")
    @classmethod
    def _ordered(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("at least one ratio")
        return tuple(sorted(set(value)))
