"""Pictures of the demo: the prior of a view, the turn of each target, a held-out sector, an animation."""

from pathlib import Path

import numpy as np

from geodiff_sar.core.files import atomic_path
from geodiff_sar.data.features import load_features
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.prior_maps import map_names
from geodiff_sar.evaluation.report.pictures import new_figure, shown, white_of
from geodiff_sar.sampling.sheet import sweep_gif
from geodiff_sar.workflows.study.figures import chips_of_views, sweep_views, write_sheet
from geodiff_sar.workflows.study.instruments import make_instruments
from geodiff_sar.workflows.study.jobs import all_jobs
from geodiff_sar.workflows.study.material import Material, View, prepare
from geodiff_sar.workflows.study.options import StudyConfig
from geodiff_sar.workflows.study.report import finished, strips_of

TURN_DEG, FRAME_DEG = 30.0, 5.0


def draw_pictures(config: StudyConfig, out: Path) -> dict[str, Path]:
    """Draw everything that the page shows, from the finished study in ``out``; files by what they show."""
    material = prepare(config, out)
    instruments = make_instruments(material, config.measure)
    jobs = all_jobs(config, out)
    results, _ = finished(config, jobs, material, instruments)
    strips = strips_of(config, out, jobs, material, results)
    folder = out / "pictures"
    targets = sorted({view.sample.caption.target for view in material.views})
    pictures = {"prior": folder / "prior.png"}
    _draw_prior(pictures["prior"], _held_out(material, targets[-1]))
    assert material.split.sectors is not None
    start, end = material.split.sectors[1]
    sector = np.arange(start, end, FRAME_DEG).tolist()
    for number, target in enumerate(targets, start=1):
        turn = sweep_views(material, target, np.arange(TURN_DEG / 2, 360.0, TURN_DEG).tolist(), FRAME_DEG)
        inside = sweep_views(material, target, sector, FRAME_DEG / 2)
        for name, views in ((f"turn {number}", turn), (f"sector {number}", inside)):
            pictures[name] = folder / f"{name.replace(' ', '_')}.png"
            write_sheet(pictures[name], material, instruments, strips, views)
        frames = sweep_views(material, target, np.arange(0.0, 360.0, FRAME_DEG).tolist(), FRAME_DEG / 2)
        lines = [amplitude for _, amplitude in chips_of_views(material, instruments, strips, frames)]
        white = white_of(lines[0])
        pictures[f"sweep {number}"] = folder / f"sweep_{number}.gif"
        sides = [np.concatenate([shown(line[k], white) for line in lines], axis=1) for k in range(len(frames))]
        sweep_gif(pictures[f"sweep {number}"], [picture.repeat(2, 0).repeat(2, 1) for picture in sides], 250)
    return pictures


def _held_out(material: Material, target: str) -> View:
    """A view of the target from the middle of the second held-out sector."""
    assert material.split.sectors is not None
    start, end = material.split.sectors[1]
    return material.views[sweep_views(material, target, [(start + end) / 2], 180.0)[0]]


def _draw_prior(path: Path, view: View) -> None:
    """The point cloud from above, every map, and the chip itself."""
    assert view.sample.prior_path is not None
    prior = load_features(view.sample.prior_path)
    assert prior.maps is not None
    assert prior.coordinates is not None
    chip = load_in_frame(view.sample.image_path, view.sample.grid)
    figure = new_figure(11.0, 6.4)
    panels = figure.subplots(2, -(-(len(prior.maps) + 2) // 2)).ravel()
    for panel in panels:
        panel.set(xticks=[], yticks=[])
    x, y, z = prior.coordinates.T
    panels[0].scatter(x, y, c=z, s=3, cmap="viridis")
    panels[0].set_aspect("equal")
    panels[0].set_title("point cloud, from above", fontsize=9)
    for panel, name, values in zip(panels[1:], map_names(prior) or (), prior.maps, strict=False):
        panel.imshow(values, cmap="gray", vmin=0.0, vmax=1.0)
        panel.set_title(name.replace("_", " "), fontsize=9)
    last = panels[len(prior.maps) + 1]
    last.imshow(shown(chip, white_of(chip[None])), cmap="gray")
    last.set_title("simulated chip", fontsize=9)
    for panel in panels[len(prior.maps) + 2 :]:
        panel.set_axis_off()
    figure.suptitle(f"{view.sample.caption.target} at {view.azimuth_deg:g} degrees", fontsize=11)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
