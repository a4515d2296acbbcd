"""Prompts files in the grammar of kohya's scripts, with the published ``--pc``; and lists of azimuths.

A line is ``<prompt> --w 128 --h 128 --d 7 --s 28 --l 4.5 --n <negative> --pc <point features>``. Ours: ``--ref <chip>``,
``--az <degrees>`` and ``--dep <degrees>``. Text files hold one prompt per line (blank lines and lines that begin with
``#`` are passed over), JSON a list of texts or tables, TOML a ``[prompt]`` table with ``[[prompt.subset]]`` entries.
"""

import re
from pathlib import Path
from typing import Any

from pydantic import Field

from geodiff_sar.core.config import Options, parse_options, read_toml, shorten
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import read_json, read_text, require_file
from geodiff_sar.data.caption import CAPTION_START, parse_caption

MOST_STEPS = 1000
SMALLEST_STEP = 0.01
"""Degrees between two azimuths of a sweep; file names and captions hold three decimals."""


class Prompt(Options):
    """One line of a prompts file; None is whatever the command line says."""

    prompt: str = Field(min_length=1, description="caption")
    negative_prompt: str | None = Field(default=None, description="what to guide away from (--n)")
    width: int | None = Field(default=None, ge=8, description="pixels (--w)")
    height: int | None = Field(default=None, ge=8, description="pixels (--h)")
    seed: int | None = Field(default=None, ge=0, lt=2**63, description="seed (--d)")
    sample_steps: int | None = Field(default=None, ge=1, le=MOST_STEPS, description="solver steps (--s)")
    scale: float | None = Field(default=None, ge=0, description="guidance scale (--l)")
    pointcloud_path: str | None = Field(default=None, description="point features (--pc)")
    reference: str | None = Field(default=None, description="reference chip (--ref)")
    azimuth: float | None = Field(default=None, ge=0, lt=360, description="azimuth, degrees (--az)")
    depression: float | None = Field(default=None, gt=0, lt=90, description="depression, degrees (--dep)")
    sample_sampler: str | None = Field(default=None, description="read from published files, has no effect (--ss)")


FLAGS: dict[str, tuple[str, type]] = {
    "w": ("width", int),
    "h": ("height", int),
    "d": ("seed", int),
    "s": ("sample_steps", int),
    "l": ("scale", float),
    "n": ("negative_prompt", str),
    "pc": ("pointcloud_path", str),
    "ref": ("reference", str),
    "az": ("azimuth", float),
    "dep": ("depression", float),
    "ss": ("sample_sampler", str),
}


def parse_prompt_line(line: str, source: str) -> Prompt:
    """One prompt with its flags. ``--d -1`` means a random seed, as published.

    Raises:
        OptionError: unknown flag, repeated flag, or a value of the wrong kind; names file and line.
    """
    text, *flags = re.split(r"(?:^|\s+)--", line.strip())
    values: dict[str, Any] = {"prompt": text.strip()}
    for flag in flags:
        name, _, raw = flag.partition(" ")
        key = name.strip().lower()
        if key not in FLAGS:
            raise OptionError(
                source,
                f"unknown flag --{name}",
                f"flags are {', '.join('--' + f for f in FLAGS)}",
                "correct or remove it",
            )
        field, kind = FLAGS[key]
        if field in values:
            raise OptionError(source, f"--{name} is given twice", "each flag once", "remove one of them")
        try:
            values[field] = kind(raw.strip())
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise OptionError(
                source, f"--{name} {raw.strip()!r}", f"--{name} takes {what}", "correct the value"
            ) from None
        if kind is str and not raw.strip() and key != "n":
            raise OptionError(source, f"--{name} without a value", f"--{name} takes a value", "write the value")
    if values.get("seed") == -1:
        del values["seed"]
    return _checked(parse_options(Prompt, values, source), source)


