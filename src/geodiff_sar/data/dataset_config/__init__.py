"""Data sets described by sd-scripts' dataset configuration (``--dataset_config``), read as it is.

``keys`` knows the file's keys, ``reading`` reads it and applies its rule of inheritance, ``effects`` says what has no effect
here or is refused, ``chips`` lists the chips.
"""

from geodiff_sar.data.dataset_config.chips import CAPTION_SETTINGS, caption_options, list_chips
from geodiff_sar.data.dataset_config.effects import check_effects
from geodiff_sar.data.dataset_config.reading import DescribedSet, complete_settings, read_dataset_config

__all__ = [
    "CAPTION_SETTINGS",
    "DescribedSet",
    "caption_options",
    "check_effects",
    "complete_settings",
    "list_chips",
    "read_dataset_config",
]
