"""Pictures of a study: sweeps through the held-out sectors, the error against azimuth, the loss."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from geodiff_sar.core.files import atomic_path
from geodiff_sar.data.split_file import Sectors
from geodiff_sar.evaluation.angles import circular_distance
from geodiff_sar.evaluation.report.pictures import new_figure, shown, white_of
from geodiff_sar.workflows.study.instruments import Instruments
from geodiff_sar.workflows.study.making import Made
from geodiff_sar.workflows.study.material import Material
from geodiff_sar.workflows.study.measuring import generated_set
from geodiff_sar.workflows.study.results import RowResult

SWEEP_DEG, DENSE_DEG = 15.0, 3.0
LABEL_WIDTH, LABEL_HEIGHT, GAP = 190, 16, 3
LINES = ("-", "--", ":")
"""Line styles of curves; matplotlib has ten colours, which begin again."""
HELD_OUT, REAL_COLOUR = (209, 73, 91), (46, 111, 149)


@dataclass(frozen=True)
class Strip:
    """One row of a sweep: its title and the chips of its first seed."""

    title: str
    folder: Path
    made: list[Made]


def sweep_views(material: Material, target: str, wanted_deg: Sequence[float], tolerance_deg: float) -> list[int]:
    """Numbers of the views of a target that are nearest to these azimuths; one for each at most, none twice."""
    numbers = [k for k, view in enumerate(material.views) if view.sample.caption.target == target]
    azimuth = np.array([material.views[k].azimuth_deg for k in numbers])
    found: list[int] = []
    for wanted in wanted_deg:
        distance = circular_distance(azimuth, wanted)
        best = int(distance.argmin())
        if distance[best] <= tolerance_deg and numbers[best] not in found:
            found.append(numbers[best])
    return found


def write_sweeps(folder: Path, material: Material, instruments: Instruments, strips: list[Strip]) -> dict[str, Path]:
    """One picture of the whole turn and one of the first held-out sector for every target, by their titles.

    The first line shows the real chips, those in held-out sectors framed; below are the chips generated for the same views.
    """
    found = {}
    sectors = material.split.sectors
    assert sectors is not None
    start, end = sectors[0]
    dense = [(start + step) % 360.0 for step in np.arange(0.0, (end - start) % 360.0, DENSE_DEG)]
    for target in sorted({view.sample.caption.target for view in material.views}):
        slug = "".join(c if c.isalnum() else "_" for c in target.lower())
        for title, wanted, step in (
            (f"{target}, every {SWEEP_DEG:g} degrees", np.arange(0.0, 360.0, SWEEP_DEG).tolist(), SWEEP_DEG),
            (f"{target}, within a held-out sector", dense, DENSE_DEG),
        ):
            views = sweep_views(material, target, wanted, step / 2)
            if views:
                path = folder / f"{'sweep' if step == SWEEP_DEG else 'sector'}_{slug}.png"
                write_sheet(path, material, instruments, strips, views)
                found[title] = path
    return found


def write_errors(path: Path, material: Material, results: list[RowResult]) -> None:
    """Error of the read azimuth against the azimuth that was asked for, one panel per row; held-out sectors are shaded."""
    columns = min(4, len(results))
    rows = -(-len(results) // columns)
    figure = new_figure(3.6 * columns, 2.4 * rows + 0.3)
    panels = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for panel in panels[len(results) :]:
        panel.set_axis_off()
    sectors = material.split.sectors
    assert sectors is not None
    for panel, result in zip(panels, results, strict=False):
        _shade(panel, sectors)
        for measured in result.measured.values():
            for part in ("held out", "trained"):
                if part in measured:
                    asked = [material.views[k].azimuth_deg for k in measured[part]["view"]]
                    panel.plot(asked, measured[part]["error_deg"], ".", ms=3, alpha=0.5, color="#2e6f95")
        panel.axhline(10.0, color="#7a8794", lw=0.8, ls=":")
        panel.set_title(f"{result.row.title}, seeds {', '.join(map(str, result.seeds))}", fontsize=8)
        panel.set(xlim=(0, 360), ylim=(0, 180), xticks=range(0, 361, 90), yticks=(0, 45, 90, 135, 180))
    figure.supxlabel("azimuth asked for, degrees (held-out sectors shaded)", fontsize=9)
    figure.supylabel("error of the azimuth read, degrees", fontsize=9)
    _save(path, figure)


def write_losses(path: Path, logs: dict[str, Path]) -> None:
    """Flow-matching loss of the first seed of every row, which all rows share; a running mean of at most 25 logged values.
    ``logs``: its folders."""
    figure = new_figure(8.0, 4.0)
    axes = figure.subplots()
    for number, (title, folder) in enumerate(logs.items()):
        steps, loss = logged_loss(folder)
        if len(steps):
            window = max(1, min(25, len(loss) // 4))
            smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
            axes.plot(steps[window - 1 :], smooth, lw=1.0, ls=LINES[number // 10 % len(LINES)], label=title)
    axes.set(xlabel="step", ylabel="flow-matching loss")
    if axes.get_lines():
        axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    _save(path, figure)


def logged_loss(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Steps and flow-matching losses of a training log; where a run was resumed, the later session's value counts."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = EventAccumulator(str(folder))
    log.Reload()
    if "loss/flow" not in log.Tags()["scalars"]:
        return np.empty(0), np.empty(0)
    latest = {event.step: event.value for event in sorted(log.Scalars("loss/flow"), key=lambda event: event.wall_time)}
    steps = np.array(sorted(latest))
    return steps, np.array([latest[step] for step in steps.tolist()])


def chips_of_views(
    material: Material, instruments: Instruments, strips: list[Strip], views: list[int]
) -> list[tuple[str, Float[np.ndarray, "view height width"]]]:
    """Amplitudes of the chips themselves, then of those generated for the same views by each row, with titles."""
    real = instruments.read([material.views[k].sample for k in views], "chips of a sweep")
    lines = [("simulated (truth)" if material.simulated else "real", real.amplitude)]
    for strip in strips:
        first = {entry.view: entry for entry in strip.made if entry.copy == 0}
        chips = generated_set(material, instruments, strip.folder, [first[k] for k in views], strip.title)
        lines.append((strip.title, chips.amplitude))
    return lines


def write_sheet(
    path: Path, material: Material, instruments: Instruments, strips: list[Strip], views: list[int]
) -> None:
    """One line for the chips themselves and one for each row; what lies in held-out sectors is framed."""
    lines = chips_of_views(material, instruments, strips, views)
    white = white_of(lines[0][1])
    height, width = lines[0][1].shape[1:]
    size = (LABEL_WIDTH + len(views) * (width + GAP), LABEL_HEIGHT + len(lines) * (height + GAP))
    sheet = Image.new("RGB", size, (255, 255, 255))
    draw = ImageDraw.Draw(sheet)
    for column, number in enumerate(views):
        view = material.views[number]
        colour = HELD_OUT if view.part == "held out" else (0, 0, 0)
        left = LABEL_WIDTH + column * (width + GAP)
        draw.text((left + 2, 2), f"{view.azimuth_deg:.1f}", fill=colour)
        for line, (_, amplitude) in enumerate(lines):
            top = LABEL_HEIGHT + line * (height + GAP)
            sheet.paste(Image.fromarray(shown(amplitude[column], white)), (left, top))
            if view.part == "held out":
                draw.rectangle((left - 1, top - 1, left + width, top + height), outline=colour)
    for line, (title, _) in enumerate(lines):
        words = "\n".join(textwrap.wrap(title, 30)[:3])
        draw.multiline_text((2, LABEL_HEIGHT + line * (height + GAP) + height // 2 - 12), words, fill=(0, 0, 0))
    with atomic_path(path) as temporary:
        sheet.quantize(64).save(temporary, format="PNG", optimize=True)  # speckle: full colours take twice the room


def _shade(panel, sectors: Sectors) -> None:
    for start, end in sectors:
        spans = [(start, end)] if start < end else [(start, 360.0), (0.0, end)]
        for low, high in spans:
            panel.axvspan(low, high, color="#d1495b", alpha=0.12, lw=0)


def _save(path: Path, figure: Figure) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
