"""The chips that a base model is pre-trained on: targets, poses, radars, clutter and noise drawn at random, in shards."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from pydantic import Field, model_validator

from geodiff_sar.core.config import Options
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.files import atomic_directory, read_json, sha256_json, write_json
from geodiff_sar.core.types import POLARISATIONS, Pose
from geodiff_sar.core.work import processors, run_jobs
from geodiff_sar.data.caption import Caption, parse_caption
from geodiff_sar.data.chip_set import ChipSet, chip_hash
from geodiff_sar.data.pixels import AMPLITUDE, ChipGrid
from geodiff_sar.geometry.details import DetailOptions
from geodiff_sar.geometry.options import GroundOptions, SurfaceOptions, TraceOptions
from geodiff_sar.geometry.prior import ENGINE_VERSION, PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import PRESETS, RadarOptions
from geodiff_sar.geometry.targets import build_target, target_names
from geodiff_sar.geometry.triangles import TriangleMesh

CORPUS_VERSION = 1
"""Raised whenever the same options give other chips, the ray tracer's own version aside."""

POLARISATIONS_PER_TRACE = 2


class CorpusOptions(Options):
    """What is drawn. One trace gives two chips of different polarisation."""

    count: int = Field(default=50_000, ge=2, multiple_of=2, description="number of chips")
    seed: int = Field(default=1, ge=0, description="seed of every draw")
    size: int = Field(default=128, ge=16, le=1024, description="pixels per side")
    shard: int = Field(default=2000, ge=2, multiple_of=2, description="chips per file")
    aircraft: float = Field(default=0.4, ge=0, description="weight of the parametric aircraft")
    vehicles: float = Field(default=0.4, ge=0, description="weight of tanks, carriers and trucks")
    composites: float = Field(default=0.2, ge=0, description="weight of random composites")
    first_member: int = Field(
        default=0, ge=0, description="smallest seed of a vehicle or composite; move it for targets never seen"
    )
    members: int = Field(default=400, ge=1, description="number of different vehicles, and of different composites")

    @model_validator(mode="after")
    def _something(self) -> "CorpusOptions":
        if self.aircraft + self.vehicles + self.composites <= 0:
            raise ValueError("aircraft, vehicles and composites all have weight 0")
        return self


@dataclass(frozen=True)
class Draw:
    """One trace of the corpus.

    Attributes:
        target: name for ``geometry.targets``.
        label: target in captions; a vehicle is called by its kind, a composite "composite".
        pose: azimuth and depression.
        radar: radar, grid, clutter and noise.
        options: rays, ground and skin.
        polarisations: of its chips.
        seed: of clutter and noise.
    """

    target: str
    label: str
    pose: Pose
    radar: RadarOptions
    options: PriorOptions
    polarisations: tuple[str, ...]
    seed: int

    def captions(self) -> list[Caption]:
        """Caption of each chip."""
        radar, azimuth = self.radar, self.pose.azimuth_deg
        return [Caption(self.label, radar.band, radar.resolution_name, name, azimuth) for name in self.polarisations]


