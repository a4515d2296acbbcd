"""Azimuth of real MSTAR chips from simulated ones: T72 and BTR70 at 17 degrees, beside controls and ablations.

Every real chip is compared with simulated mean powers round the circle by image intensity alone (``_similarity.py``);
the best one names the azimuth. Sectors of 30 degrees alternate between two halves: all knobs, those of the physics
included, are chosen on the dev half, and the other half is judged with them. Every ablation chooses its own. Real data
are needed (--data).
"""

import csv
import os
import time
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from _angles import NEAR_DEG, circular, numbers_of, resampled, surprise
from _report import parser, report
from _similarity import chip_power, scores
from _templates import Bank, Weights, btr70, make_bank, mean_power, t72, t72_three_factors, two_boxes
from PIL import Image

from geodiff_sar.core.errors import FileError
from geodiff_sar.data.alignment import Bands, band_spectra

VEHICLES = ("T72", "BTR70")
GOALS = {"T72": 85.0, "BTR70": 92.0}
SECTOR_DEG = 30.0
MODELS: dict[str, tuple[str, ...]] = {
    "full": ("coherent", "body", "edges"),
    "without the coherent part": ("body", "edges"),
    "without edges": ("coherent", "body"),
    "without Lambert's body": ("coherent", "edges"),
    "one reflection only": ("single", "body", "edges"),
    "without the ground's reflections": ("free", "body", "edges"),
    "random details in place of edges": ("coherent", "body", "details"),
    "coherent part and shadow": ("coherent",),
    "Lambert's body and shadow": ("body",),
    "constant where lit and shadow": ("illumination",),
    "shadow alone": (),
    "full, no shadow": ("coherent", "body", "edges", "no shadow"),
}
# part -> knob that weights it, and the weight's factor
KNOB = {
    "coherent": ("coherent", 1.0),
    "single": ("coherent", 1.0),
    "free": ("coherent", 1.0),
    "body": ("body", 1.0),
    "illumination": ("body", 0.5),
    "edges": ("edges", 1.0),
    "details": ("edges", 100.0),
}


@dataclass(frozen=True)
class Knobs:
    """Everything that is chosen on the dev half."""

    weights: Weights = field(default_factory=Weights)
    bands: Bands = field(default_factory=Bands)


@dataclass(frozen=True)
class Chips:
    """Real chips of one vehicle."""

    power: np.ndarray
    azimuth: np.ndarray
    serial: np.ndarray

    @property
    def dev(self) -> np.ndarray:
        """Which chips the knobs may be chosen on: even sectors."""
        return np.floor(self.azimuth / SECTOR_DEG).astype(int) % 2 == 0

    def chosen(self, keep: np.ndarray) -> "Chips":
        """The chips that a mask or slice selects."""
        return Chips(*(getattr(self, f.name)[keep] for f in fields(self)))


def main() -> None:
    options = parser(__doc__ or "")
    options.set_defaults(threads=1)
    shared = Path(os.environ.get("GEODIFF_SHARED", Path(__file__).parents[1] / ".." / "shared"))
    options.add_argument("--data", type=Path, default=shared / "data", help="folder with mstar17/ and meshes/")
    options.add_argument("--step", type=float, default=3.0, help="degrees between simulated azimuths")
    options.add_argument("--figure", type=Path, help="also write real chips over simulated ones (real chips: CC BY-NC)")
    given = options.parse_args()
    started = time.perf_counter()
    real = {name: read_chips(given.data / "mstar17", name) for name in VEHICLES}
    azimuths = np.arange(0.0, 360.0, given.step)
    meshes = given.data / "meshes"
    builders = {
        "T72": lambda smooth: t72(meshes, smooth),
        "BTR70": lambda smooth: btr70(meshes, smooth),
        "T72, three factors": lambda smooth: t72_three_factors(meshes, smooth),
        "boxes T72": lambda smooth: two_boxes("T72"),
        "boxes BTR70": lambda smooth: two_boxes("BTR70"),
    }
    banks = {}
    for name, build in builders.items():
        banks[name] = make_bank(build, azimuths, given.threads, more=name in VEHICLES)
        print(f"simulated: {name}, {time.perf_counter() - started:.0f} s", flush=True)
    study = Study(real, banks, given.threads)
    numbers = study.run()
    numbers |= {"step_deg": given.step, "seconds": time.perf_counter() - started, "goals_within_10_percent": GOALS}
    if given.figure:
        side_by_side(real, banks, study.knobs["full"], given.figure)
    report("azimuth of real MSTAR chips", study.rows, numbers, given.json)


