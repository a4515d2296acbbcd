"""Generated pictures that carry their own recipe."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import atomic_path, require_file
from geodiff_sar.data.image import to_grey8

KEY = "geodiff_sar"


def write_chip(
    path: Path, amplitude: Float[np.ndarray, "height width"], recipe: dict[str, Any], rgb: bool = False
) -> None:
    """Write an 8-bit PNG (grey, or three equal channels) with its recipe as JSON in a ``tEXt`` chunk, atomically."""
    grey = to_grey8(amplitude)
    picture = Image.fromarray(np.stack([grey] * 3, axis=-1) if rgb else grey)
    chunk = PngImagePlugin.PngInfo()
    chunk.add_text(KEY, json.dumps(recipe, sort_keys=True))
    with atomic_path(path) as temporary:
        picture.save(temporary, format="PNG", pnginfo=chunk)


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe inside a PNG that write_chip wrote.

    Raises:
        FileError: not a picture, or without a recipe.
    """
    require_file(path, "generated picture", "check the path")
    try:
        with Image.open(path) as picture:
            picture.load()
            text = getattr(picture, "text", {}).get(KEY)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise FileError(
            path, f"is not a readable picture ({error})", "a PNG that this tool wrote", "check the path"
        ) from error
    if text is None:
        raise FileError(path, f"holds no '{KEY}' text chunk", "a PNG that this tool wrote", "give such a file")
    try:
        recipe = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, f"its recipe is damaged ({error})", "JSON", "generate the picture again") from error
    if not isinstance(recipe, dict):
        raise FileError(path, f"its recipe is a {type(recipe).__name__}", "a table", "generate the picture again")
    return recipe
