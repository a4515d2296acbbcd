"""Saying which model a folder in diffusers' layout holds, from the class names that it gives itself."""

import json
from pathlib import Path

from geodiff_sar.core.errors import FileError, GeodiffError
from geodiff_sar.core.files import read_json

KINDS = {
    "StableDiffusionXL": "Stable Diffusion XL",
    "StableDiffusion": "Stable Diffusion 1 or 2",
    "Flux": "Flux",
    "AuraFlow": "AuraFlow",
    "StableCascade": "Stable Cascade",
    "PixArt": "PixArt",
    "Sana": "Sana",
    "QwenImage": "Qwen-Image",
}
"""Titles of models by the beginning of their classes' names."""


def require_sd3(folder: Path) -> None:
    """Make sure that a folder does not say of itself that it is another model; one that says nothing passes.

    Raises:
        FileError: it is another model, or a part of one.
    """
    own = _class_name(folder / "config.json")
    if own is not None and not (folder / "transformer").is_dir():
        raise _other(folder, f"holds one part alone ({own})", "give the folder of which it is a part")
    pipeline, transformer = (
        _class_name(folder / "model_index.json"),
        _class_name(folder / "transformer" / "config.json"),
    )
    if transformer == "SD3Transformer2DModel" or (
        transformer is None and (pipeline or "").startswith("StableDiffusion3")
    ):
        return
    name = pipeline if pipeline is not None and not pipeline.startswith("StableDiffusion3") else transformer
    if name is not None:
        raise _other(folder, f"is {_kind(name)} ({name})")
    if (folder / "unet").is_dir():
        raise _other(folder, "holds unet/: it is Stable Diffusion 1, 2 or XL")


def _kind(name: str) -> str:
    return next((title for start, title in KINDS.items() if name.startswith(start)), "another model")


def _class_name(path: Path) -> str | None:
    """What a file says; None: no such file, or nothing of the kind in it. A damaged one is named by who needs it."""
    if not path.is_file():
        return None
    try:
        content = read_json(path)
    except (GeodiffError, json.JSONDecodeError):
        return None
    name = content.get("_class_name") if isinstance(content, dict) else None
    return name if isinstance(name, str) else None


def _other(folder: Path, found: str, remedy: str = "give the folder of such a model") -> FileError:
    return FileError(
        folder, found, "a base is Stable Diffusion 3.5, or of its kind (transformer: SD3Transformer2DModel)", remedy
    )
