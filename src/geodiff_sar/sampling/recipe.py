"""Generated pictures that carry their own recipe."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, PngImagePlugin

from geodiff_sar.core.files import atomic_path
from geodiff_sar.data.image import to_grey8
from geodiff_sar.data.recipe import KEY


def write_chip(
    path: Path, amplitude: Float[np.ndarray, "height width"], recipe: dict[str, Any], rgb: bool = False
) -> None:
    """Write an 8-bit PNG (grey, or three equal channels) with its recipe as JSON in a ``tEXt`` chunk, atomically.

    ``data.recipe.read_recipe`` reads it back.
    """
    grey = to_grey8(amplitude)
    picture = Image.fromarray(np.stack([grey] * 3, axis=-1) if rgb else grey)
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text(KEY, json.dumps(recipe, sort_keys=True))
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=chunk)