def read_chips(folder: Path, vehicle: str) -> Chips:
    """All chips of one vehicle, as power over clutter."""
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise FileError(manifest, "does not exist", "the real chips are needed", "name their folder with --data")
    with manifest.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["class"] == vehicle]
    power = [
        chip_power(*(np.asarray(Image.open(folder / kind / row["file"])) for kind in ("linear", "enhanced")))
        for row in rows
    ]
    azimuth = np.array([float(row["target_azimuth_deg"]) % 360 for row in rows])
    return Chips(np.stack(power), azimuth, np.array([row["serial"] for row in rows]))


class Study:
    """Chooses knobs on the dev half, judges on the other, and collects the table's rows."""

    def __init__(self, real: dict[str, Chips], banks: dict[str, Bank], threads: int):
        self.real, self.banks, self.threads = real, banks, threads
        self.rows: dict[str, str] = {}
        self.knobs: dict[str, Knobs] = {}

    def run(self) -> dict[str, Any]:
        """All models, then the controls with the full model's knobs."""
        numbers: dict[str, Any] = {"models": {}, "controls": {}}
        kept: dict[str, dict[str, np.ndarray]] = {}
        nats: dict[str, dict[str, np.ndarray]] = {}
        for label, parts in MODELS.items():
            start = self.knobs["full"] if "full" in self.knobs else Knobs()
            self.knobs[label] = knobs = self.tuned(parts, start, everything=label == "full")
            kept[label] = {name: self.errors(name, name, parts, knobs) for name in VEHICLES}
            judged = {name: self.real[name].chosen(~self.real[name].dev) for name in VEHICLES}
            nats[label] = {name: self.surprises(judged[name], name, parts, knobs) for name in VEHICLES}
            results = {name: self.summary(label, name, kept[label][name]) for name in VEHICLES}
            for name in VEHICLES:
                results[name] |= self.below_full(name, label, kept, nats)
            numbers["models"][label] = {
                **results,
                "knobs": {"weights": vars(knobs.weights), "bands": vars(knobs.bands)},
            }
        parts, knobs = MODELS["full"], self.knobs["full"]
        for name, bank in (
            *(("T72", "BTR70"), ("BTR70", "T72"), ("T72", "boxes T72"), ("BTR70", "boxes BTR70")),
            ("T72", "T72, three factors"),
        ):
            errors = self.errors(name, bank, parts, knobs)
            numbers["controls"][f"{name} <- {bank}"] = self.summary(f"control, templates of {bank}", name, errors)
        for name in VEHICLES:
            errors = self.ceiling(name, knobs.bands)
            label = "ceiling, real chips of the other serial" if name == "T72" else "ceiling, real chips 3 degrees away"
            numbers["controls"][f"{name} <- real"] = self.summary(label, name, errors)
        for serial in np.unique(self.real["T72"].serial):
            keep = self.real["T72"].serial == serial
            errors = np.where(keep, kept["full"]["T72"], np.nan)
            numbers["controls"][f"T72, serial {serial}"] = self.summary(f"full, serial {serial} alone", "T72", errors)
        numbers["class_right_percent"] = self.class_right(parts, knobs)
        self.rows["class by the better score, judged half"] = f"{numbers['class_right_percent']:.1f} %"
        return numbers

    def scores(self, chips: Chips, bank: str, parts: tuple[str, ...], knobs: Knobs) -> np.ndarray:
        """(chip, azimuth) similarities."""
        weighted = {part: getattr(knobs.weights, KNOB[part][0]) * KNOB[part][1] for part in parts if part in KNOB}
        weighted["lit"] = 0.0 if "no shadow" in parts else 1.0
        power = mean_power(self.banks[bank], weighted, knobs.weights)
        return scores(band_spectra(chips.power, knobs.bands), band_spectra(power, knobs.bands), self.threads)

    def errors(self, name: str, bank: str, parts: tuple[str, ...], knobs: Knobs) -> np.ndarray:
        """Absolute azimuth error of every chip, degrees, modulo 360."""
        chips = self.real[name]
        best = self.banks[bank]["azimuth"][self.scores(chips, bank, parts, knobs).argmax(axis=1)]
        return circular(best - chips.azimuth)

    def ceiling(self, name: str, bands: Bands) -> np.ndarray:
        """The same with real chips as templates: of the other serial, or of the same one at least 3 degrees away."""
        chips = self.real[name]
        spectra = band_spectra(chips.power, bands)
        table = scores(spectra, spectra, self.threads)
        apart = circular(chips.azimuth[None] - chips.azimuth[:, None])
        several = len(np.unique(chips.serial)) > 1
        allowed = chips.serial[None] != chips.serial[:, None] if several else apart >= 3.0
        best = np.where(allowed, table, -9.0).argmax(axis=1)
        return apart[np.arange(len(best)), best]

    def tuned(self, parts: tuple[str, ...], start: Knobs, everything: bool) -> Knobs:
        """Coordinate search on every second dev chip of both vehicles; the same knobs for both."""
        chips = {name: self.real[name].chosen(np.flatnonzero(self.real[name].dev)[::2]) for name in VEHICLES}
        weights = dict.fromkeys([KNOB[part][0] for part in parts if part in KNOB], ("times", 2.0))
        moves = {**weights, "sigma0_db": ("plus", 3.0), "dark_share": ("plus", 0.15)}
        if everything:
            moves |= {"spread_deg": ("plus", 1.0), "low_db": ("plus", 3.0), "middle_db": ("plus", 3.0)}
            moves |= {"high_db": ("plus", 5.0), "dark_pixels": ("plus", 0.3), "bright_pixels": ("plus", 0.2)}

        def cost(knobs: Knobs) -> float:
            return sum(float(self.surprises(some, name, parts, knobs).mean()) for name, some in chips.items())

        best, lowest = start, cost(start)
        for _ in range(2):
            before = lowest
            for knob, (kind, size) in moves.items():
                for sign in (1, -1):
                    while True:
                        trial = moved(best, knob, kind, size, sign)
                        value = cost(trial) if trial is not None else np.inf
                        if trial is None or value >= lowest - 0.002:
                            break
                        best, lowest = trial, value
            if before - lowest < 0.01:
                break
        return best

    def summary(self, label: str, name: str, errors: np.ndarray) -> dict[str, Any]:
        """Numbers of both halves, and the table's row; chips whose error is NaN do not count."""
        chips, result = self.real[name], {}
        for half, keep in (("dev", chips.dev), ("judged", ~chips.dev)):
            keep = keep & np.isfinite(errors)
            result[half] = numbers_of(errors[keep])
            low, high = np.percentile(100 * resampled(errors[keep] <= NEAR_DEG, chips.azimuth[keep]), [2.5, 97.5])
            result[half]["within_10_mod_360_interval"] = [float(low), float(high)]
        judged, dev = result["judged"], result["dev"]
        self.rows[f"{name} <- {label}"] = (
            f"{judged['within_10_mod_360']:5.1f} % [{judged['within_10_mod_360_interval'][0]:.0f}-"
            f"{judged['within_10_mod_360_interval'][1]:.0f}], mod 180 {judged['within_10_mod_180']:5.1f} %, median "
            f"{judged['median_mod_360']:.1f} / {judged['median_mod_180']:.1f}; dev {dev['within_10_mod_360']:5.1f} %"
        )
        print(name, label, self.rows[f"{name} <- {label}"], flush=True)
        return result

    def surprises(self, chips: Chips, bank: str, parts: tuple[str, ...], knobs: Knobs) -> np.ndarray:
        """Surprise at the true azimuth of every chip, nats."""
        return surprise(self.scores(chips, bank, parts, knobs), self.banks[bank]["azimuth"], chips.azimuth)

    def below_full(self, name: str, label: str, kept: dict[str, Any], nats: dict[str, Any]) -> dict[str, list[float]]:
        """What a model lacks against the full one on judged chips, paired: value and 95 % interval."""
        keep = ~self.real[name].dev
        hits = [(kept[which][name][keep] <= NEAR_DEG).astype(float) for which in ("full", label)]
        lost = {
            "points_below_full": 100 * (hits[0] - hits[1]),
            "nats_above_full": nats[label][name] - nats["full"][name],
        }
        result = {"surprise_nats": [float(nats[label][name].mean())]}
        for measure, values in lost.items():
            spread = np.percentile(resampled(values, self.real[name].azimuth[keep]), [2.5, 97.5])
            result[measure] = [float(values.mean()), *map(float, spread)]
        value, low, high = result["nats_above_full"]
        self.rows[f"{name} <- {label}"] += f"; {value:+.3f} nats [{low:+.3f}, {high:+.3f}]"
        return result

    def class_right(self, parts: tuple[str, ...], knobs: Knobs) -> float:
        """Share of judged chips whose own vehicle's best score is the higher one."""
        right = []
        for name in VEHICLES:
            chips = self.real[name].chosen(~self.real[name].dev)
            best = {other: self.scores(chips, other, parts, knobs).max(axis=1) for other in VEHICLES}
            right.append(best[name] > best[VEHICLES[1 - VEHICLES.index(name)]])
        return 100 * float(np.concatenate(right).mean())


