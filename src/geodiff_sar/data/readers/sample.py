"""Folders laid out as the SAMPLE data set: measured and synthetic MSTAR targets."""

import re
from collections import defaultdict
from pathlib import Path

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.formats import file_facts
from geodiff_sar.data.pixels import UNKNOWN_GRID, PixelRemap
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.files import file_ids, walk
from geodiff_sar.data.sample import Origin, Sample
from geodiff_sar.data.sectors import wrapped

NAME = re.compile(
    r"(?P<target>[^_]+)_(?P<origin>real|synth)_[A-Za-z]+_elevDeg_(?P<elevation>\d{3})"
    r"_azCenter_(?P<degrees>\d{3})_(?P<hundredths>\d{2})_serial_(?P<serial>[^_.]+)\.(?P<kind>png|mat)"
)
ORIGINS: dict[str, Origin] = {"real": "measured", "synth": "simulated"}
REMAPS = {
    "qpm": PixelRemap(kind="power", exponent=0.5, scaling="per-chip"),
    "decibel": PixelRemap(kind="nonlinear", name="SAMPLE decibel", scaling="per-chip"),
}


@READERS.register("sample")
class SampleReader(Reader):
    """SAMPLE: ``png_images/{qpm,decibel}/{real,synth}/<class>`` and ``mat_files/{real,synth}/<class>``, or one of these.

    The root has to hold one kind of pixels and one origin: ``png_images/qpm/real``, for example. File names give target,
    elevation (as depression), azimuth and serial: ``2s1_real_A_elevDeg_015_azCenter_010_22_serial_b01.png``.

    From the data set's own description: "qpm" (quarter power magnitude) is the square root of the magnitude, "decibel" is
    20 log10 of it, each scaled to 0..255. That each chip has its own scale is assumed here, and the range of the decibels is
    not stated, so they are a nonlinear remap. ``mat_files`` hold complex images (Lewis et al. 2019, Proc. SPIE 10987).
    Assumed, not measured: azCenter turns as MSTAR's TargetAz, azimuth = 360 - azCenter. The direction of range is not
    stated; give it in a ``dataset.toml`` with ``layout = "sample"``.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return any(NAME.fullmatch(path.name) for path in walk(root))

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        features = pointcloud_dir or next((p for p in (root / "3d_features",) if p.is_dir()), None)
        found = {path: match for path in walk(root) if (match := NAME.fullmatch(path.name))}
        kinds: dict[str, list[Path]] = defaultdict(list)
        for path, match in found.items():
            kinds[f"{_pixels(path)} {match['origin']}"].append(path)
        if len(kinds) > 1:
            listed = "; ".join(f"{name}: {len(paths)} chips, such as {paths[0]}" for name, paths in kinds.items())
            raise DataError(
                root,
                f"holds several kinds of chips ({listed})",
                "one kind of pixels, real or synth",
                "point to one of these folders, such as png_images/qpm/real",
            )
        ids = file_ids(root, list(found))
        return [_sample(path, match, ids[path], features) for path, match in found.items()]


def _pixels(path: Path) -> str:
    """The folder above that names the law of the pixels; "mat" for complex images."""
    if path.suffix == ".mat":
        return "mat"
    names = [folder.name for folder in path.absolute().parents if folder.name in REMAPS]
    if not names:
        raise DataError(
            path, "lies in neither qpm nor decibel", "the folder names the law of the pixels", "keep SAMPLE's folders"
        )
    return names[0]


def _sample(path: Path, match: re.Match[str], identity: str, features: Path | None) -> Sample:
    azimuth = wrapped(360.0 - float(f"{match['degrees']}.{match['hundredths']}"))
    caption = Caption(match["target"].upper(), "X", "High", "HH", azimuth)
    parse_caption(str(caption), str(path))
    elevation = float(match["elevation"])
    if not 0 < elevation < 90:
        raise DataError(path, f"elevation {elevation:g} in its name", "0 < elevation < 90", "rename or remove it")
    facts = file_facts(path) if path.suffix == ".mat" else None
    return Sample(
        identity,
        path,
        caption,
        str(caption),
        Pose(azimuth, elevation),
        None if features is None else find_features(features, identity),
        remap=facts.remap if facts else REMAPS[_pixels(path)],
        grid=facts.grid if facts else UNKNOWN_GRID,
        serial=match["serial"].upper(),
        origin=ORIGINS[match["origin"]],
    )
