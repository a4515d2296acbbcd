"""Folders of raw MSTAR chips."""

import re
from pathlib import Path

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.formats.phoenix import phoenix_facts
from geodiff_sar.data.phoenix import REMEDY, WHAT, is_phoenix, read_phoenix_header
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.files import file_ids, walk
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sectors import wrapped

TARGETS = {
    "2s1": "2S1",
    "bmp2": "BMP2",
    "brdm2": "BRDM2",
    "btr60": "BTR60",
    "btr70": "BTR70",
    "d7": "D7",
    "slicy": "SLICY",
    "t62": "T62",
    "t72": "T72",
    "zil131": "ZIL131",
    "zsu23-4": "ZSU23-4",
    "zsu23": "ZSU23-4",
}
"""First word of TargetType -> the usual name; other types are taken as written."""


@READERS.register("mstar")
class MstarReader(Reader):
    """Raw MSTAR chips (Phoenix header) at any depth; ids are file names. Other files are passed over.

    A file that ends in three digits but is no raw chip is an error, not another file.

    Azimuth: TargetAz turns the target under a radar that stands still (90: the radar sees its left side), this package's
    azimuth moves the radar clockwise round the target, so azimuth = 360 - TargetAz; established with simulated chips in
    docs/mstar.md. Depression: MeasuredDepression. Range grows away from RadarPosition.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return any(_candidate(path) and is_phoenix(path) for path in walk(root))

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        features = pointcloud_dir or next((p for p in (root / "3d_features",) if p.is_dir()), None)
        files = []
        for path in filter(_candidate, walk(root)):
            if is_phoenix(path):
                files.append(path)
            elif path.suffix:
                raise FileError(path, "does not begin with a Phoenix header", WHAT, REMEDY)
        return [_sample(path, identity, features) for path, identity in file_ids(root, files, suffix=True).items()]


def _candidate(path: Path) -> bool:
    return re.fullmatch(r"\.\d{3}|", path.suffix) is not None


def _sample(path: Path, identity: str, features: Path | None) -> Sample:
    header = read_phoenix_header(path)
    facts = phoenix_facts(header)
    kind = header.fields.get("TargetType", "").strip()
    if not kind:
        raise DataError(path, "its header has no TargetType", "every chip names its target", "leave clutter out")
    azimuth = header.number("TargetAz")
    target = TARGETS.get(kind.split("_")[0].lower(), kind)
    caption = Caption(
        target, str(facts.band), "High", facts.polarisation, None if azimuth is None else wrapped(360.0 - azimuth)
    )
    parse_caption(str(caption), str(path))
    if facts.depression_deg is not None and not 0 < facts.depression_deg < 90:
        raise DataError(path, f"MeasuredDepression is {facts.depression_deg:g}", "0 < depression < 90", REMEDY)
    return Sample(
        identity,
        path,
        caption,
        str(caption),
        None if caption.azimuth_deg is None else Pose(caption.azimuth_deg, facts.depression_deg),
        None if features is None else find_features(features, identity),
        remap=facts.remap,
        grid=facts.grid,
        serial=header.fields.get("TargetSerNum", "").upper() or None,
        origin="measured",
    )
