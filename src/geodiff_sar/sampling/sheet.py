"""Several chips on one sheet, and a sweep as an animation."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from geodiff_sar.core.files import atomic_path

LABEL_HEIGHT = 14


def contact_sheet(path: Path, pictures: list[np.ndarray], labels: list[str], columns: int | None = None) -> None:
    """Write grey pictures (H, W) row by row with a label above each."""
    columns = columns or min(len(pictures), 9)
    wide, tall = max(p.shape[1] for p in pictures), max(p.shape[0] for p in pictures) + LABEL_HEIGHT
    rows = -(-len(pictures) // columns)
    sheet = Image.new("L", (columns * (wide + 2), rows * (tall + 2)), 255)
    draw = ImageDraw.Draw(sheet)
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = (number % columns) * (wide + 2), (number // columns) * (tall + 2)
        draw.text((left + 2, top + 1), label, fill=0)
        sheet.paste(Image.fromarray(picture.astype(np.uint8)), (left, top + LABEL_HEIGHT))
    with atomic_path(path) as temporary:
        sheet.save(temporary, format="PNG")


def brightened(picture: np.ndarray) -> np.ndarray:
    """Square root of grey levels 0..255, scaled to 0..255: shows clutter and shadow, which are dark in amplitude."""
    return 255.0 * np.sqrt(np.clip(picture, 0, 255) / 255.0)


def sweep_gif(path: Path, pictures: list[np.ndarray], milliseconds: int = 120) -> None:
    """Write grey pictures (H, W) as an endless animation."""
    frames = [Image.fromarray(picture.astype(np.uint8)) for picture in pictures]
    with atomic_path(path) as temporary:
        frames[0].save(temporary, format="GIF", save_all=True, append_images=frames[1:], duration=milliseconds, loop=0)
