"""Chips of the subsets of a dataset configuration."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geodiff_sar.core.config import shorten
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import read_json, read_text
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import CaptionOptions, parse_caption
from geodiff_sar.data.dataset_config.reading import DescribedSet, Subset
from geodiff_sar.data.features import find_features
from geodiff_sar.data.image import IMAGE_SUFFIXES
from geodiff_sar.data.sample import Sample

CAPTION_SETTINGS = {
    "caption_dropout_rate": "dropout_rate",
    "caption_dropout_every_n_epochs": "dropout_every_n_epochs",
    "shuffle_caption": "shuffle",
    "keep_tokens": "keep_tokens",
    "keep_tokens_separator": "keep_tokens_separator",
    "secondary_separator": "secondary_separator",
}
"""Their name of what happens to captions -> ours."""


@dataclass(frozen=True)
class _Found:
    """A chip of a subset, not yet named."""

    path: Path
    text: str
    source: str
    repeats: int
    captions: CaptionOptions


def list_chips(path: Path, sets: list[DescribedSet], pointcloud_dir: Path | None) -> list[Sample]:
    """Every chip once, with the repeats and caption settings of its subset.

    Within a data set a folder that is named again is passed over; a chip of several data sets is shown as often as all of
    them say. An id is the file's stem, preceded by its folder's name where two folders use the same stem. Features are
    looked for in ``pointcloud_dir`` (by folder and stem, then by stem), or in ``3d_features`` of the chip's folder.

    Raises:
        FileError: no such folder or file, or no chip at all.
        DataError: a caption is missing or does not follow the grammar, or a chip has two settings for its caption.
    """
    found: dict[Path, _Found] = {}
    for described in sets:
        seen: set[Path] = set()
        for subset in described.subsets:
            place = _place(path, subset)
            if place in seen:
                warn(f"{path}: {subset.where} names {place} a second time and is passed over")
                continue
            seen.add(place)
            if subset.settings["num_repeats"] < 1:
                warn(f"{path}: {subset.where} has num_repeats = {subset.settings['num_repeats']} and is passed over")
                continue
            for chip in _chips_of(path, subset):
                found[chip.path.resolve()] = _joined(found.get(chip.path.resolve()), chip)
    if not found:
        raise FileError(path, "describes no chip", "at least one picture with a caption", "correct image_dir")
    stems = Counter(chip.path.stem for chip in found.values())
    named = Counter(f"{chip.path.parent.name}/{chip.path.stem}" for chip in found.values())
    return [_sample(chip, stems, named, pointcloud_dir) for chip in found.values()]


def caption_options(settings: dict[str, Any]) -> CaptionOptions:
    """What happens to the captions of a subset."""
    return CaptionOptions.model_validate({ours: settings[theirs] for theirs, ours in CAPTION_SETTINGS.items()})


def _place(path: Path, subset: Subset) -> Path:
    """What tells a subset from another: its metadata file, or else its folder."""
    stated = subset.stated.get("metadata_file") or subset.stated.get("image_dir")
    if not stated:
        raise OptionError(path, f"{subset.where} has no image_dir", "a folder of pictures", "add image_dir")
    folder = subset.stated.get("image_dir")
    if folder is not None and not Path(folder).is_dir():
        raise FileError(
            Path(folder),
            f"no such folder (image_dir of {subset.where} in {path})",
            "a folder of pictures; a relative path starts where the command runs",
            "correct image_dir, or run the command in the folder it starts from",
        )
    return Path(stated).resolve()


def _chips_of(path: Path, subset: Subset) -> list[_Found]:
    settings = subset.settings
    if "metadata_file" in subset.stated:
        captioned = _of_metadata(Path(settings["metadata_file"]), settings["image_dir"])
    else:
        captioned = _of_folder(path, subset)
    if not captioned:
        place = settings["metadata_file"] or settings["image_dir"]
        raise FileError(
            Path(place),
            f"holds no chip ({subset.where} in {path})",
            f"pictures directly in the folder: {', '.join(IMAGE_SUFFIXES)}",
            "correct image_dir; pictures in folders below it need subsets of their own",
        )
    options = caption_options(settings)
    before, after = settings["caption_prefix"], settings["caption_suffix"]
    return [
        _Found(
            picture, " ".join(part for part in (before, text, after) if part), source, settings["num_repeats"], options
        )
        for picture, text, source in captioned
    ]


def _of_folder(path: Path, subset: Subset) -> list[tuple[Path, str, str]]:
    folder, extension = Path(subset.settings["image_dir"]), subset.settings["caption_extension"]
    result = []
    for picture in _pictures(folder):
        file = picture.parent / (picture.stem + extension)
        if file.is_file():
            lines = read_text(file, "the caption of a chip").splitlines()
            if not lines or not lines[0].strip():
                raise DataError(file, "is empty", "the first line is the caption", "write the caption")
            result.append((picture, lines[0].strip(), str(file)))
        elif subset.settings["class_tokens"]:
            result.append((picture, subset.settings["class_tokens"], f"class_tokens of {subset.where} in {path}"))
        else:
            other = next((s for s in (".txt", ".caption") if (picture.parent / (picture.stem + s)).is_file()), None)
            raise FileError(
                file,
                f"no such file ({subset.where} in {path} has caption_extension = {extension!r})",
                "every chip has a caption file, or its subset has class_tokens",
                f"set caption_extension = {other!r}" if other else "write the caption",
            )
    return result


def _of_metadata(file: Path, image_dir: str | None) -> list[tuple[Path, str, str]]:
    """Entries ``{picture: {"caption": ..., "tags": ...}}``; a picture is a path, or a stem in ``image_dir``."""
    entries = read_json(file)
    if not isinstance(entries, dict):
        raise FileError(file, f"holds {shorten(entries)}", "a table of pictures", "write {picture: {caption: ...}}")
    by_stem = {} if image_dir is None else {p.stem: p for p in _pictures(Path(image_dir))}
    result = []
    for name, entry in entries.items():
        picture = Path(name) if Path(name).is_file() else by_stem.get(Path(name).stem)
        if picture is None:
            raise FileError(
                Path(name), f"no such picture, in {file}", "a path, or a name in image_dir", "correct the entry"
            )
        parts = [entry.get(key) for key in ("caption", "tags")] if isinstance(entry, dict) else []
        text = ", ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())
        if not text:
            raise DataError(file, f"{name!r}: {shorten(entry)}", "a caption, tags or both", "add a caption")
        result.append((picture, text, f"{file}: {name}"))
    return result


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def _joined(before: _Found | None, chip: _Found) -> _Found:
    if before is None:
        return chip
    if (before.text, before.captions) != (chip.text, chip.captions):
        raise DataError(
            chip.path,
            "stands in two subsets with other captions or other caption settings",
            "a chip has one caption and one way to shuffle and drop it",
            "give both subsets the same caption settings, or remove it from one of them",
        )
    return replace(before, repeats=before.repeats + chip.repeats)


def _sample(chip: _Found, stems: Counter[str], named: Counter[str], pointcloud_dir: Path | None) -> Sample:
    stem, folder = chip.path.stem, chip.path.parent
    caption = parse_caption(chip.text, chip.source)
    own = folder / "3d_features"
    features = pointcloud_dir if pointcloud_dir is not None else own if own.is_dir() else None
    prior = None
    if features is not None:
        prior = find_features(features / folder.name, stem)
        if prior is None and (stems[stem] == 1 or features == own):
            prior = find_features(features, stem)
    identity = stem if stems[stem] == 1 else f"{folder.name}/{stem}"
    if stems[stem] > 1 and named[identity] > 1:
        identity = chip.path.with_suffix("").as_posix()
    return Sample(
        identity,
        chip.path,
        caption,
        chip.text,
        None if caption.azimuth_deg is None else Pose(caption.azimuth_deg),
        prior,
        chip.repeats,
        captions=chip.captions,
    )
