"""Which priors measured chips need: the settings, targets matched to classes, and one view for chips that share it."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import progress_bar, say, warn
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.core.files import sha256_json
from geodiff_sar.core.types import Pose
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.sectors import in_sector
from geodiff_sar.geometry.engines import ENGINES
from geodiff_sar.geometry.mesh_file import SUFFIXES
from geodiff_sar.geometry.prior import PriorOptions
from geodiff_sar.geometry.radar import Polarisation, RadarOptions, load_radar
from geodiff_sar.workflows.trace_checks import DEPRESSIONS, pose_bytes, require_above_ground
from geodiff_sar.workflows.tracing import Target, TargetOptions, resolve_target


class ChipPriorConfig(Options):
    """Everything ``geodiff-sar chip-priors`` reads."""

    remedy: ClassVar[str] = "correct these keys; docs/your_own_cad.md shows a file"

    targets: tuple[TargetOptions, ...] = Field(
        min_length=1, description="models; the label of each is the class, as captions name it"
    )
    classes: list[str] = Field(default=[], description="classes to take, each with a target; empty: all that have one")
    depression_deg: float | None = Field(
        default=None, ge=DEPRESSIONS[0], le=DEPRESSIONS[1], description="of chips that do not state theirs, degrees"
    )
    polarisation: Polarisation | None = Field(default=None, description="of chips that do not state theirs")
    align: int | None = Field(
        default=None, ge=1, description="move every prior onto its chip, by at most so many pixels; None: leave it"
    )
    hold_out: list[tuple[float, float]] = Field(
        default=[],
        description="azimuth sectors [start, end), degrees, whose chips are not looked at: their priors are moved to where"
        " the target stands on the other chips",
    )
    radar: str = Field(default="uav-ku", description="preset or .toml file; see `geodiff-sar list radars`")
    radar_set: tuple[str, ...] = Field(default=(), description="key=value overrides of the radar")
    prior: PriorOptions = PriorOptions()

    @model_validator(mode="after")
    def _used(self) -> "ChipPriorConfig":
        if self.hold_out and self.align is None:
            raise ValueError("hold_out is about moving priors, and align is not set")
        return self


@dataclass(frozen=True)
class ChipView:
    """One trace and the chips that it serves.

    Attributes:
        target: what is traced.
        radar: with the grid of the chips.
        pose: azimuth and depression of the chips.
        chips: the chips of this pose, each with its polarisation.
        held_out: whether these chips are not to be looked at.
    """

    target: Target
    radar: RadarOptions
    pose: Pose
    chips: tuple[tuple[Sample, str], ...]
    held_out: bool = False

    @property
    def polarisations(self) -> list[str]:
        """Those that occur."""
        return sorted({polarisation for _, polarisation in self.chips})


@dataclass(frozen=True)
class ChipPlan:
    """Checked settings.

    Attributes:
        config: as given.
        targets: those that have chips.
        views: what is to be traced.
        skipped: chips of each class without a target.
        fingerprint: hash of all settings; what belongs to single chips is kept in their priors.
        pose_bytes: about how much memory one view needs.
    """

    config: ChipPriorConfig
    targets: tuple[Target, ...]
    views: tuple[ChipView, ...]
    skipped: dict[str, int]
    fingerprint: str
    pose_bytes: int


def with_meshes(config: ChipPriorConfig, folder: Path | None) -> ChipPriorConfig:
    """The configuration with relative mesh files looked up in ``folder``."""
    if folder is None:
        return config

    def found(target: TargetOptions) -> TargetOptions:
        is_file = Path(target.source).suffix.lower() in SUFFIXES
        added = tuple(folder / path for path in target.mesh.add)
        mesh = target.mesh.model_copy(update={"add": added})
        return target.model_copy(update={"source": str(folder / target.source), "mesh": mesh}) if is_file else target

    return config.model_copy(update={"targets": tuple(found(target) for target in config.targets)})


def make_chip_plan(config: ChipPriorConfig, samples: list[Sample]) -> ChipPlan:
    """Match chips to targets and check everything before the first ray.

    Rows, columns and pixel spacings are those of each chip; everything else about the radar is the configuration's.

    Raises:
        GeodiffError: the first thing that cannot be used.
    """
    ENGINES.get(config.prior.engine)
    radar = load_radar(config.radar, list(config.radar_set))
    options = _by_label(config)
    present = Counter(sample.caption.target for sample in samples)
    _require_targets(config, options, present)
    wanted = [name for name in options if present[name] and (not config.classes or name in config.classes)]
    targets = {name: resolve_target(options[name], radar.wavelength_m) for name in wanted}
    for target in targets.values():
        require_above_ground(target.label, target.mesh, config.prior)
    grouped: dict[tuple[str, Pose, RadarOptions], list[tuple[Sample, str]]] = {}
    chosen = [sample for sample in samples if sample.caption.target in targets]
    for sample, shape in zip(chosen, _shapes(chosen), strict=True):
        pose, polarisation = _pose(sample, config), _polarisation(sample, config)
        grouped.setdefault((sample.caption.target, pose, _radar_of(sample, shape, radar)), []).append(
            (sample, polarisation)
        )
    views = tuple(
        ChipView(targets[name], own, pose, tuple(chips), any(in_sector(pose.azimuth_deg, s) for s in config.hold_out))
        for (name, pose, own), chips in grouped.items()
    )
    _say_grid(radar, views, chosen)
    per_pose = max(
        pose_bytes(view.target.mesh, [view.pose], view.radar, config.prior, len(view.polarisations)) for view in views
    )
    fingerprint = sha256_json(
        {
            "prior": config.prior.model_dump(mode="json"),
            "radar": radar.model_dump(mode="json"),
            "targets": [[target.label, target.mesh.content_hash] for target in targets.values()],
            "align": [config.align, config.hold_out],
        }
    )
    skipped = {name: number for name, number in sorted(present.items()) if name not in targets}
    return ChipPlan(config, tuple(targets.values()), views, skipped, fingerprint, per_pose)


def _by_label(config: ChipPriorConfig) -> dict[str, TargetOptions]:
    unnamed = [target.source for target in config.targets if target.label is None]
    if unnamed:
        raise OptionError(
            "targets", f"{', '.join(unnamed)} without a label", "the label of a target is its class", "add label = ..."
        )
    labels = {str(target.label): target for target in config.targets}
    if len(labels) != len(config.targets):
        raise OptionError("targets", "two have one label", "one target for every class", "remove one of them")
    return labels


def _require_targets(config: ChipPriorConfig, options: dict[str, TargetOptions], present: Counter[str]) -> None:
    lacking = [name for name in config.classes if name not in options or not present[name]]
    if lacking or not any(present[name] for name in options):
        raise OptionError(
            "classes" if lacking else "targets",
            f"{', '.join(lacking or options)}: no target or no chip has this name",
            f"targets are {', '.join(options)}; the chips show {', '.join(sorted(present))}",
            "correct the classes, or the labels of the targets",
        )


def _shapes(samples: list[Sample]) -> list[tuple[int, ...]]:
    shapes = []
    with progress_bar() as bar:
        line = bar.add_task("reading chips", total=len(samples), note="")
        for sample in samples:
            shapes.append(load_in_frame(sample.image_path, sample.grid).shape)
            bar.advance(line)
    return shapes


def _pose(sample: Sample, config: ChipPriorConfig) -> Pose:
    pose = sample.pose
    if pose is None:
        raise DataError(sample.id, "has no azimuth", "a prior is traced at the azimuth of its chip", "state it")
    depression = config.depression_deg if pose.depression_deg is None else pose.depression_deg
    if depression is None:
        raise DataError(
            sample.id, "has no depression", "from the chips or from the configuration", "set depression_deg = ..."
        )
    if not DEPRESSIONS[0] <= depression <= DEPRESSIONS[1]:
        low, high = DEPRESSIONS
        raise DataError(sample.id, f"a depression of {depression:g}", f"{low} to {high} degrees", "correct it")
    return replace(pose, depression_deg=depression)


def _polarisation(sample: Sample, config: ChipPriorConfig) -> str:
    polarisation = sample.caption.polarisation or config.polarisation
    if polarisation is None:
        raise DataError(
            sample.id, "has no polarisation", "from the caption or from the configuration", 'set polarisation = "HH"'
        )
    return polarisation


def _radar_of(sample: Sample, shape: tuple[int, ...], radar: RadarOptions) -> RadarOptions:
    """The radar with the grid of a chip."""
    if sample.caption.band != radar.band:
        raise OptionError(
            "radar",
            f"band {radar.band}, and {sample.id} is an image of band {sample.caption.band}",
            "chips and radar have one band",
            "choose another radar, or set its band: radar_set = ['band=...']",
        )
    own = {"rows": shape[0], "columns": shape[1]}
    spacings = {name: getattr(sample.grid, name) for name in ("pixel_range_m", "pixel_cross_range_m")}
    return radar.model_copy(update={**own, **{k: v for k, v in spacings.items() if v is not None}}).checked()


def _say_grid(radar: RadarOptions, views: tuple[ChipView, ...], chips: list[Sample]) -> None:
    names = ("rows", "columns", "pixel_cross_range_m", "pixel_range_m")
    grids = {tuple(getattr(view.radar, name) for name in names) for view in views}
    for rows, columns, cross, slant in sorted(grids):
        if (rows, columns, cross, slant) != tuple(getattr(radar, name) for name in names):
            say(f"grid of the chips: {rows} x {columns} pixels of {cross:g} m in cross-range and {slant:g} m in range")
    unknown = sum(sample.grid.range_direction is None for sample in chips)
    if unknown:
        warn(
            f"{unknown} chips do not say where range grows; they are taken as they lie, range to the right."
            " A dataset.toml states it (docs/formats.md)"
        )
    spaceless = sum(sample.grid.pixel_range_m is None or sample.grid.pixel_cross_range_m is None for sample in chips)
    if spaceless:
        warn(f"{spaceless} chips do not state their pixel spacing; it is taken from the radar")
