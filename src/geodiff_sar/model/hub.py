"""Base models on the Hugging Face hub: downloaded once, then read from the hub's local cache."""

import re
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base_parts import PARTS, TOKENIZERS

TAKEN = [
    "model_index.json",
    "geodiff_base.json",
    "scheduler/*.json",
    *(f"{part}/{name}" for part in PARTS for name in ("config.json", "*.safetensors", "*.safetensors.index.json")),
    *(f"{tokenizer}/*" for tokenizer in TOKENIZERS),
]
"""Files of a repository that make a base; single files and pickles beside them stay where they are."""

VARIANTS = ["*.fp16.*", "*.fp16-*", "*.bf16.*", "*.bf16-*"]
"""The same weights in other number formats."""


def is_hub_id(name: str) -> bool:
    """Whether a name can only be ``owner/repository`` on the hub: nothing of that name, and no folder ``owner``, is here."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None and not Path(name).parent.exists()


def hub_folder(name: str) -> Path:
    """Folder in the hub's cache with the parts of the repository ``owner/repository``, which are downloaded if need be.

    The environment of huggingface_hub holds: ``HF_HUB_OFFLINE=1`` touches no network, ``HF_TOKEN`` opens gated repositories.

    Raises:
        OptionError: no such repository, no access, or no network and nothing in the cache.
    """
    try:
        folder = snapshot_download(
            name, cache_dir=constants.HF_HUB_CACHE, allow_patterns=TAKEN, ignore_patterns=VARIANTS
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
        raise OptionError(
            "base (--pretrained_model)",
            repr(name),
            f"an existing folder or file, or a repository of the hub that can be read ({reason})",
            "correct the path; for a gated repository accept its licence and run `hf auth login`; without a network "
            f"put the repository into the hub's cache, {constants.HF_HUB_CACHE}",
        ) from error
    return Path(folder)
