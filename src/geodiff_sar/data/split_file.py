"""Splits as files: which chip belongs to which part, decided before any training and sealed by a hash."""

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geodiff_sar.core.errors import DataError, FileError, OptionError
from geodiff_sar.core.files import read_json, require_file, sha256_file, sha256_json, write_json
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sectors import in_sector

FORMAT = "geodiff-sar split 1"
INLINE = "azimuth-sectors:0-30,90-120 | azimuth-sectors:30/90 | alternate | serials:132,C71 | a split file"

Sectors = list[tuple[float, float]]


@dataclass(frozen=True)
class SplitFile:
    """A split.

    Attributes:
        protocol: how it was made, in one line.
        data_sha256: of ids, files and labels, whatever their order.
        parts: ids of "train" and "test", sorted. Chips of the guard are in neither.
        sectors: held-out azimuth sectors [start, end), degrees; None for a split that is not one by sectors.
    """

    protocol: str
    data_sha256: str
    parts: dict[str, list[str]]
    sectors: Sectors | None = None

    def holds_out(self, azimuth_deg: float) -> bool:
        """Whether chips of this azimuth, of whatever set, belong to the test part; always, without sectors."""
        return self.sectors is None or any(in_sector(azimuth_deg, sector) for sector in self.sectors)

    @property
    def sha256(self) -> str:
        """Hash of everything else."""
        return sha256_json({"format": FORMAT, **asdict(self)})


def data_hash(samples: list[Sample]) -> str:
    """Hash of ids, files and the labels that splits go by, independent of order and folder."""
    rows = []
    for sample in samples:
        require_file(sample.image_path, "picture of a chip", "check the table, or restore the file")
        azimuth = None if sample.pose is None else sample.pose.azimuth_deg
        labels = [sample.caption.target, sample.caption.polarisation, sample.serial, azimuth]
        rows.append([sample.id, sha256_file(sample.image_path), *labels])
    return sha256_json(sorted(rows, key=lambda row: row[0]))


def write_split(path: Path, split: SplitFile) -> None:
    """Write a split atomically."""
    write_json(path, {"format": FORMAT, **asdict(split), "sha256": split.sha256})


