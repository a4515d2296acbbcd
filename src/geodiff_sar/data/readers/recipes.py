"""Folders of PNGs that this tool generated or simulated: the recipe inside each says what it shows."""

from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.formats import file_facts
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.files import file_ids, walk
from geodiff_sar.data.recipe import find_recipe
from geodiff_sar.data.sample import Sample

SHEETS = ("*contact_sheet*.png", "*_sheet.png")
"""Names of the tool's own contact sheets, which hold no recipe."""


@READERS.register("recipes")
class RecipesReader(Reader):
    """PNGs written by ``generate``, ``prior`` or ``simulate``, at any depth: caption, pose and pixels from their recipes.

    Contact sheets are passed over; any other PNG without such a recipe is an error. Point features are those that a chip
    was generated from, if they are still there unchanged, or those beside a simulated chip.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return any(not p.with_suffix(".txt").is_file() and find_recipe(p) is not None for p in _pictures(root))

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        files, foreign = [], []
        for path in _pictures(root):
            facts = file_facts(path)
            if facts is not None:
                files.append(path)
            elif not any(path.match(pattern) for pattern in SHEETS):
                foreign.append(path)
        if foreign:
            raise FileError(
                root,
                f"{len(foreign)} PNGs hold no recipe of a chip: {', '.join(str(p) for p in foreign[:5])}",
                "chips that this tool generated or simulated, and its contact sheets",
                "move the others elsewhere, or describe the folder by metadata.csv",
            )
        return [_sample(path, identity, pointcloud_dir) for path, identity in file_ids(root, files).items()]


def _pictures(root: Path) -> list[Path]:
    return [path for path in walk(root) if path.suffix.lower() == ".png"]


def _sample(path: Path, identity: str, pointcloud_dir: Path | None) -> Sample:
    facts = file_facts(path)
    assert facts is not None
    assert facts.recipe is not None
    text = str(facts.recipe.get("caption"))
    caption = parse_caption(text, f"recipe in {path}")
    pose = recipe_pose(path, facts.recipe)
    if pose is None and caption.azimuth_deg is not None:
        pose = Pose(caption.azimuth_deg)
    prior = find_features(pointcloud_dir, identity) if pointcloud_dir else _own_prior(path, facts.recipe)
    return Sample(identity, path, caption, text, pose, prior, remap=facts.remap, grid=facts.grid, origin=facts.origin)


def recipe_pose(path: Path, recipe: dict[str, Any]) -> Pose | None:
    """The pose that a recipe states, or None.

    Raises:
        DataError: impossible angles.
    """
    pose = recipe.get("pose")
    if pose is None:
        return None
    try:
        depression = pose.get("depression_deg")
        return Pose(float(pose["azimuth_deg"]), None if depression is None else float(depression))
    except (AttributeError, KeyError, TypeError, ValueError, OptionError) as error:
        raise DataError(
            path, f"the pose of its recipe is {pose!r}", "azimuth_deg and depression_deg", "make it again"
        ) from error


def _own_prior(path: Path, recipe: dict[str, Any]) -> Path | None:
    """The features that the recipe names, or those that ``prior`` writes above the folder of its chips."""
    if recipe["kind"] == "simulated":
        return find_features(path.parent.parent, path.stem) if path.parent.name == "chips" else None
    entry = (recipe.get("files") or {}).get("pointcloud")
    if not entry or not Path(entry["path"]).is_file():
        return None
    return Path(entry["path"]) if sha256_file(Path(entry["path"])) == entry["sha256"] else None
