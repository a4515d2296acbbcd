"""The published layout: class folders of ``<id>.png`` and ``<id>.txt``, features in ``3d_features/<id>.pt|.npy|.npz``."""

import re
from collections import Counter
from pathlib import Path

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import read_text
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.image import IMAGE_SUFFIXES
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.sample import Sample


@READERS.register("reference")
class ReferenceReader(Reader):
    """``<root>/train/data/train/<class>/``, or ``root`` itself as the parent of class folders or as one class folder.

    Folders called ``<repeats>_<class>`` are shown ``repeats`` times per epoch, bare ones once. An id is the file's stem,
    preceded by ``<class>/`` where two classes use the same stem. Features are looked for by ``<class>/<stem>`` first.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return any(True for folder, _, _ in _class_folders(root) for _ in _chips(folder))

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        features = pointcloud_dir or next((p for p in (root / "3d_features",) if p.is_dir()), None)
        found = [(chip, name, repeats) for folder, name, repeats in _class_folders(root) for chip in _chips(folder)]
        stems = Counter(chip.stem for chip, _, _ in found)
        samples = []
        for chip, name, repeats in found:
            stem = chip.stem
            prior = None
            if features is not None:
                prior = find_features(features / name, stem)
                if prior is None and stems[stem] == 1:
                    prior = find_features(features, stem)
            text = _caption_text(chip.with_suffix(".txt"))
            caption = parse_caption(text, str(chip.with_suffix(".txt")))
            pose = Pose(caption.azimuth_deg) if caption.azimuth_deg is not None else None
            identity = stem if stems[stem] == 1 else f"{name}/{stem}"
            samples.append(Sample(identity, chip, caption, text, pose, prior, repeats))
        return samples


def _class_folders(root: Path) -> list[tuple[Path, str, int]]:
    top = root / "train" / "data" / "train"
    top = top if top.is_dir() else root
    if any(_chips(top)):
        return [(top, top.name, 1)]
    result = []
    for folder in sorted(path for path in top.iterdir() if path.is_dir() and not path.name.startswith(".")):
        match = re.fullmatch(r"(\d+)_(.+)", folder.name)
        result.append((folder, match[2], int(match[1])) if match else (folder, folder.name, 1))
    return [entry for entry in result if entry[2] > 0]


def _chips(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))


def _caption_text(path: Path) -> str:
    lines = read_text(path, "every chip has a caption file of the same stem", "write the caption").splitlines()
    if not lines or not lines[0].strip():
        raise DataError(path, "is empty", "the first line is the caption", "write the caption")
    return lines[0].strip()
