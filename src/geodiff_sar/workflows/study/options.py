"""What a study consists of: ``configs/study/*.toml``."""

from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from geodiff_sar.core.config import Options, PlainName
from geodiff_sar.evaluation.atr.options import LEAST_SEEDS, Share
from geodiff_sar.evaluation.common_remap import CommonRemap
from geodiff_sar.evaluation.learning.fit import FitOptions
from geodiff_sar.evaluation.learning.network import NetworkOptions
from geodiff_sar.workflows.tracing import TraceConfig

Seeds = Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]


class StudyData(Options):
    """Chips of a study: simulated into its folder, or a folder of chips with their priors."""

    simulate: TraceConfig | None = Field(default=None, description="what is traced, as `geodiff-sar simulate` reads it")
    root: Path | None = Field(default=None, description="in place of simulate: a folder of chips")
    layout: str = Field(default="auto", description="layout of root; see `geodiff-sar list layouts`")
    pointcloud_dir: Path | None = Field(
        default=None, description="priors of these chips; None: where the layout keeps them"
    )
    classes: tuple[str, ...] = Field(default=(), description="targets of root that are taken; empty: all")

    @model_validator(mode="after")
    def _one_source(self) -> "StudyData":
        if (self.simulate is None) == (self.root is None):
            raise ValueError("exactly one of data.simulate and data.root says where the chips come from")
        of_root = ("classes", "layout", "pointcloud_dir")
        given = [name for name in of_root if getattr(self, name) != type(self).model_fields[name].default]
        if self.simulate is not None and given:
            raise ValueError(f"{', '.join(given)} belong to data.root, and these chips are simulated")
        return self


class StudyFirst(Options):
    """A first training on simulated chips: adapters learn there what a prior looks like as a chip, and go on from there."""

    simulate: TraceConfig = Field(
        description="what is traced, as `geodiff-sar simulate` reads it; all of it is trained on"
    )
    adapter: dict[str, Any] = Field(
        default={}, description="settings that differ from [adapter] and the row's, such as train.max_steps"
    )
    seed: NonNegativeInt = Field(default=1, description="of this training; the seeds of a row share its outcome")


class StudySplit(Options):
    """Held-out sectors [start + k every, + sectors), made once and sealed in the study's ``split.json``."""

    sectors_deg: float = Field(default=30.0, gt=0, lt=360, description="width of the held-out sectors")
    every_deg: float = Field(default=90.0, gt=0, le=360, description="from one held-out sector to the next")
    start_deg: float = Field(default=0.0, ge=0, lt=360, description="where the first one begins")
    guard_deg: float = Field(default=0.0, ge=0, lt=180, description="beside held-out sectors, in neither part")
    train_every: int = Field(
        default=1,
        ge=1,
        description="training chips that are kept: every n-th of a target in azimuth order; the others are for the"
        " instruments alone",
    )


class StudyGenerate(Options):
    """What every adapter generates: each held-out chip over again, and some within the trained sectors."""

    per_view: int = Field(default=1, ge=1, description="chips for every view")
    trained_every: int = Field(
        default=4, ge=0, description="views in the trained sectors: every n-th training chip of a target; 0: none"
    )
    steps: int = Field(default=28, ge=1, le=1000, description="solver steps")
    solver: str = Field(default="euler", description="see `geodiff-sar list solvers`")
    guidance_scale: float | None = Field(default=None, ge=0, description="None: the base's")
    geometry_scale: float | None = Field(
        default=None, ge=0, description="guidance of the conditions apart from the text, for rows that have any"
    )
    guidance_start: float = Field(default=0.0, ge=0, lt=1, description="share of the steps where guidance begins")
    guidance_stop: float = Field(default=1.0, gt=0, le=1, description="share of the steps where guidance ends")
    keep_level: bool = Field(default=True, description="guidance leaves the mean of each latent channel alone")
    batch_size: int = Field(default=8, ge=1, description="chips made together")

    @property
    def kept(self) -> dict[str, Any]:
        """What chips follow from, for keys. A level that is not kept is left out: the first chips were made before there was
        the choice."""
        kept = self.model_dump(mode="json", exclude={"trained_every", "keep_level"})
        return {**kept, "keep_level": True} if self.keep_level else kept


