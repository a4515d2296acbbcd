"""The ten published Ku-band chips against simulated ones: lines, grey levels, background; the same code measures both.

For every real chip, its aircraft is traced in the chip's polarisation at azimuth 0 and a stated depression; the settings are
those of ``configs/uav_ku_real.toml``. Chips have 194 x 282 pixels, radar on the left. What is measured, rows in cross-range
from the chip's middle row:

- leading edge: log grey, highest of the five columns round each, mean over the rows at 3.5 to 6.3 m on both sides, less the
  same of the outermost 25 rows (slab joints, streaks); the first local maximum of at least 0.7 of the highest;
- span of the wing line: log of the mean of the 5 brightest among the 7 columns round the leading edge, as a function of the
  row; its step is the mean of the 10 rows on the inner side less that of the 10 on the outer side; an end is the outermost
  local maximum of the step of at least 0.75 of the highest, 4.8 m or more from the middle; rows between ends times 0.080 m;
- second line: the highest column 4 to 18 behind the leading edge, without the widening to five columns;
- tailplane: the highest column 30 to 60 behind the leading edge of mean log grey at 1.2 to 2.4 m less that at 3.5 to 6.3 m
  (the King Air's chips show no such line);
- p50, p90, p99 and share of 255 of the whole chip;
- background: the outermost 25 rows without columns whose median is 1.5 times the usual one; stripes: mean of the 16 brightest
  column medians of these rows over their median.

A simulated value agrees if it lies within lowest to highest of the real chips of its polarisation, widened by 10 % and half a
grey level (saturated share: 10 % and 0.01 percentage points, 5 pixels), since there are only two to four chips.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np
from _report import parser, report
from PIL import Image
from rich.console import Console
from rich.table import Table

from geodiff_sar.core.config import load_options
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import parse_caption
from geodiff_sar.geometry.prior import PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target
from geodiff_sar.sampling.sheet import brightened, contact_sheet
from geodiff_sar.workflows.tracing import TraceConfig

CROSS_RANGE_M = 0.080
SPAN_M = {"Cessna 208": 15.88, "King Air 350i": 17.65, "Kodiak 100": 13.72, "Pilatus PC 12": 16.28}
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "uav_ku_real.toml"
GREY = {"p50": "median grey", "p90": "90 % grey", "p99": "99 % grey", "saturated_percent": "saturated, %"}
LEVELS = {**GREY, "background_std_mean": "background std/mean", "stripes": "stripes over median"}
Chips = dict[tuple[str, str], np.ndarray]


def real_chips(folder: Path) -> Chips:
    """Grey chips (row, column) by target and polarisation, in the order of their numbers."""
    files = sorted((folder / "train/data/train/aircraft").glob("*.png"), key=lambda file: int(file.stem))
    if not files:
        raise FileError(folder, "holds no chips", "train/data/train/aircraft/<number>.png", "give --data DIR")
    chips: Chips = {}
    for file in files:
        caption = parse_caption(file.with_suffix(".txt").read_text(encoding="utf-8").strip())
        chips[caption.target, str(caption.polarisation)] = np.asarray(Image.open(file).convert("L"))
    return chips


def simulated_chips(wanted: list[tuple[str, str]], config: TraceConfig, seed: int) -> Chips:
    """The same chips, one trace for each target."""
    radar, pose = load_radar(config.radar, list(config.radar_set)), Pose(0.0, config.depressions[0])
    made: Chips = {}
    for target in dict.fromkeys(name for name, _ in wanted):
        polarisations = [each for name, each in wanted if name == target]
        products = PriorTracer(build_target(target), radar, config.prior).products(pose, polarisations, seed)
        made.update({(target, name): products.chips[name].grey for name in polarisations})
    return {key: made[key] for key in wanted}


def measure(chip: np.ndarray, target: str) -> dict[str, float]:
    """All quantities of one chip; columns in pixels behind the leading edge."""
    grey = chip.astype(float)
    away = np.abs(np.arange(len(grey)) - len(grey) // 2) * CROSS_RANGE_M
    edge_rows = np.r_[0:25, len(grey) - 25 : len(grey)]
    log = np.log(np.maximum(grey, 1.0))
    wing = log[(away > 3.5) & (away < 6.3)].mean(axis=0)
    wide = np.max([np.roll(log, shift, axis=1) for shift in range(-2, 3)], axis=0)
    excess = wide[(away > 3.5) & (away < 6.3)].mean(axis=0) - wide[edge_rows].mean(axis=0)
    start = _first_peak(excess)
    lead = start - 2 + int(np.argmax(wing[start - 2 : start + 5]))
    second = lead + 4 + int(np.argmax((wing - log[edge_rows].mean(axis=0))[lead + 4 : lead + 19]))
    tail_rows = log[(away > 1.2) & (away < 2.4)].mean(axis=0) - wing
    tail = lead + 30 + int(np.argmax(tail_rows[lead + 30 : lead + 61]))
    border = grey[edge_rows]
    medians = np.median(border, axis=0)
    plain = border[:, medians < 1.5 * np.median(medians)]
    p50, p90, p99 = np.percentile(grey, [50, 90, 99])
    result = {
        "span_m": _span(grey, lead),
        "leading_edge_column": float(lead),
        "second_line_px": float(second - lead),
        "p50": float(p50),
        "p90": float(p90),
        "p99": float(p99),
        "saturated_percent": float(100 * np.mean(chip == 255)),
        "background_std_mean": float(plain.std() / plain.mean()),
        "stripes": float(np.sort(medians)[-16:].mean() / np.median(medians)),
    }
    return result if target == "King Air 350i" else {**result, "tailplane_px": float(tail - lead)}


def _first_peak(excess: np.ndarray) -> int:
    inner = np.r_[np.zeros(4, bool), (excess[4:-4] >= excess[3:-5]) & (excess[4:-4] >= excess[5:-3]), np.zeros(4, bool)]
    return int(np.flatnonzero(inner & (excess >= 0.7 * excess.max()))[0])


def _span(grey: np.ndarray, lead: int, rows: int = 10) -> float:
    """Length of the line, m: see the head of this file."""
    near = np.sort(grey[:, max(0, lead - 3) : lead + 4], axis=1)[:, -5:].mean(axis=1)
    line = np.log(np.maximum(near, np.median(grey)))

    def end(profile: np.ndarray) -> int:
        """First row beyond the line, seen from the profile's middle towards its last row."""
        places = np.arange(len(profile) // 2 + 60, len(profile) - rows)
        step = np.array([profile[k - rows : k].mean() - profile[k : k + rows].mean() for k in places])
        peak = np.array([step[k] >= step[max(0, k - 2) : k + 3].max() for k in range(len(step))])
        return int(places[np.flatnonzero(peak & (step >= 0.75 * step.max()))[-1]])

    return (end(line) - (len(line) - end(line[::-1]))) * CROSS_RANGE_M


def spread(values: list[float], name: str) -> tuple[float, float]:
    """What counts as agreement, from the real values of one polarisation."""
    half = 0.01 if name == "saturated_percent" else 0.5 if name in GREY else 0.0
    return 0.9 * min(values) - half, 1.1 * max(values) + half


def figure(file: Path, real: Chips, simulated: Chips) -> None:
    """Real chip above simulated one, square root of grey, five pairs on a row."""
    pictures, labels = [], []
    keys = list(real)
    for start in range(0, len(keys), 5):
        for kind, chips in (("real", real), ("simulated", simulated)):
            pictures += [brightened(chips[key]) for key in keys[start : start + 5]]
            labels += [f"{kind} {target} {polarisation}" for target, polarisation in keys[start : start + 5]]
    contact_sheet(file, pictures, labels, columns=5)


def chip_table(measured: dict[str, dict[tuple[str, str], dict[str, float]]]) -> None:
    """Every chip: real, then simulated."""
    names = ["span_m", "second_line_px", "tailplane_px", *LEVELS]
    table = Table(title="chip by chip: real / simulated", box=None)
    for head in ("chip", *names):
        table.add_column(head.replace("_", " "), justify="right")
    for key, one in measured["real"].items():
        two = measured["simulated"][key]
        cells = [f"{one[name]:.3g} / {two[name]:.3g}" if name in one else "-" for name in names]
        table.add_row(" ".join(key), *cells)
    Console(width=170).print(table)


def summary(measured: dict[str, dict[tuple[str, str], dict[str, float]]]) -> tuple[dict[str, str], dict[str, Any]]:
    """Rows of the table and numbers: agreement of each quantity in each polarisation, and spans."""
    real, simulated = measured["real"], measured["simulated"]
    rows, numbers = {}, {}
    for name, words in LEVELS.items():
        for polarisation in sorted({key[1] for key in real}):
            keys = [key for key in real if key[1] == polarisation]
            low, high = spread([real[key][name] for key in keys], name)
            values = [simulated[key][name] for key in keys]
            inside = sum(low <= value <= high for value in values)
            ends = [f"{min(v):.3g}-{max(v):.3g}" for v in ([real[key][name] for key in keys], values)]
            rows[f"{words}, {polarisation}"] = f"real {ends[0]}, simulated {ends[1]}: {inside} of {len(values)} within"
            numbers[f"{name}_{polarisation}"] = {"inside": inside, "of": len(values), "low": low, "high": high}
    pairs = {
        "real to published": [(real[key]["span_m"], SPAN_M[key[0]]) for key in real],
        "simulated to published": [(simulated[key]["span_m"], SPAN_M[key[0]]) for key in real],
        "simulated to real": [(simulated[key]["span_m"], real[key]["span_m"]) for key in real],
    }
    for words, values in pairs.items():
        errors = [100 * (one / two - 1) for one, two in values]
        inside = sum(abs(error) <= 2 for error in errors)
        text = f"{min(errors):+.1f} to {max(errors):+.1f} %: {inside} of {len(errors)} within 2 %"
        rows[f"wing line, {words}"] = text
        numbers[f"span_error_percent_{words.replace(' ', '_')}"] = errors
    return rows, numbers


def main() -> None:
    options = parser(__doc__ or "")
    default = Path(os.environ.get("GEODIFF_SHARED", "../shared")) / "data/geodiff10"
    options.add_argument("--data", type=Path, default=default, help="folder of the ten chips")
    options.add_argument("--config", type=Path, default=CONFIG, help="settings, as for geodiff-sar simulate")
    options.add_argument("--figure", type=Path, help="also write the chips side by side to this PNG")
    options.add_argument("--seed", type=int, default=0, help="of clutter and noise")
    given = options.parse_args()
    real = real_chips(given.data)
    config = load_options(TraceConfig, given.config)
    unknown = sorted({target for target, _ in real} - set(SPAN_M))
    if unknown:
        raise OptionError("--data", f"chips of {', '.join(unknown)}", f"chips of {', '.join(SPAN_M)}", "correct it")
    simulated = simulated_chips(list(real), config, given.seed)
    chips = {"real": real, "simulated": simulated}
    measured = {kind: {key: measure(chip, key[0]) for key, chip in each.items()} for kind, each in chips.items()}
    chip_table(measured)
    rows, numbers = summary(measured)
    numbers["chips"] = {kind: {" ".join(key): value for key, value in each.items()} for kind, each in measured.items()}
    title = f"ten Ku-band chips, simulated at depression {config.depressions[0]:g}, seed {given.seed}"
    report(title, rows, {**numbers, "settings": config.model_dump(mode="json")}, given.json)
    if given.figure is not None:
        figure(given.figure, real, simulated)
        print(f"written: {given.figure}")


if __name__ == "__main__":
    main()