def draw_corpus(options: CorpusOptions, shard: int) -> list[Draw]:
    """The traces of one shard; they depend on ``options.seed`` and ``shard`` alone, so shards can be made in any order."""
    rng = np.random.default_rng([options.seed, 11, shard])
    weights = np.array([options.aircraft, options.vehicles, options.composites])
    chips = min(options.shard, options.count - shard * options.shard)
    return [
        _draw(options, rng, str(rng.choice(["aircraft", "vehicle", "composite"], p=weights / weights.sum())))
        for _ in range(chips // POLARISATIONS_PER_TRACE)
    ]


def _draw(options: CorpusOptions, rng: np.random.Generator, family: str) -> Draw:
    member = options.first_member + int(rng.integers(options.members))
    if family == "aircraft":
        target = label = str(rng.choice(target_names()))
        preset = str(rng.choice(["compact-ku", "compact-x"]))
        depression = rng.uniform(25, 45)
    else:
        kind = str(rng.choice(["tank", "carrier", "truck"])) if family == "vehicle" else "composite"
        target, label = f"{kind}:{member}", kind
        preset = str(rng.choice(["mstar-x", "mstar-x", "compact-ku", "compact-x"]))
        depression = rng.uniform(12, 45)
    azimuth = round(float(rng.uniform(0, 359.9)), 1)
    chosen = tuple(str(name) for name in rng.choice(POLARISATIONS, POLARISATIONS_PER_TRACE, replace=False))
    return Draw(
        target,
        label,
        Pose(azimuth, round(float(depression), 1)),
        _radar(PRESETS[preset], options.size, rng),
        _surroundings(family, rng),
        chosen,
        int(rng.integers(2**31)),
    )


def _radar(preset: RadarOptions, size: int, rng: np.random.Generator) -> RadarOptions:
    """A preset at full or half resolution with its own clutter, noise and gain."""
    name, share = ("High", 1.0) if rng.random() < 0.75 else ("Low", 0.5)
    texture = float(rng.choice([2.5, 4.0, 8.0, 16.0]))
    return preset.model_copy(
        update={
            "resolution_name": name,
            "bandwidth_hz": preset.bandwidth_hz * share,
            "azimuth_aperture_deg": preset.azimuth_aperture_deg * share,
            "rows": size,
            "columns": size,
            "sigma0_db": preset.sigma0_db + float(rng.uniform(-4, 4)),
            "nesz_db": preset.nesz_db + float(rng.uniform(-4, 4)),
            "texture_shape": None if rng.random() < 0.2 else texture,
            "texture_length_m": float(rng.uniform(1.0, 3.0)),
            "background_grey": float(np.exp(rng.uniform(np.log(3.0), np.log(20.0)))),
        }
    )


def _surroundings(family: str, rng: np.random.Generator) -> PriorOptions:
    """Ground and skin: smooth aircraft on concrete with small scatterers, rough vehicles on soil."""
    if family == "aircraft":
        return PriorOptions(
            trace=TraceOptions(rays=400_000, surface=SurfaceOptions(diffuse=float(rng.choice([0.002, 0.004, 0.01])))),
            details=DetailOptions(per_m2=5.0, mean_dbsm=-22.0, spread_db=7.0),
        )
    ground = GroundOptions(permittivity=5.0, loss=0.5, roughness_m=float(rng.choice([0.003, 0.01])))
    skin = SurfaceOptions(roughness_m=0.005, diffuse=float(rng.choice([0.01, 0.04, 0.16])))
    return PriorOptions(trace=TraceOptions(rays=200_000, max_bounces=4, ground=ground, surface=skin))


@dataclass(frozen=True)
class Corpus:
    """Chips on disk: grey levels read when they are asked for, captions in memory.

    Attributes:
        chips: of each shard, (chip, row, column) uint8.
        captions: of all chips.
    """

    chips: list[np.ndarray]
    captions: list[Caption]

    def __len__(self) -> int:
        return len(self.captions)

    def __getitem__(self, index: int) -> UInt8[np.ndarray, "row column"]:
        per_shard = len(self.chips[0])
        return self.chips[index // per_shard][index % per_shard]


def make_corpus(options: CorpusOptions, folder: Path, workers: int | None = None) -> Corpus:
    """Make the shards that are missing in ``folder`` and open all of them.

    Every shard is a folder that appears when it is complete: ``chips.npy`` (N, size, size) uint8 and ``draws.json``.

    Raises:
        DataError: the folder holds another corpus.
        Interrupted: by Ctrl-C; complete shards are kept.
    """
    mark = {"corpus": options.model_dump(mode="json"), "version": CORPUS_VERSION, "engine": ENGINE_VERSION}
    record = folder / "corpus.json"
    if record.is_file() and read_json(record) != mark:
        raise DataError(folder, "holds another corpus", "one corpus per folder", "restore its options, or move it away")
    write_json(record, mark)
    shards = -(-options.count // options.shard)
    for shard in range(shards):
        path = folder / f"shard-{shard:03d}"
        if not path.is_dir():
            with atomic_directory(path) as temporary:
                _write_shard(draw_corpus(options, shard), temporary, f"shard {shard + 1} of {shards}", workers)
    return open_corpus(folder)


def open_corpus(folder: Path) -> Corpus:
    """The corpus in a folder, without reading its chips.

    Raises:
        FileError: no shard, or a damaged one.
    """
    chips, captions = [], []
    for path in sorted(folder.glob("shard-*")):
        try:
            chips.append(np.load(path / "chips.npy", mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise FileError(
                path, f"cannot be read ({error})", "a shard of a corpus", "delete it; it is made again"
            ) from error
        captions += [parse_caption(row["caption"], str(path)) for row in read_json(path / "draws.json")["chips"]]
    if not chips or sum(map(len, chips)) != len(captions):
        raise FileError(folder, f"{sum(map(len, chips))} chips, {len(captions)} captions", "a corpus", "make it again")
    return Corpus(chips, captions)


def corpus_chips(corpus: Corpus) -> ChipSet:
    """All chips of a corpus in memory, for measuring; pixel spacings differ from chip to chip and are left unsaid."""
    grey = np.stack([corpus[k] for k in range(len(corpus))]).astype(np.float32)
    count = len(grey)
    azimuths = [np.nan if caption.azimuth_deg is None else caption.azimuth_deg for caption in corpus.captions]
    return ChipSet(
        "corpus",
        tuple(str(k) for k in range(count)),
        grey,
        tuple(caption.target for caption in corpus.captions),
        np.array(azimuths),
        np.full(count, np.nan),
        tuple(caption.polarisation for caption in corpus.captions),
        (None,) * count,
        tuple(chip_hash(chip) for chip in grey),
        AMPLITUDE,
        ChipGrid(range_direction="right"),
        (Path("corpus"),) * count,
        (None,) * count,
    )


def _write_shard(draws: list[Draw], folder: Path, title: str, workers: int | None) -> None:
    made: dict[int, np.ndarray] = {}
    for (number, _), chips in run_jobs(
        list(enumerate(draws)), lambda item: trace_draw(item[1]), workers or processors(), title, "traces"
    ):
        made[number] = chips
    np.save(folder / "chips.npy", np.concatenate([made[number] for number in range(len(draws))]))
    write_json(folder / "draws.json", {"chips": [row for draw in draws for row in _rows(draw)]})


def _rows(draw: Draw) -> list[dict[str, Any]]:
    options = sha256_json({"radar": draw.radar.model_dump(mode="json"), "prior": draw.options.model_dump(mode="json")})
    return [
        {
            "caption": str(caption),
            "target": draw.target,
            "depression_deg": draw.pose.depression_deg,
            "pixel_m": [draw.radar.pixel_cross_range_m, draw.radar.pixel_range_m],
            "settings_sha256": options,
        }
        for caption in draw.captions()
    ]


def trace_draw(draw: Draw) -> UInt8[np.ndarray, "chip row column"]:
    """Grey levels of the chips of one draw."""
    products = PriorTracer(_mesh(draw.target), draw.radar, draw.options).products(
        draw.pose, list(draw.polarisations), draw.seed
    )
    return np.stack([products.chips[name].grey for name in draw.polarisations])


@lru_cache(maxsize=2048)
def _mesh(target: str) -> TriangleMesh:
    return build_target(target)
