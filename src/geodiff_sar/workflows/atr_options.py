"""What ``geodiff-sar atr`` is asked for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import OptionError
from geodiff_sar.evaluation.atr.options import AtrOptions
from geodiff_sar.evaluation.common_remap import CommonRemap

DEFAULT_SPLIT = "azimuth-sectors:30/90"


class AtrRequest(Options):
    """Folders and settings of one study."""

    remedy: ClassVar[str] = "see `geodiff-sar atr --help`"

    real: Path = Field(description="real chips")
    out: Path = Field(description="folder for report.html, atr.json, atr.csv")
    generated: Path | None = Field(default=None, description="synthetic chips")
    test: Path | None = Field(default=None, description="real chips to test on; all of --real is then for training")
    split: str | None = Field(default=None, description="which of --real to test on")
    layout: str = Field(default="auto", description="layout of --real and --test")
    generated_layout: str = Field(default="auto", description="layout of --generated")
    classes: tuple[str, ...] = Field(default=(), description="targets of all folders that are taken; none: all")
    crop: int | None = Field(default=None, ge=16, description="side of a square cut from the middle of every chip")
    common_remap: CommonRemap | None = Field(default=None, description="bring all sets to this remap")
    cache: Path | None = Field(default=None, description="folder for finished runs; default: OUT/cache")
    study: AtrOptions = Field(default=AtrOptions(), description="the study itself")

    @model_validator(mode="after")
    def _one_test_set(self) -> "AtrRequest":
        if self.test is not None and self.split is not None:
            raise ValueError("--test and --split exclude each other: a test folder leaves nothing to split")
        return self


def atr_request(settings: Mapping[str, Any]) -> AtrRequest:
    """The request of the command line's values; None stands for a default.

    Raises:
        OptionError: a value that cannot be used.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    study: dict[str, Any] = {}
    for key in ("seeds", "first_seed"):
        if key in given:
            study[key] = given.pop(key)
    for key in ("fractions", "ratios"):
        if key in given:
            study[key] = _numbers(f"--{key}", given.pop(key))
    network = {key: given.pop(key) for key in ("backbone", "weights") if key in given}
    fit = {}
    for key, name in (("steps", "steps"), ("batch", "batch_size"), ("learning_rate", "learning_rate")):
        if key in given:
            fit[name] = given.pop(key)
    return parse_options(AtrRequest, {**given, "study": {**study, "network": network, "fit": fit}}, "geodiff-sar atr")


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise OptionError(option, repr(text), "numbers separated by commas", f"write {option} 0.3,1") from None
