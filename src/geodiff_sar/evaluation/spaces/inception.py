"""Features of Inception v3, the network of published FIDs."""

from pathlib import Path

import huggingface_hub
import torch

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.evaluation.spaces import SPACES, SpaceOptions, refuse_model
from geodiff_sar.evaluation.spaces.timm import timm_picture_space
from geodiff_sar.evaluation.spaces.weights import read_weights

MODEL = "inception_v3.tv_in1k"
HUB_FILES = ("inception_v3_google-0cc3c7bd.pth", "inception_v3_google-1a9a5a14.pth")
FID_CLASSES = 1008


@SPACES.register("inception")
def inception_space(options: SpaceOptions, real: ChipSet, cache: Path | None, seed: int) -> FeatureSpace:
    """``inception``: the 2,048 pooled features of Inception v3 as torchvision and timm distribute it.

    Weights are the given file, or one that torchvision or timm left in its cache before. Published FIDs are computed with
    another port of Inception (1,008 classes, other pooling) and are not comparable; that file is refused.

    Raises:
        OptionError: no weights at hand.
        FileError: weights that cannot be read or do not fit.
    """
    refuse_model(options)
    weights = options.weights or _in_a_cache()
    if weights is None:
        raise OptionError(
            "--space",
            "inception, and its weights are not at hand",
            "nothing is downloaded",
            f"give torchvision's {HUB_FILES[0]} or timm's model.safetensors of {MODEL} with --space-weights",
        )
    classifier = read_weights(weights).get("fc.weight")
    if classifier is not None and len(classifier) == FID_CLASSES:
        raise FileError(
            weights,
            "is the port of Inception for published FIDs (1,008 classes)",
            "its pooling differs from the model here, so its features would be wrong without a word",
            f"give torchvision's {HUB_FILES[0]} or timm's model.safetensors of {MODEL}",
        )
    return timm_picture_space("inception (torchvision's weights)", MODEL, weights, real, options.batch)


def _in_a_cache() -> Path | None:
    for name in HUB_FILES:
        path = Path(torch.hub.get_dir()) / "checkpoints" / name
        if path.is_file():
            return path
    found = huggingface_hub.try_to_load_from_cache(f"timm/{MODEL}", "model.safetensors")
    return Path(found) if isinstance(found, str) else None
