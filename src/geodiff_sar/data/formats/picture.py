"""Grey pictures: PNG, JPEG, BMP, TIFF, WebP; PNGs of this tool say what they show."""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.data.formats import FORMATS, PICTURE
from geodiff_sar.data.formats.base import ChipFormat, FileFacts
from geodiff_sar.data.recipe import UNREADABLE, find_recipe
from geodiff_sar.data.recipe_facts import recipe_facts


@FORMATS.register(PICTURE)
class PictureFormat(ChipFormat):
    """Grey levels of 8 or 16 bits, or the floats of a TIFF; three channels that agree to within 16 levels are averaged."""

    @staticmethod
    def recognises(head: bytes, suffix: str) -> bool:
        return True

    @staticmethod
    def load(path: Path) -> Float[np.ndarray, "height width"]:
        try:
            with Image.open(path) as picture:
                picture.load()
                if picture.mode == "P":
                    picture = picture.convert("RGB")
                array = np.asarray(picture)
        except UNREADABLE as error:
            raise FileError(
                path,
                f"is not a readable picture ({error})",
                "PNG, JPEG, BMP, TIFF or WebP",
                "replace or remove the file",
            ) from error
        if array.ndim == 3:
            colour = array[..., :3].astype(np.float32) if array.shape[2] >= 3 else array[..., :1].astype(np.float32)
            spread = float((colour.max(axis=2) - colour.min(axis=2)).max())
            if spread > 16:
                raise DataError(
                    path,
                    f"a colour picture (channels differ by up to {spread:.0f})",
                    "grey chips",
                    "convert it to grey",
                )
            array = colour.mean(axis=2)
        if array.dtype == bool:
            array = array * np.float32(255)
        return array.astype(np.float32)

    @staticmethod
    def facts(path: Path) -> FileFacts | None:
        if path.suffix.lower() != ".png":
            return None
        recipe = find_recipe(path)
        return None if recipe is None else recipe_facts(path, recipe)
