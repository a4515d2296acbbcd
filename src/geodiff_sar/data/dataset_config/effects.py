"""Settings of sd-scripts' dataset configuration that have no effect here, and those that are refused.

A setting whose absence would go unnoticed in the weights is refused; one that only saves time or memory is named.
"""

from pathlib import Path
from typing import Any

from geodiff_sar.core.config import shorten
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.data.dataset_config.keys import KEYS
from geodiff_sar.data.dataset_config.reading import DescribedSet

NO_EFFECT = {
    "cache_info": "captions and sizes are read anew and checked at every start",
    "token_warmup_min": "nothing is warmed up without token_warmup_step",
    "validation_seed": "chips are not held out at random; data.split holds out sectors, targets or ids",
}

REFUSED = {
    "flip_aug": (
        "a mirrored chip casts its shadow the wrong way or shows another azimuth",
        "set it to false; data.mirror = true trains mirror images in cross-range, at 360 - azimuth",
    ),
    "color_aug": ("grey levels of a chip are amplitudes, and there are no colours", "set it to false"),
    "random_crop": (
        "chips are cut in their centre, where the prior's maps lie on them",
        "set it to false; data.moved_copies trains chips moved together with their priors",
    ),
    "face_crop_aug_range": ("there are no faces to crop to", "remove it"),
    "alpha_mask": ("chips have no transparency", "set it to false; objective.target_weight weighs target and shadow"),
    "is_reg": ("there are no regularisation images in adapter training", "remove the subset"),
    "enable_wildcard": ("a caption file holds one caption", "set it to false and write the captions out"),
    "caption_tag_dropout_rate": (
        "a caption that lacks a field is outside the grammar; whole captions can be dropped",
        "set it to 0; caption_dropout_rate drops whole captions",
    ),
    "token_warmup_step": ("captions have all their fields from the first step", "set it to 0"),
    "caption_separator": ("the caption grammar separates fields by commas", "remove it"),
    "bucket_no_upscale": ("every chip is scaled until it fills its bucket", "set it to false"),
    "skip_image_resolution": ("no chip is left out by its size", "remove it, and move small chips to another folder"),
    "resize_interpolation": ("chips are shrunk by area means and enlarged by Lanczos", "remove it"),
    "interpolation_type": ("chips are shrunk by area means and enlarged by Lanczos", "remove it"),
    "network_multiplier": ("the LoRA is trained at strength 1", "remove it"),
    "validation_split": (
        "neighbouring azimuths make a random part no test",
        "set it to 0; data.split holds out azimuth sectors, targets or ids",
    ),
    "conditioning_data_dir": (
        "this is no ControlNet; geometry comes from priors",
        "remove it; see docs/conditioning.md",
    ),
    "custom_attributes": ("all chips are trained with one loss", "remove it"),
}
"""Setting -> rule and remedy, where its value is another than the default."""


def check_effects(path: Path, sets: list[DescribedSet]) -> None:
    """Refuse what would change the training unnoticed; name what has no effect.

    Raises:
        OptionError: a refused setting, by its place in the file.
    """
    named: dict[str, Any] = {}
    for place in (*sets, *(subset for described in sets for subset in described.subsets)):
        for name, value in place.stated.items():
            if name in REFUSED and value != KEYS[name].default:
                if name == "bucket_no_upscale" and not place.settings["enable_bucket"]:
                    continue
                rule, remedy = REFUSED[name]
                raise OptionError(path, f"{place.where}: {name} = {shorten(value)}", rule, remedy)
            if name in NO_EFFECT and value != KEYS[name].default:
                named[name] = value
    for name, value in named.items():
        warn(f"{path}: {name} = {shorten(value)} has no effect: {NO_EFFECT[name]}")
