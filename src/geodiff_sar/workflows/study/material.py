"""Chips, split and views of a study: what is trained on, and what is generated over again."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import sha256_file, sha256_json
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.pixels import quarter_turns
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.reference import ReferencePool
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.split_file import SplitFile, periodic_sectors, read_split, split_by_sectors, write_split
from geodiff_sar.sampling.recipe import write_chip
from geodiff_sar.workflows.run_folder import data_fingerprint
from geodiff_sar.workflows.simulate import SimulateRequest, simulate
from geodiff_sar.workflows.study.jobs import DATA_FOLDER, FIRST_DATA_FOLDER, SPLIT_FILE, Job
from geodiff_sar.workflows.study.options import StudyConfig

Part = Literal["held out", "trained"]
PARTS: tuple[Part, ...] = ("held out", "trained")


@dataclass(frozen=True)
class View:
    """A chip that is generated over again: its caption, azimuth and prior.

    Attributes:
        sample: the chip itself, which shows what is right.
        part: whether its azimuth lies in a held-out sector or in a trained one.
    """

    sample: Sample
    part: Part

    @property
    def azimuth_deg(self) -> float:
        """Target aspect."""
        assert self.sample.pose is not None
        return self.sample.pose.azimuth_deg


@dataclass(frozen=True)
class Material:
    """What all rows share.

    Attributes:
        out: folder of the study.
        simulated: whether the chips were simulated for it.
        training, held_out: the two parts of the chips; those of a guard are in neither.
        left_out: chips of the trained sectors that nothing is trained on but the instruments.
        split: the sealed split.
        views: what every adapter generates, the held-out ones first.
        sha256: of both parts with their priors, and of the chips of the first training.
    """

    out: Path
    simulated: bool
    training: list[Sample]
    held_out: list[Sample]
    left_out: list[Sample]
    split: SplitFile
    views: list[View]
    sha256: str
    _hashes: dict[Path, str] = field(default_factory=dict)
    _references: dict[str, Path] = field(default_factory=dict)

    def reference_of(self, view: View) -> Path:
        """A picture of the training chip that the protocol allows for this view: the same target at the nearest azimuth.

        Where the pictures of the data are turned for training, it is a turned copy in the study's folder.

        Raises:
            DataError: no other chip of the target in the training part.
        """
        if view.sample.id not in self._references:
            self._references[view.sample.id] = self._find_reference(view)
        return self._references[view.sample.id]

    def _find_reference(self, view: View) -> Path:
        found = ReferencePool(self.training, self._content).choose(view.sample)
        if found is None:
            raise DataError(
                view.sample.id,
                f"no training chip of {view.sample.caption.target} to serve as its reference",
                "a target has at least one other chip in the training part",
                'set data.image_condition = "none" for this row',
            )
        if not quarter_turns(found.grid):
            return found.image_path
        path = self.out / "references" / f"{self._content(found.image_path)[:16]}.png"
        if not path.is_file():
            write_chip(path, load_in_frame(found.image_path, found.grid), {"kind": "reference", "id": found.id})
        return path

    def _content(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = sha256_file(path)
        return self._hashes[path]


def prepare(config: StudyConfig, out: Path, workers: int | None = None) -> Material:
    """Simulate or read the chips, split them once, and decide on the views.

    Raises:
        GeodiffError: data that cannot be read, or a folder whose split was made otherwise or of other chips.
    """
    data = config.data
    if data.simulate is not None:
        simulate(SimulateRequest(data.simulate, out / DATA_FOLDER, workers))
        samples = read_samples(out / DATA_FOLDER)
    else:
        assert data.root is not None
        samples = read_samples(data.root, data.layout, data.pointcloud_dir, data.classes)
    split, left = _sealed(config, samples, out / SPLIT_FILE)
    parts = {name: set(ids) for name, ids in split.parts.items()}
    training = [sample for sample in samples if sample.id in parts["train"]]
    held_out = [sample for sample in samples if sample.id in parts["test"]]
    left_out = [sample for sample in samples if sample.id in left]
    _require_both(training, held_out)
    views = [View(sample, "held out") for sample in held_out]
    views += [View(sample, "trained") for sample in every_nth(training, config.generate.trained_every)]
    prints = data_fingerprint(training, held_out)
    if config.first is not None:
        simulate(SimulateRequest(config.first.simulate, out / FIRST_DATA_FOLDER, workers))
        prints["first"] = data_fingerprint(read_samples(out / FIRST_DATA_FOLDER), [])["training"]
    sha256 = sha256_json(prints)
    return Material(out, data.simulate is not None, training, held_out, left_out, split, views, sha256)


def every_nth(samples: Sequence[Sample], n: int) -> list[Sample]:
    """Every n-th chip in azimuth order of each target and polarisation; none for n = 0."""
    groups: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.caption.target, str(sample.caption.polarisation)].append(sample)
    found: list[Sample] = []
    for _, group in sorted(groups.items()):
        ordered = sorted(group, key=lambda s: (0.0 if s.pose is None else s.pose.azimuth_deg, s.id))
        found += ordered[n // 2 :: n] if n else []
    return found


def require_priors(material: Material, jobs: Sequence[Job]) -> None:
    """Every chip has its prior where a row needs it.

    Raises:
        DataError: names chips without, and the rows that need them.
    """
    rows = list(dict.fromkeys(job.row.name for job in jobs if job.with_geometry))
    chips = [*material.training, *material.held_out]
    missing = [sample.id for sample in chips if sample.prior_path is None]
    if rows and missing:
        raise DataError(
            "data.pointcloud_dir",
            f"no prior for {len(missing)} of {len(chips)} chips, such as {', '.join(missing[:3])}",
            f"the rows {', '.join(rows)} are conditioned on geometry",
            "trace them with `geodiff-sar chip-priors`, set data.pointcloud_dir, or choose other rows with --row",
        )


def _sealed(config: StudyConfig, samples: list[Sample], path: Path) -> tuple[SplitFile, set[str]]:
    """The split, and the ids of chips that ``split.train_every`` leaves out."""
    options = config.split
    sectors = periodic_sectors(options.sectors_deg, options.every_deg, options.start_deg)
    whole = split_by_sectors(samples, sectors, options.guard_deg)
    made = whole if options.train_every == 1 else _thinned(whole, samples, options.train_every)
    if not path.is_file():
        write_split(path, made)
    elif read_split(path, samples).sha256 != made.sha256:
        raise FileError(path, "holds another split", "a split is made once", "restore [split], or choose another --out")
    return made, {*whole.parts["train"]} - {*made.parts["train"]}


def _thinned(split: SplitFile, samples: list[Sample], every: int) -> SplitFile:
    trained = {*split.parts["train"]}
    kept = every_nth([sample for sample in samples if sample.id in trained], every)
    parts = {**split.parts, "train": sorted(sample.id for sample in kept)}
    return replace(split, protocol=f"{split.protocol}, one in {every} training chips", parts=parts)


def _require_both(training: list[Sample], held_out: list[Sample]) -> None:
    counts = [Counter(sample.caption.target for sample in part) for part in (training, held_out)]
    lacking = sorted(set(counts[0]) ^ set(counts[1]))
    if lacking:
        raise DataError(
            "split", f"{', '.join(lacking)} is in one part only", "both parts show every target", "choose other sectors"
        )
