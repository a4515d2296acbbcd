"""The recipe inside a PNG that this tool wrote: what it shows and how it was made, as JSON in a ``tEXt`` chunk."""

import json
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import require_file

KEY = "geodiff_sar"

UNREADABLE = (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError)
"""What Pillow raises at a file that is not a picture, or is damaged."""


def read_recipe(path: Path) -> dict[str, Any]:
    """The recipe inside a PNG that this tool wrote; the picture is decoded, so that damage comes up.

    Raises:
        FileError: not a picture, or without a recipe.
    """
    require_file(path, "generated picture", "check the path")
    try:
        with Image.open(path) as picture:
            picture.load()
            text = getattr(picture, "text", {}).get(KEY)
    except UNREADABLE as error:
        raise FileError(
            path, f"is not a readable picture ({error})", "a PNG that this tool wrote", "check the path"
        ) from error
    if text is None:
        raise FileError(path, f"holds no '{KEY}' text chunk", "a PNG that this tool wrote", "give such a file")
    return _parsed(path, text)


def find_recipe(path: Path) -> dict[str, Any] | None:
    """The recipe of a PNG, or None where it has none; only the head of the file is read.

    A file that is not a picture has none: reading it as a chip says what is wrong with it.

    Raises:
        FileError: the recipe is not JSON.
    """
    try:
        with Image.open(path) as picture:
            text = picture.info.get(KEY)
    except UNREADABLE:
        return None
    return None if text is None else _parsed(path, text)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        recipe = json.loads(text)
    except json.JSONDecodeError as error:
        raise FileError(path, f"its recipe is damaged ({error})", "JSON", "generate the picture again") from error
    if not isinstance(recipe, dict):
        raise FileError(path, f"its recipe is a {type(recipe).__name__}", "a table", "generate the picture again")
    return recipe
