"""A sheet of chips with the outlines that their priors foretell, to see whether both fit."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image, ImageDraw
from scipy.ndimage import binary_erosion

from geodiff_sar.core.files import atomic_path
from geodiff_sar.data.features import load_features
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.sample import Sample
from geodiff_sar.geometry.maps import MAP_NAMES

PER_CLASS, COLUMNS, SIDE, LABEL = 12, 6, 256, 12
TARGET_COLOUR, SHADOW_COLOUR = (255, 80, 60), (70, 150, 255)


def write_overlays(path: Path, chips: list[tuple[Sample, Path]]) -> None:
    """Twelve chips of each class round the circle, without and with the outlines of target (red) and shadow (blue).

    Args:
        path: picture to write.
        chips: chips, each with the file of its prior.
    """
    blocks = []
    for target in sorted({sample.caption.target for sample, _ in chips}):
        own = sorted(
            (chip for chip in chips if chip[0].caption.target == target),
            key=lambda chip: (0.0 if chip[0].pose is None else chip[0].pose.azimuth_deg, chip[0].id),
        )
        places = np.unique(np.linspace(0, len(own), PER_CLASS, endpoint=False).astype(int))
        cells = [_pair(*own[place]) for place in places]
        blocks += [_joined(cells[k : k + COLUMNS]) for k in range(0, len(cells), COLUMNS)]
    sheet = Image.new("RGB", (max(b.width for b in blocks), sum(b.height for b in blocks)), (255, 255, 255))
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def outline(area: Bool[np.ndarray, "row column"]) -> Bool[np.ndarray, "row column"]:
    """The border pixels of an area."""
    return area & np.logical_not(binary_erosion(area, border_value=1))


def _pair(sample: Sample, prior: Path) -> Image.Image:
    """A chip above itself with outlines."""
    values = load_in_frame(sample.image_path, sample.grid)
    grey = 255 * np.sqrt(np.clip(values / max(float(np.quantile(values, 0.998)), 1e-9), 0, 1))
    scale = max(1, SIDE // max(values.shape))
    large = np.kron(np.round(grey).astype(np.uint8), np.ones((scale, scale), dtype=np.uint8))[..., None].repeat(
        3, axis=2
    )
    marked = large.copy()
    maps = load_features(prior).maps
    assert maps is not None
    for name, colour in (("shadow", SHADOW_COLOUR), ("illumination", TARGET_COLOUR)):
        area = maps[MAP_NAMES.index(name)] > 0.5
        marked[outline(np.kron(area, np.ones((scale, scale), dtype=bool)))] = colour
    cell = Image.new("RGB", (large.shape[1] + 2, 2 * large.shape[0] + LABEL + 4), (255, 255, 255))
    azimuth = "" if sample.pose is None else f" {sample.pose.azimuth_deg:.1f}"
    ImageDraw.Draw(cell).text((2, 0), f"{sample.caption.target}{azimuth}", fill=(0, 0, 0))
    cell.paste(Image.fromarray(large), (0, LABEL))
    cell.paste(Image.fromarray(marked), (0, LABEL + large.shape[0] + 2))
    return cell


def _joined(cells: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (sum(cell.width for cell in cells), max(cell.height for cell in cells)), (255, 255, 255))
    left = 0
    for cell in cells:
        row.paste(cell, (left, 0))
        left += cell.width
    return row
