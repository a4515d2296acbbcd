"""Draw the pictures of docs/prior.md: ray paths, the SAR point cloud by bounce order, the maps and the chip of one pose.

Run it alone: ``python docs/figures/prior_figure.py``. It writes prior_rays.png and prior_products.png in docs/images.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from geodiff_sar.core.types import Pose
from geodiff_sar.geometry.bvh import cast_rays
from geodiff_sar.geometry.look import Look, look_from
from geodiff_sar.geometry.maps import MAP_NAMES
from geodiff_sar.geometry.prior import PoseProducts, PriorOptions, PriorTracer
from geodiff_sar.geometry.radar import load_radar
from geodiff_sar.geometry.targets import build_target

IMAGES = Path(__file__).parents[1] / "images"
COLOURS = {1: "tab:blue", 2: "tab:orange", 3: "tab:red"}
POSE = Pose(65.0, 35.0)


def main() -> None:
    radar = load_radar("uav-ku", ["rows=256", "columns=140"])
    tracer = PriorTracer(build_target("Cessna 208"), radar, PriorOptions.model_validate({"details": {"per_m2": 5}}))
    look = look_from(POSE)
    products = tracer.products(POSE, ["VV"])
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), width_ratios=(1.6, 1), layout="constrained")
    _draw_paths(left, tracer, look)
    _draw_cloud(right, products)
    figure.savefig(IMAGES / "prior_rays.png", dpi=75)
    figure, axes = plt.subplots(2, 5, figsize=(15, 6.4), layout="constrained")
    _draw_maps(list(axes.ravel()), products)
    figure.savefig(IMAGES / "prior_products.png", dpi=70)


def _draw_paths(axes: Axes, tracer: PriorTracer, look: Look) -> None:
    """Side view in the vertical plane through the line of sight: a few paths for every number of reflections."""
    scene, ahead = tracer.scene, look.toward * [1, 1, 0] / look.cos_depression
    corners = scene.vertices[scene.faces]
    outline = np.unique(
        np.round(np.column_stack([corners.reshape(-1, 3) @ ahead, corners.reshape(-1, 3)[:, 2]]), 2), axis=0
    )
    axes.plot(*outline.T, ",", color="0.6")
    rng = np.random.default_rng(4)
    wanted = dict.fromkeys(COLOURS, 5)
    for across, above in rng.uniform((-7, -4), (7, 4), (4000, 2)):
        points, order = _path(tracer, look, across * look.across + above * look.above + 30 * look.toward)
        if wanted.get(order, 0) > 0:
            wanted[order] -= 1
            shown = np.array([points[1] + 9 * look.toward, *points[1:], points[-1] + 9 * look.toward])
            axes.plot(shown @ ahead, shown[:, 2], color=COLOURS[order], lw=0.9)
    for order, colour in COLOURS.items():
        axes.plot([], [], color=colour, label=f"{order} reflection{'s' * (order > 1)}")
    axes.axhline(0, color="saddlebrown", lw=1)
    axes.set(xlim=(-10, 12), ylim=(-0.5, 8), aspect="equal", title="paths that return to the radar (side view)")
    axes.set(xlabel="towards the radar, m", ylabel="height, m")
    axes.legend(loc="upper left", fontsize=8)


def _path(tracer: PriorTracer, look: Look, start: np.ndarray) -> tuple[list[np.ndarray], int]:
    """Points of the path of one ray, and its number of reflections if the radar sees the last one; else 0."""
    scene, k, points = tracer.scene, -look.toward, [start]
    for order in range(1, 4):
        face = int(cast_rays(scene.bvh, points[-1][None], k[None])[0])
        down = -points[-1][2] / k[2] if k[2] < 0 else np.inf
        plane = scene.planes[face]
        step = (plane[3] - plane[:3] @ points[-1]) / (plane[:3] @ k) if face >= 0 else np.inf
        if not np.isfinite(min(down, step)):
            return points, 0
        normal = np.array([0.0, 0.0, 1.0]) if down < step else plane[:3] * -np.sign(plane[:3] @ k)
        points.append(points[-1] + min(down, step) * k)
        k = k - 2 * (k @ normal) * normal
        points[-1] = points[-1] + 1e-3 * normal
        free = cast_rays(scene.bvh, points[-1][None], look.toward[None])[0] < 0
        if down >= step and normal @ look.toward > 0 and free and (order == 1 or k @ look.toward > 0.9):
            return points, order
    return points, 0


def _draw_cloud(axes: Axes, products: PoseProducts) -> None:
    cloud = products.cloud
    level = 10 * np.log10(np.abs(cloud.amplitude[:, 3]) ** 2 + 1e-12)
    for order, colour in COLOURS.items():
        shown = (np.minimum(cloud.order, 3) == order) & (level > level.max() - 50)
        size = 0.12 * (level[shown] - level.max() + 52)
        axes.scatter(cloud.position[shown, 0], cloud.position[shown, 1], s=size, color=colour, lw=0, alpha=0.7)
    axes.invert_yaxis()
    axes.set(aspect="equal", title="SAR point cloud, coloured by bounce order, 50 dB")
    axes.set(xlabel="slant range, m (radar on the left)", ylabel="cross-range, m")


def _draw_maps(axes: list[Axes], products: PoseProducts) -> None:
    chip = products.chips["VV"]
    maps = chip.prior.maps
    assert maps is not None
    for each, picture, name in zip(axes[:9], maps, MAP_NAMES, strict=True):
        shown = picture
        if name == "centres":  # single pixels: make them visible
            shown = np.max([np.roll(picture, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)], axis=0)
        top = 0.6 if name.startswith(("energy", "height")) else 1.0
        each.imshow(shown, cmap="gray", vmin=0, vmax=top, aspect=radar_aspect(chip.prior.provenance["pixel_m"]))
        each.set_title(name)
    axes[9].imshow(np.sqrt(chip.grey), cmap="gray", aspect=radar_aspect(chip.prior.provenance["pixel_m"]))
    axes[9].set_title("chip VV (square root)")
    for each in axes:
        each.set_axis_off()


def radar_aspect(pixel_m: list[float]) -> float:
    """Height over width of a pixel, so that a metre is as long in both directions."""
    return pixel_m[0] / pixel_m[1]


if __name__ == "__main__":
    main()
