"""Chips and point clouds from the ray tracer, in memory."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import atomic_path, atomic_write_text
from geodiff_sar.core.types import GeometryPrior, Pose
from geodiff_sar.core.work import processors, run_jobs
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.features import save_features
from geodiff_sar.geometry.details import DetailOptions
from geodiff_sar.geometry.options import SurfaceOptions, TraceOptions
from geodiff_sar.geometry.prior import PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import PRESETS, RadarOptions
from geodiff_sar.geometry.targets import build_target

BANDS = {"Ku": "compact-ku", "X": "compact-x"}
OPTIONS = PriorOptions(
    trace=TraceOptions(rays=400_000, surface=SurfaceOptions(diffuse=0.004)),
    details=DetailOptions(per_m2=5.0, mean_dbsm=-22.0, spread_db=7.0),
)
"""Fewer rays than the default, a faintly diffuse skin, small scatterers."""


@dataclass(frozen=True)
class SimulatedChip:
    """A simulated chip with its truth.

    Attributes:
        amplitude: (H, W) grey levels 0..255 as float32.
        caption: what it shows.
        pose: how it was seen.
        prior: features, coordinates and maps; see geometry/prior.py.
    """

    amplitude: Float[np.ndarray, "height width"]
    caption: Caption
    pose: Pose
    prior: GeometryPrior


def simulated_radar(band: str = "Ku", resolution: str = "High", size: int = 128) -> RadarOptions:
    """Radar of the embedded base: "X" or "Ku"; "High" (0.21 m) or "Low" (0.42 m) on the same grid; ``size`` pixels a side."""
    if band not in BANDS:
        raise OptionError("band", repr(band), f"one of {', '.join(BANDS)}", "choose one of these")
    if resolution not in ("High", "Low"):
        raise OptionError("resolution", repr(resolution), "High or Low", "choose one of these")
    radar = PRESETS[BANDS[band]]
    share = 1.0 if resolution == "High" else 0.5
    return radar.model_copy(
        update={
            "resolution_name": resolution,
            "bandwidth_hz": radar.bandwidth_hz * share,
            "azimuth_aperture_deg": radar.azimuth_aperture_deg * share,
            "rows": size,
            "columns": size,
        }
    )


@dataclass(frozen=True)
class ChipSpec:
    """What a chip is to show.

    Attributes:
        target: a parametric model, see ``geometry.targets``.
        pose: azimuth and depression, degrees; the depression must be known.
        band: "X" or "Ku".
        polarisation: HH, HV, VH or VV.
        resolution: "High" or "Low".
        seed: of clutter and noise.
        size: pixels per side.
    """

    target: str
    pose: Pose
    band: str = "Ku"
    polarisation: str = "HH"
    resolution: str = "High"
    seed: int = 0
    size: int = 128


def simulate_chip(spec: ChipSpec) -> SimulatedChip:
    """Simulate one chip; the same specification gives the same bits."""
    radar = simulated_radar(spec.band, spec.resolution, spec.size)
    tracer = _tracer(spec.target, radar)
    chip = tracer.products(spec.pose, [spec.polarisation], spec.seed).chips[spec.polarisation]
    caption = Caption(tracer.mesh.name, radar.band, radar.resolution_name, spec.polarisation, spec.pose.azimuth_deg)
    return SimulatedChip(chip.grey.astype(np.float32), caption, spec.pose, chip.prior)


def simulate_chips(specs: Sequence[ChipSpec], workers: int | None = None) -> list[SimulatedChip]:
    """Simulate many chips, several at a time, with a progress bar."""
    numbered = list(enumerate(specs))
    jobs = run_jobs(numbered, lambda item: simulate_chip(item[1]), workers or processors(), "tracing", "chips")
    made = {number: chip for (number, _), chip in jobs}
    return [made[number] for number, _ in numbered]


def write_chips(root: Path, chips: Iterable[SimulatedChip]) -> None:
    """Write chips as a data set: ``metadata.jsonl``, ``chips/<id>.png`` and ``3d_features/<id>.safetensors``."""
    lines = []
    for index, chip in enumerate(chips, start=1):
        with atomic_path(root / "chips" / f"{index}.png") as path:
            Image.fromarray(chip.amplitude.astype(np.uint8)).save(path)
        save_features(root / "3d_features" / f"{index}.safetensors", chip.prior)
        row = {
            "id": str(index),
            "file_name": f"chips/{index}.png",
            "text": str(chip.caption),
            "azimuth": chip.pose.azimuth_deg,
            "depression": chip.pose.depression_deg,
            "features": f"3d_features/{index}.safetensors",
        }
        lines.append(json.dumps(row))
    atomic_write_text(root / "metadata.jsonl", "\n".join(lines) + "\n")


@lru_cache(maxsize=64)
def _tracer(target: str, radar: RadarOptions) -> PriorTracer:
    return PriorTracer(build_target(target), radar, OPTIONS)
