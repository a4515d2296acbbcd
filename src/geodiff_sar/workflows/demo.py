"""The demo: from simulated chips to an adapter, to chips generated under text, geometry and image, to a report."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from geodiff_sar.core.console import say
from geodiff_sar.core.files import atomic_write_text, read_json, sha256_json, write_json
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption, format_azimuth
from geodiff_sar.data.features import save_features
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.simulated import ChipSpec, SimulatedChip, simulate_chips, write_chips
from geodiff_sar.geometry.targets import target_names
from geodiff_sar.sampling.prompts import parse_azimuths
from geodiff_sar.sampling.sheet import brightened, contact_sheet, sweep_gif
from geodiff_sar.workflows.demo_report import write_report
from geodiff_sar.workflows.generate import generate_chips
from geodiff_sar.workflows.generation.options import GenerateRequest
from geodiff_sar.workflows.train import TrainConfig, train

DEPRESSION_DEG = 35.0
TRAINING_AZIMUTHS = parse_azimuths("0:360:10")
SHOWN_AZIMUTHS = parse_azimuths("5:360:45")
SWEEP_AZIMUTHS = parse_azimuths("5:360:15")


@dataclass(frozen=True)
class Mode:
    """Which conditions a chip is generated under; a short caption names no azimuth."""

    short: bool = False
    cloud: bool = False
    reference: bool = False


EVERYTHING = "caption+cloud+chip"
MODES = {
    "caption": Mode(),
    "caption+cloud": Mode(cloud=True),
    "caption+chip": Mode(reference=True),
    EVERYTHING: Mode(cloud=True, reference=True),
    "short caption": Mode(short=True),
    "short+cloud": Mode(short=True, cloud=True),
}


@dataclass(frozen=True)
class DemoView:
    """One view that the demo generates: who, from where, and the files that condition it."""

    target: str
    azimuth_deg: float
    truth: SimulatedChip
    pointcloud: Path
    reference: Path


def demo(output_dir: Path, seed: int) -> str:
    """Run the demo; returns the lines to print at the end. Stopped and started again, it goes on where it was.

    Azimuths that are generated lie between those trained on (multiples of 10 degrees), so no chip can be a copy.
    """
    _write_data(output_dir, seed)
    say("1/3 simulated chips and point clouds are ready")
    folder = train(_train_config(output_dir, seed))
    say("2/3 the adapter is trained")
    targets = target_names()
    views = _views(output_dir, seed, SHOWN_AZIMUTHS, targets)
    sweep = _views(output_dir, seed, SWEEP_AZIMUTHS, targets[:1])
    pictures = output_dir / "pictures"
    made = {name: _generate(output_dir, folder, views, name, mode, seed) for name, mode in MODES.items()}
    turned = _generate(output_dir, folder, sweep, "sweep", MODES[EVERYTHING], seed)
    every = made[EVERYTHING]
    labels = [f"{view.target} {format_azimuth(view.azimuth_deg)}" for view in views]
    _sheet(pictures / "generated.png", every, labels, len(SHOWN_AZIMUTHS))
    _sheet(pictures / "simulated.png", [v.truth.amplitude for v in views], labels, len(SHOWN_AZIMUTHS))
    first = range(0, len(views), len(SHOWN_AZIMUTHS) + 1)
    compared = [made[name][k] for k in first for name in MODES]
    _sheet(pictures / "conditions.png", compared, [name for _ in first for name in MODES], len(MODES))
    sweep_gif(pictures / "sweep.gif", [brightened(picture) for picture in turned])
    scores = {name: score(found, views) for name, found in made.items()}
    again = simulate_chips([_spec(view.target, view.azimuth_deg, seed + 99) for view in views])
    scores["simulated, other clutter"] = score([chip.amplitude for chip in again], views)
    write_json(output_dir / "scores.json", scores)
    report = write_report(output_dir, scores, folder)
    return f"pictures: {pictures}\nadapter:  {folder}\nreport:   {report}"


def score(pictures: list[np.ndarray], views: list[DemoView]) -> dict[str, float]:
    """How often the most similar simulated chip is the right one.

    Similarity is the correlation of square-root amplitudes smoothed over 5 x 5 pixels. ``azimuth``: among all azimuths
    of the right target, the requested one wins. ``target``: among the four targets at the right azimuth, the requested one
    wins. ``correlation``: mean correlation with the simulated chip of that view.
    """
    truth = np.stack([_pattern(view.truth.amplitude) for view in views])
    azimuth = target = total = 0.0
    for number, (picture, view) in enumerate(zip(pictures, views, strict=True)):
        likeness = truth @ _pattern(picture)
        same_target = [k for k, other in enumerate(views) if other.target == view.target]
        same_azimuth = [k for k, other in enumerate(views) if other.azimuth_deg == view.azimuth_deg]
        azimuth += max(same_target, key=lambda k: likeness[k]) == number
        target += max(same_azimuth, key=lambda k: likeness[k]) == number
        total += float(likeness[number])
    count = len(views)
    return {"azimuth": azimuth / count, "target": target / count, "correlation": total / count}


def _sheet(path: Path, chips: list[np.ndarray], labels: list[str], columns: int) -> None:
    contact_sheet(path, [brightened(chip) for chip in chips], labels, columns)


def _pattern(amplitude: np.ndarray) -> np.ndarray:
    root = torch.from_numpy(np.sqrt(amplitude.astype(np.float64)))[None, None]
    smooth = avg_pool2d(root, 5, stride=1, padding=2, count_include_pad=False).numpy()
    flat = (smooth - smooth.mean()).ravel()
    return flat / np.linalg.norm(flat)


def _spec(target: str, azimuth_deg: float, seed: int) -> ChipSpec:
    return ChipSpec(target, Pose(azimuth_deg, DEPRESSION_DEG), "Ku", "HH", "High", seed)


def _write_data(output_dir: Path, seed: int) -> None:
    """Write the training chips, each under its caption and under a short one, unless they are there from before."""
    mark, state = output_dir / "data" / "seed.json", {"seed": seed, "poses": sha256_json(TRAINING_AZIMUTHS)}
    if mark.is_file() and read_json(mark) == state:
        return
    specs = [
        _spec(target, azimuth, seed + 1000 * number + int(azimuth))
        for number, target in enumerate(target_names())
        for azimuth in TRAINING_AZIMUTHS
    ]
    write_chips(output_dir / "data", simulate_chips(specs))
    table = output_dir / "data" / "metadata.jsonl"
    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    short = [
        {
            **{key: value for key, value in row.items() if key not in ("azimuth", "depression")},
            "id": f"{row['id']}-short",
            "text": _short(row["text"]),
        }
        for row in rows
    ]
    atomic_write_text(table, "".join(json.dumps(row) + "\n" for row in [*rows, *short]))
    write_json(mark, state)


def _short(caption: str) -> str:
    """The first four fields: neither polarisation nor azimuth."""
    return ",".join(caption.split(",")[:4])


def _train_config(output_dir: Path, seed: int) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "output_dir": str(output_dir),
            "output_name": f"adapter_{seed}",
            "data": {"root": str(output_dir / "data"), "captions": {"dropout_rate": 0.2}},
            "lora": {"rank": 16, "alpha": 16.0},
            "optimizer": {"lr": 5e-4, "conditioning_lr": 1e-3},
            "schedule": {"name": "cosine", "warmup": 20},
            "train": {"max_steps": 540, "batch_size": 16, "seed": seed, "checkpoint_every_steps": 60, "keep_last": 1},
        }
    )


def _views(output_dir: Path, seed: int, azimuths: list[float], targets: list[str]) -> list[DemoView]:
    views = []
    truths = iter(simulate_chips([_spec(target, azimuth, seed + 7) for target in targets for azimuth in azimuths]))
    for number, target in enumerate(targets):
        for azimuth in azimuths:
            truth = next(truths)
            cloud = output_dir / "priors" / f"{target.replace(' ', '_')}_{format_azimuth(azimuth)}.safetensors"
            save_features(cloud, truth.prior)
            nearest = min(
                range(len(TRAINING_AZIMUTHS)), key=lambda k: abs((TRAINING_AZIMUTHS[k] - azimuth + 180) % 360 - 180)
            )
            reference = output_dir / "data" / "chips" / f"{number * len(TRAINING_AZIMUTHS) + nearest + 1}.png"
            views.append(DemoView(target, azimuth, truth, cloud, reference))
    return views


def _generate(
    output_dir: Path, adapter: Path, views: list[DemoView], name: str, mode: Mode, seed: int
) -> list[np.ndarray]:
    lines = []
    for number, view in enumerate(views):
        caption = str(Caption(view.target, "Ku", "High", "HH", view.azimuth_deg))
        line = _short(caption) if mode.short else f"{caption} --dep {DEPRESSION_DEG}"
        line += f" --d {seed + number}"
        line += f" --pc {view.pointcloud}" if mode.cloud else ""
        line += f" --ref {view.reference}" if mode.reference else ""
        lines.append(line)
    folder = output_dir / "pictures" / name.replace("+", "_").replace(" ", "_")
    prompts = folder / "prompts.txt"
    atomic_write_text(prompts, "\n".join(lines) + "\n")
    fused = mode.cloud or mode.reference
    paths = generate_chips(
        GenerateRequest(
            lora_weights=str(adapter),
            prompts_file=prompts,
            sample_steps=28,
            enable_3d_fusion=None if fused else False,
            allow_missing_geometry=fused and not mode.cloud,
            output_dir=folder,
            output_name="chip",
            overwrite=True,
        )  # pyright: ignore
    )
    return [load_chip(path) for path in paths]
