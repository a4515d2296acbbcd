"""The caption grammar: ``SAR image,<target>,<band>-band,<High|Low>,<HH|HV|VH|VV>-Polarization,<azimuth>``.

The short form stops after the fourth field. Captions are parsed to fields and printed back.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import POLARISATIONS

KEEP_SEPARATOR, SECONDARY_SEPARATOR = "|||", ";;;"
"""In a caption file: between fields that keep their place and those that are shuffled; between fields that stay together."""

CAPTION_START = "SAR image,"
GRAMMAR = "SAR image,<target>,<band>-band,<High|Low>[,<HH|HV|VH|VV>-Polarization,<azimuth degrees>]"


@dataclass(frozen=True)
class Caption:
    """The fields of a caption.

    Attributes:
        target: name of the target; may contain spaces.
        band: radar band, such as "Ku".
        resolution: "High" or "Low".
        polarisation: one of HH, HV, VH, VV; None in the short form.
        azimuth_deg: target aspect in [0, 360); None in the short form.
    """

    target: str
    band: str
    resolution: str
    polarisation: str | None = None
    azimuth_deg: float | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields as printed, four or six of them."""
        named = ("SAR image", self.target, f"{self.band}-band", self.resolution)
        if self.polarisation is None or self.azimuth_deg is None:
            return named
        return (*named, f"{self.polarisation}-Polarization", format_azimuth(self.azimuth_deg))

    def __str__(self) -> str:
        return ",".join(self.fields)

    def with_azimuth(self, azimuth_deg: float) -> "Caption":
        """Copy seen from another azimuth; a short caption has none to set and is a DataError."""
        if self.polarisation is None:
            raise DataError(
                "caption", repr(str(self)), "an azimuth needs the form with six fields", f"write it as {GRAMMAR}"
            )
        return replace(self, azimuth_deg=azimuth_deg)


def has_separators(text: str) -> bool:
    """Whether a caption file's text holds separators of shuffling."""
    return KEEP_SEPARATOR in text or SECONDARY_SEPARATOR in text


def format_azimuth(azimuth_deg: float) -> str:
    """Degrees with at least one and at most three decimals."""
    text = f"{azimuth_deg:.3f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def parse_caption(text: str, source: str = "caption") -> Caption:
    """Parse one caption; spaces around fields are accepted, and the default separators of shuffling in place of commas.

    Raises:
        DataError: names the source, the caption and the field that breaks the grammar.
    """
    plain = text
    for separator in (KEEP_SEPARATOR, SECONDARY_SEPARATOR):
        plain = plain.replace(separator, ",")
    fields = [field.strip() for field in plain.strip().split(",")]

    def fail(problem: str) -> DataError:
        return DataError(source, f"caption {text.strip()!r}: {problem}", GRAMMAR, "correct the caption")

    if len(fields) not in (4, 6):
        raise fail(f"has {len(fields)} fields, not 4 or 6")
    if fields[0] != "SAR image":
        raise fail(f"begins with {fields[0]!r}")
    if not fields[1]:
        raise fail("has an empty target")
    if not fields[1].isprintable():
        raise fail("has control characters in its target")
    band = re.fullmatch(r"(\w+)-band", fields[2])
    if band is None:
        raise fail(f"{fields[2]!r} is not a band")
    if fields[3] not in ("High", "Low"):
        raise fail(f"{fields[3]!r} is neither High nor Low")
    if len(fields) == 4:
        return Caption(fields[1], band[1], fields[3])
    polarisation = fields[4].removesuffix("-Polarization")
    if polarisation not in POLARISATIONS or polarisation == fields[4]:
        raise fail(f"{fields[4]!r} is not a polarisation")
    if re.fullmatch(r"\d+(\.\d+)?", fields[5]) is None:
        raise fail(f"{fields[5]!r} is not an azimuth in degrees")
    azimuth = float(fields[5])
    if azimuth >= 360.0:
        raise fail(f"azimuth {fields[5]} is not below 360")
    return Caption(fields[1], band[1], fields[3], polarisation, azimuth)


class CaptionOptions(Options):
    """What happens to captions in training; the order of the published trainer (REFERENCE A7) is kept."""

    dropout_rate: float = Field(default=0.1, ge=0, le=1, description="share of captions replaced by the empty caption")
    dropout_every_n_epochs: int = Field(default=0, ge=0, description="drop all captions in every n-th epoch; 0: never")
    shuffle: bool = Field(
        default=False, description="shuffle the fields; off by default, since their order has a meaning"
    )
    keep_tokens: int = Field(default=1, ge=0, description="fields at the front that shuffling leaves in place")
    keep_tokens_separator: str = Field(
        default=KEEP_SEPARATOR, description="text between fixed and shuffled fields, where it occurs"
    )
    secondary_separator: str = Field(
        default=SECONDARY_SEPARATOR, description="joins fields that shuffling keeps together"
    )


def augment_caption(text: str, options: CaptionOptions, rng: np.random.Generator, epoch: int) -> str:
    """The caption as one training step sees it: dropped, shuffled, or as it is.

    A shuffled caption is joined with "," (the published trainer joins with ", ", which changes the tokens).
    """
    every = options.dropout_every_n_epochs
    if every and (epoch + 1) % every == 0:
        return ""
    if options.dropout_rate > 0 and rng.random() < options.dropout_rate:
        return ""
    separator = options.keep_tokens_separator
    fixed: list[str] = []
    tail: list[str] = []
    if separator and separator in text:
        parts = text.split(separator)
        fixed, flexible = _fields(parts[0]), _fields(parts[1])
        tail = _fields(parts[2]) if len(parts) > 2 else []
    else:
        every_field = _fields(text)
        fixed, flexible = every_field[: options.keep_tokens], every_field[options.keep_tokens :]
    if options.shuffle:
        flexible = [flexible[k] for k in rng.permutation(len(flexible))]
    result = ",".join([*fixed, *flexible, *tail])
    return result.replace(options.secondary_separator, ",") if options.secondary_separator else result


def _fields(text: str) -> list[str]:
    return [field.strip() for field in text.split(",") if field.strip()]