def load_prompts(path: Path) -> list[Prompt]:
    """All prompts of a .txt, .json or .toml file.

    Raises:
        FileError: missing, empty, or of another kind.
        OptionError: a line that does not parse, with its number.
    """
    require_file(path, "prompts file", "check the path")
    if path.suffix == ".txt":
        lines = read_text(path, "a prompts file").splitlines()
        prompts = [
            parse_prompt_line(line, f"{path}:{number}")
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.strip().startswith("#")
        ]
    elif path.suffix == ".json":
        entries = read_json(path)
        if not isinstance(entries, list):
            raise DataError(path, f"holds a {type(entries).__name__}", "a list of texts or tables", "write a list")
        prompts = [_entry(entry, f"{path}[{number}]") for number, entry in enumerate(entries)]
    elif path.suffix == ".toml":
        prompts = _toml_prompts(path)
    else:
        raise FileError(path, f"has the ending {path.suffix!r}", ".txt, .json or .toml", "rename or convert it")
    if any(prompt.sample_sampler is not None for prompt in prompts):
        warn(
            f"{path}: --ss (sample_sampler) has no effect, as in the published trainer; the solver is an option of its own"
        )
    if not prompts:
        raise FileError(path, "holds no prompt", "at least one prompt", "write one prompt per line")
    return prompts


def parse_azimuths(text: str) -> list[float]:
    """Azimuths in degrees from ``start:stop:step`` (stop excluded) or ``a,b,c``.

    Raises:
        OptionError: malformed, empty, or outside [0, 360).
    """
    rule = "start:stop:step (stop excluded) or a,b,c in degrees, 0 <= azimuth < 360"
    try:
        if ":" in text:
            start, stop, step = (float(part) for part in text.split(":"))
            if step <= 0:
                raise OptionError("--azimuths", text, "the step is above 0", "write 0:360:10")
            if not (0 <= start < 360 and stop <= 360 and step >= SMALLEST_STEP):
                raise OptionError(
                    "--azimuths", text, f"0 <= start < 360, stop <= 360, step >= {SMALLEST_STEP}", "write 0:360:10"
                )
            count = int((stop - start) / step - 1e-9) + 1 if stop > start else 0
            angles = [round(start + k * step, 6) for k in range(count)]
        else:
            angles = [float(part) for part in text.split(",")]
    except ValueError as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError("--azimuths", text, rule, "write 0:360:10 or 0,45,90") from None
    if not angles or not all(0 <= angle < 360 for angle in angles):
        raise OptionError("--azimuths", text, rule, "write 0:360:10 or 0,45,90")
    return angles


def _toml_prompts(path: Path) -> list[Prompt]:
    content = read_toml(path)
    table, extra = content.get("prompt"), sorted(content.keys() - {"prompt"})
    if not isinstance(table, dict) or extra:
        raise DataError(
            path,
            f"unknown keys {extra}" if extra else f"'prompt' is {shorten(table)}",
            "a table [prompt] with the defaults and [[prompt.subset]] entries, and nothing else",
            "see docs/formats.md",
        )
    subsets = table.get("subset", [{}])
    if not isinstance(subsets, list) or not all(isinstance(subset, dict) for subset in subsets):
        raise DataError(
            path, f"'prompt.subset' is {shorten(subsets)}", "a list of tables", "write each under [[prompt.subset]]"
        )
    common = {key: value for key, value in table.items() if key != "subset"}
    return [_entry({**common, **subset}, f"{path}: subset {number}") for number, subset in enumerate(subsets)]


def _checked(prompt: Prompt, source: str) -> Prompt:
    """The prompt, once its caption parses where it is one; a text outside the grammar is used as it stands."""
    if prompt.prompt.startswith(CAPTION_START):
        parse_caption(prompt.prompt, source)
    return prompt


def _entry(entry: Any, source: str) -> Prompt:
    if isinstance(entry, str):
        return parse_prompt_line(entry, source)
    if not isinstance(entry, dict):
        raise DataError(source, f"is a {type(entry).__name__}", "a text or a table", "correct the entry")
    return _checked(parse_options(Prompt, entry, source), source)
