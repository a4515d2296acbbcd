"""Data layouts: each reader turns a folder into samples. A new layout is one new file here."""

from collections.abc import Sequence
from pathlib import Path

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.registry import Registry
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.sample import Sample

READERS: Registry[type[Reader]] = Registry("data layout", "data.layout", "geodiff_sar.data.readers")

FIRST, LAST = ("described", "table"), "reference"
"""A description or a table rules whatever else lies in the folder; class folders of pictures are what is left."""


def read_samples(
    root: Path, layout: str = "auto", pointcloud_dir: Path | None = None, classes: Sequence[str] = ()
) -> list[Sample]:
    """All samples below ``root``, sorted by id.

    Args:
        root: the data folder, or a ``dataset.toml``.
        layout: a name of READERS, or "auto" for the one that recognises the folder.
        pointcloud_dir: folder of the point features; None: where the layout keeps them.
        classes: targets to take, by the name in captions; empty: all.

    Raises:
        FileError: no such folder, or no layout recognises it, or several do.
        DataError: a caption is missing or does not parse, two samples have one id, or no chip shows one of the classes.
    """
    described = root.suffix == ".toml" and root.is_file()
    if not root.is_dir() and not described:
        raise FileError(
            root, "no such folder", "data.root is a folder of chips, or the dataset.toml of one", "correct data.root"
        )
    if pointcloud_dir is not None and not pointcloud_dir.is_dir():
        raise FileError(pointcloud_dir, "no such folder", "data.pointcloud_dir is a folder", "correct the path")
    if described and layout not in ("auto", "described"):
        raise FileError(
            root, f"given with layout '{layout}'", "a .toml file has the layout 'described'", "drop the layout"
        )
    if layout == "auto":
        layout = "described" if described else find_layout(root)
    samples = READERS.get(layout).read(root, pointcloud_dir)
    if not samples:
        raise FileError(
            root, f"no chips found in layout '{layout}'", "at least one chip with a caption", "check the folder"
        )
    return ordered_samples(root, samples, classes)


def ordered_samples(source: Path, samples: list[Sample], classes: Sequence[str] = ()) -> list[Sample]:
    """Samples of the targets ``classes`` (empty: of all), sorted by id.

    Raises:
        DataError: two samples have one id, or no chip shows one of the classes.
    """
    seen: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in seen:
            raise DataError(
                source,
                f"two chips have the id {sample.id!r}: {seen[sample.id].image_path} and {sample.image_path}",
                "ids are unique",
                "rename one of them",
            )
        seen[sample.id] = sample
    return sorted(_of_classes(source, samples, classes), key=lambda sample: sample.id)


def _of_classes(root: Path, samples: list[Sample], classes: Sequence[str]) -> list[Sample]:
    known = sorted({sample.caption.target for sample in samples})
    unknown = [name for name in classes if name not in known]
    if unknown:
        raise DataError(
            "classes",
            f"{', '.join(unknown)}: no chip in {root} shows it",
            f"classes are {', '.join(known)}",
            "correct it",
        )
    return [sample for sample in samples if not classes or sample.caption.target in classes]


def find_layout(root: Path) -> str:
    """The layout of a folder.

    Raises:
        FileError: no layout recognises it, or several do.
    """
    names = READERS.names()
    first = next((name for name in FIRST if READERS.get(name).detect(root)), None)
    if first is not None:
        return first
    if (root / "train" / "data" / "train").is_dir():
        return LAST
    found = [name for name in names if name not in (*FIRST, LAST) and READERS.get(name).detect(root)]
    if len(found) > 1:
        raise FileError(
            root,
            f"looks like each of the layouts {', '.join(found)}",
            "one layout",
            "name it (data.layout, --layout), or point to a folder below it",
        )
    if found:
        return found[0]
    if not READERS.get(LAST).detect(root):
        raise FileError(
            root,
            "no chips found",
            f"one of the layouts {', '.join(names)} (docs/formats.md)",
            "point data.root at the folder that holds metadata.csv|jsonl, train/data/train or the class folders",
        )
    return LAST