def moved(knobs: Knobs, knob: str, kind: str, size: float, sign: int) -> Knobs | None:
    """Knobs with one of them a step away; None where the step leads out of bounds."""
    group = "weights" if hasattr(knobs.weights, knob) else "bands"
    value = getattr(getattr(knobs, group), knob)
    value = value * size**sign if kind == "times" else round(value + sign * size, 6)
    changed = replace(knobs, **{group: replace(getattr(knobs, group), **{knob: value})})
    bands = changed.bands
    ordered = bands.low_db < bands.middle_db < bands.high_db and 0 <= bands.dark_share <= 1
    return changed if ordered and min(bands.dark_pixels, bands.bright_pixels, changed.weights.spread_deg) > 0 else None


def side_by_side(real: dict[str, Chips], banks: dict[str, Bank], knobs: Knobs, file: Path) -> None:
    """Real chips (upper rows) over simulated ones (lower rows), both in decibels over clutter, at six azimuths."""
    rows, rng = [], np.random.default_rng(0)
    for name in VEHICLES:
        parts = {part: getattr(knobs.weights, part) for part in MODELS["full"]}
        power = mean_power(banks[name], parts, replace(knobs.weights, spread_deg=0.5))
        upper, lower = [], []
        for azimuth in np.arange(15.0, 360.0, 60.0):
            chip = int(circular(real[name].azimuth - azimuth).argmin())
            nearest = power[circular(banks[name]["azimuth"] - real[name].azimuth[chip]).argmin()]
            upper.append(real[name].power[chip])
            lower.append(nearest * rng.exponential(1.0, nearest.shape))
        rows += [np.hstack(upper), np.hstack(lower)]
    grey = np.clip((10 * np.log10(np.vstack(rows) + 1e-3) + 12) / 42 * 255, 0, 255).astype(np.uint8)
    Image.fromarray(grey).resize((grey.shape[1] * 2, grey.shape[0] * 2), Image.Resampling.NEAREST).save(file)


if __name__ == "__main__":
    main()
