"""From a prompt and files to a request of the pipeline."""

from pathlib import Path
from string import Formatter

import numpy as np

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import CAPTION_START, Caption, parse_caption
from geodiff_sar.data.features import load_features
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.pixels import UNKNOWN_GRID, RangeDirection
from geodiff_sar.data.recipe import find_recipe
from geodiff_sar.sampling.pipeline import ChipRequest
from geodiff_sar.sampling.prompts import Prompt


def build_request(
    prompt: Prompt,
    default_seed: int,
    feature_width: int | None,
    azimuth_deg: float | None = None,
    folder: Path | None = None,
    reference_range: RangeDirection | None = None,
) -> ChipRequest:
    """Request for one chip.

    The azimuth is, in this order: the argument (a sweep), the prompt's ``--az``, the one in the caption. A sweep or
    ``--az`` sets caption and pose alike.

    Args:
        prompt: a line of a prompts file, or the command line in that form.
        default_seed: used where the prompt has none.
        feature_width: required width of the point features; None: point features are refused.
        azimuth_deg: azimuth of a sweep; also replaces ``{azimuth}`` in the path of the point features.
        folder: where relative paths of point features are looked up.
        reference_range: direction in which range grows in the reference picture; None: it is taken as it lies.
    """
    azimuth = azimuth_deg if azimuth_deg is not None else prompt.azimuth
    text, caption = prompt.prompt, _caption(prompt.prompt)
    if azimuth is not None:
        if caption is None:
            raise OptionError(
                "--azimuths",
                f"the prompt {prompt.prompt!r} does not follow the caption grammar",
                "an azimuth is set in a caption with six fields",
                "write the prompt in the grammar (docs/formats.md)",
            )
        text = str(caption.with_azimuth(azimuth))
    elif caption is not None:  # spelled as in training
        text, azimuth = str(caption), caption.azimuth_deg
    if azimuth is None and prompt.depression is not None:
        raise OptionError(
            "--depression (--dep)",
            f"{prompt.depression} without an azimuth, for the prompt {prompt.prompt!r}",
            "a pose begins with the azimuth",
            "write the prompt with six fields, or leave the depression out",
        )
    pose = None if azimuth is None else Pose(float(azimuth), prompt.depression)
    prior = None
    if prompt.pointcloud_path is not None:
        if feature_width is None:
            raise OptionError(
                "--pointcloud_path", prompt.pointcloud_path, "point features need an adapter", "give --lora_weights"
            )
        prior = load_features(pointcloud_file(prompt.pointcloud_path, azimuth, folder), feature_width)
    reference = None if prompt.reference is None else _reference(Path(prompt.reference), reference_range)
    seed = default_seed if prompt.seed is None else prompt.seed
    negative = prompt.negative_prompt or ""
    unwanted = _caption(negative)
    return ChipRequest(text, seed, negative if unwanted is None else str(unwanted), prior, reference, pose)


def _reference(path: Path, range_direction: RangeDirection | None) -> np.ndarray:
    """A picture with a recipe lies in the frame already."""
    known = None if find_recipe(path) is not None else range_direction
    return load_in_frame(path, UNKNOWN_GRID.model_copy(update={"range_direction": known}))


def pointcloud_file(text: str, azimuth_deg: float | None, folder: Path | None) -> Path:
    """Path of point features; ``{azimuth}`` stands for the azimuth, and relative paths are looked up in ``folder``."""
    if "{" in text or "}" in text:
        try:
            fields = [(name, conversion) for _, name, _, conversion in Formatter().parse(text) if name is not None]
            if any(field != ("azimuth", None) for field in fields):
                raise ValueError(f"found {sorted({name for name, _ in fields})}")
            if azimuth_deg is None:
                raise ValueError("the prompt has no azimuth")
            text = text.format(azimuth=azimuth_deg)
        except ValueError as error:
            raise OptionError(
                "--pointcloud_path (--pc)",
                text,
                "only {azimuth} (or {azimuth:05.1f}) may stand in braces, for a prompt that has an azimuth",
                f"correct it ({error})",
            ) from None
    path = Path(text)
    if folder is not None and not path.is_absolute() and not path.is_file():
        return folder / path
    return path


def _caption(text: str) -> Caption | None:
    """The caption's fields; a prompt outside the grammar has none and is used as it stands."""
    return parse_caption(text, "--prompt") if text.startswith(CAPTION_START) else None
