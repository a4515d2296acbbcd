"""Folders of SICD chips."""

from pathlib import Path

from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.features import find_features
from geodiff_sar.data.readers import READERS
from geodiff_sar.data.readers.base import Reader
from geodiff_sar.data.readers.files import file_ids, walk
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sicd import SUFFIXES, sicd_facts


@READERS.register("sicd")
class SicdReader(Reader):
    """SICD chips at any depth (needs the extra ``sicd``); the target is the name of the folder that a chip lies in.

    The file knows where the sensor stood, not where the target's nose points, so chips have a sensor azimuth and no pose.
    Where aspects are known, list the files in a ``metadata.csv``: pixels, sensor azimuth and depression still come from them.
    """

    @staticmethod
    def detect(root: Path) -> bool:
        return any(path.suffix.lower() in SUFFIXES for path in walk(root))

    @staticmethod
    def read(root: Path, pointcloud_dir: Path | None) -> list[Sample]:
        files = [path for path in walk(root) if path.suffix.lower() in SUFFIXES]
        features = pointcloud_dir or next((p for p in (root / "3d_features",) if p.is_dir()), None)
        samples = []
        for path, identity in file_ids(root, files).items():
            facts = sicd_facts(path)
            caption = Caption(path.absolute().parent.name, str(facts.band), "High", facts.polarisation)
            parse_caption(str(caption), f"{path} (the target is the name of its folder)")
            prior = None if features is None else find_features(features, identity)
            samples.append(
                Sample(
                    identity,
                    path,
                    caption,
                    str(caption),
                    None,
                    prior,
                    remap=facts.remap,
                    grid=facts.grid,
                    sensor_azimuth_deg=facts.sensor_azimuth_deg,
                    origin=facts.origin,
                )
            )
        return samples