def read_split(path: Path, samples: list[Sample]) -> SplitFile:
    """Read a split file and make sure that it is whole and of these chips.

    Raises:
        FileError: not a split file, or changed after it was made.
        DataError: the chips are not those that it was made of.
    """
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise FileError(
            path, "is not a split file", f'JSON with "format": "{FORMAT}"', "make it with geodiff-sar split"
        )
    try:
        split = SplitFile(
            str(value["protocol"]), str(value["data_sha256"]), _parts(value["parts"]), _pairs(value["sectors"])
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileError(
            path, f"is damaged ({error!r})", "protocol, data_sha256, parts, sectors", "make it anew"
        ) from error
    if value.get("sha256") != split.sha256:
        raise FileError(
            path,
            f"its hash is {value.get('sha256')}, its content has {split.sha256}",
            "a split is not changed after it was made",
            "restore the file, or make another one with geodiff-sar split",
        )
    unknown = sorted({i for part in split.parts.values() for i in part} - {sample.id for sample in samples})
    if unknown:
        raise DataError(
            path, f"{len(unknown)} chips that are not in the data, such as {unknown[0]}", "all are there", REMEDY
        )
    if split.data_sha256 != data_hash(samples):
        raise DataError(path, "the data are not those that it was made of", "the same chips, by content", REMEDY)
    return split


REMEDY = "restore the data and --classes (data.classes), or make a new split with geodiff-sar split"


def parse_split(text: str, samples: list[Sample]) -> SplitFile:
    """A split from a file or from its inline form, see INLINE.

    Raises:
        OptionError: neither.
        DataError: it leaves a part empty, or chips without azimuth.
    """
    kind, _, rest = text.partition(":")
    if kind == "azimuth-sectors" and rest:
        return split_by_sectors(samples, _sectors(rest, text))
    if text == "alternate":
        return split_alternate(samples)
    if kind == "serials" and rest:
        return split_by_serials(samples, [name.strip() for name in rest.split(",")])
    if Path(text).is_file():
        return read_split(Path(text), samples)
    raise OptionError("--split", repr(text), INLINE, "correct it, or make a file with geodiff-sar split")


def periodic_sectors(width_deg: float, every_deg: float, start_deg: float = 0.0) -> Sectors:
    """Sectors [start + k every, + width), k = 0, 1, ... round the circle.

    Raises:
        OptionError: ``every`` does not divide 360, or sectors leave nothing between them.
    """
    turns = 360.0 / every_deg if every_deg > 0 else 0.5
    if not (width_deg > 0 and abs(turns - round(turns)) < 1e-9 and width_deg < every_deg):
        raise OptionError(
            "--sectors and --every",
            f"{width_deg:g} and {every_deg:g} degrees",
            "0 < sectors < every, and every divides 360",
            "such as --sectors 30 --every 90",
        )
    begins = [(start_deg + k * every_deg) % 360.0 for k in range(round(turns))]
    return [(begin, (begin + width_deg) % 360.0) for begin in begins]


def split_by_sectors(samples: list[Sample], sectors: Sectors, guard_deg: float = 0.0) -> SplitFile:
    """Test: chips within the sectors; chips within ``guard_deg`` outside them belong to no part; train: the rest."""
    _need_azimuths(samples)
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for sample in samples:
        assert sample.pose is not None
        azimuth = sample.pose.azimuth_deg
        if any(in_sector(azimuth, sector) for sector in sectors):
            parts["test"].append(sample.id)
        elif not any(_in_guard(azimuth, sector, guard_deg) for sector in sectors):
            parts["train"].append(sample.id)
    listed = ",".join(f"{begin:g}-{end:g}" for begin, end in sectors)
    guard = f", guard {guard_deg:g} degrees" if guard_deg else ""
    return _split(f"azimuth-sectors:{listed}{guard}", parts, samples, sectors)


def split_alternate(samples: list[Sample]) -> SplitFile:
    """Every other chip in azimuth order of each target, serial and polarisation: a split among near neighbours, which
    tests interpolation by a degree or two, not new aspects."""
    _need_azimuths(samples)
    groups: dict[tuple[str, str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.caption.target, str(sample.serial), str(sample.caption.polarisation)].append(sample)
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for group in groups.values():
        ordered = sorted(group, key=lambda s: (0.0 if s.pose is None else s.pose.azimuth_deg, s.id))
        parts["train"] += [sample.id for sample in ordered[::2]]
        parts["test"] += [sample.id for sample in ordered[1::2]]
    return _split("alternate", parts, samples)


def split_by_serials(samples: list[Sample], serials: list[str]) -> SplitFile:
    """Test: these specimens."""
    known = sorted({sample.serial for sample in samples if sample.serial is not None})
    unknown = [name for name in serials if name not in known]
    if unknown:
        raise OptionError("--split", f"serials {unknown}", f"serials of the data: {known}", "choose among these")
    parts = {
        "train": [sample.id for sample in samples if sample.serial not in serials],
        "test": [sample.id for sample in samples if sample.serial in serials],
    }
    return _split(f"serials:{','.join(serials)}", parts, samples)


def _split(
    protocol: str, parts: dict[str, list[str]], samples: list[Sample], sectors: Sectors | None = None
) -> SplitFile:
    for name, ids in parts.items():
        if not ids:
            raise DataError(
                "--split", f"{protocol} leaves no chip in '{name}'", "both parts hold chips", "split otherwise"
            )
    return SplitFile(protocol, data_hash(samples), {name: sorted(ids) for name, ids in parts.items()}, sectors)


def _pairs(value: Any) -> Sectors | None:
    return None if value is None else [(float(start), float(end)) for start, end in value]


def _parts(value: Any) -> dict[str, list[str]]:
    parts = {name: [str(identity) for identity in value[name]] for name in ("train", "test")}
    if set(parts["train"]) & set(parts["test"]) or set(value) != set(parts):
        raise TypeError("train and test, without a common chip")
    return parts


def _sectors(text: str, whole: str) -> Sectors:
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)/(\d+(?:\.\d+)?)(?:\+(\d+(?:\.\d+)?))?", text):
        return periodic_sectors(float(match[1]), float(match[2]), float(match[3] or 0.0))
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)\s*", part)
        if match is None or not (float(match[1]) < 360.0 and float(match[2]) <= 360.0):
            raise OptionError(
                "--split", repr(whole), "sectors such as 0-30,330-10; or width/every", "correct the sectors"
            )
        found.append((float(match[1]), float(match[2]) % 360.0))
    return found


def _in_guard(azimuth: float, sector: tuple[float, float], guard: float) -> bool:
    if (sector[1] - sector[0]) % 360.0 + 2.0 * guard >= 360.0:
        return True
    return guard > 0 and in_sector(azimuth, ((sector[0] - guard) % 360.0, (sector[1] + guard) % 360.0))


def _need_azimuths(samples: list[Sample]) -> None:
    missing = [sample.id for sample in samples if sample.pose is None]
    if missing:
        raise DataError(
            "--split", f"chips without azimuth: {missing[:5]}", "a split by azimuth needs all", "split by serial"
        )