class StudyMeasure(Options):
    """The instruments, the same for all rows."""

    encoder_steps: int = Field(default=400, ge=1, description="training steps of the encoder")
    estimator_steps: int = Field(default=800, ge=1, description="training steps of the azimuth estimator")
    estimator_members: int = Field(
        default=1, ge=1, le=16, description="networks that read the azimuth together; three are less fooled than one"
    )
    common_remap: CommonRemap | None = Field(default=None, description="bring real and generated chips to this remap")
    block_deg: float = Field(default=10.0, gt=0, le=360, description="azimuth within which views count as one draw")
    seed: int = Field(default=0, ge=0, description="of instruments and bootstrap")


class StudyUse(Options):
    """Classifiers trained on real chips of the trained sectors with and without generated ones."""

    rows: tuple[str, ...] = Field(min_length=1, description="rows whose chips are added")
    fractions: tuple[Share, ...] = Field(default=(0.1, 0.3, 1.0), min_length=1, description="shares of the real chips")
    seeds: int = Field(default=LEAST_SEEDS, ge=LEAST_SEEDS, le=100, description="repetitions")
    network: NetworkOptions = Field(default=NetworkOptions(), description="which classifier")
    fit: FitOptions = Field(default=FitOptions(), description="how it is trained; the same steps for every run")


class StudyRow(Options):
    """One line of the tables."""

    name: PlainName = Field(description="for --row, folders and files")
    title: str = Field(min_length=1, description="as tables call it")
    adapter: dict[str, Any] = Field(
        default={}, description="settings of `geodiff-sar train` that differ from [adapter]"
    )
    seeds: Seeds | None = Field(default=None, description="in place of the common ones")
    first: bool = Field(default=True, description="whether it begins with the first training, if the study has one")


class StudyConfig(Options):
    """Everything ``geodiff-sar study`` reads."""

    remedy: ClassVar[str] = "correct these keys; docs/study.md names them, configs/study shows them"

    name: PlainName = Field(description="of the study, its folder and its place in the documentation")
    title: str = Field(min_length=1, description="one line on what is studied")
    data: StudyData
    first: StudyFirst | None = Field(default=None, description="a first training on simulated chips; None: none")
    split: StudySplit = StudySplit()
    adapter: dict[str, Any] = Field(default={}, description="settings of `geodiff-sar train` that all rows share")
    seeds: Seeds = Field(default=(1,), description="of training and noise; one adapter for each")
    baseline: str = Field(description="name of the row that all others are compared with")
    generate: StudyGenerate = StudyGenerate()
    measure: StudyMeasure = StudyMeasure()
    use: StudyUse | None = Field(default=None, description="classifiers; None: none are trained")
    rows: tuple[StudyRow, ...] = Field(min_length=1, description="the lines of the tables")

    @field_validator("rows")
    @classmethod
    def _different(cls, rows: tuple[StudyRow, ...]) -> tuple[StudyRow, ...]:
        for what, values in (("names", [row.name for row in rows]), ("titles", [row.title for row in rows])):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"{what} differ, and {twice} stands twice")
        return rows

    @model_validator(mode="after")
    def _fits_together(self) -> "StudyConfig":
        names = [row.name for row in self.rows]
        for option, wanted in (("baseline", [self.baseline]), ("use.rows", self.use.rows if self.use else ())):
            unknown = [name for name in wanted if name not in names]
            if unknown:
                raise ValueError(f"{option} names {unknown}, and the rows are {', '.join(names)}")
        baseline = set(self.seeds_of(self.row(self.baseline)))
        for row in self.rows:
            seeds = self.seeds_of(row)
            if len(set(seeds)) != len(seeds):
                raise ValueError(f"seeds of '{row.name}' are {list(seeds)}: every one once")
            if not baseline & set(seeds):
                raise ValueError(
                    f"'{row.name}' has no seed in common with the baseline, so no difference can be paired"
                )
        return self

    def row(self, name: str) -> StudyRow:
        """The row of that name, which exists."""
        return next(row for row in self.rows if row.name == name)

    def seeds_of(self, row: StudyRow) -> tuple[int, ...]:
        """Its own seeds, or the common ones."""
        return row.seeds or self.seeds
