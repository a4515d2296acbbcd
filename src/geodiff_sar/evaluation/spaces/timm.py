"""Features of any timm model with weights from a local file."""

import difflib
from pathlib import Path

import timm
import timm.data
from torch import nn

from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.evaluation.spaces import SPACES, SpaceOptions
from geodiff_sar.evaluation.spaces.pictures import PictureInput, PictureSpace, white_of
from geodiff_sar.evaluation.spaces.weights import load_strictly, read_weights


@SPACES.register("timm")
def timm_space(options: SpaceOptions, real: ChipSet, cache: Path | None, seed: int) -> FeatureSpace:
    """``timm:<model>``: the pooled output before the classifier.

    Chips are scaled to the input size, mean and deviation that the model was trained with; see ``PictureInput``.

    Raises:
        OptionError: no such model, or no weights.
        FileError: weights that cannot be read or do not fit.
    """
    if not timm.is_model(options.model):
        close = difflib.get_close_matches(options.model, timm.list_models(pretrained=True), n=4, cutoff=0.3)
        raise OptionError(
            "--space",
            repr(options.name),
            "timm:<model> with the name of a timm model",
            f"choose one, such as {', '.join(close) or 'resnet50.a1_in1k'}",
        )
    if options.weights is None:
        raise OptionError(
            "--space-weights",
            f"no file with the weights of {options.model}",
            "nothing is downloaded, and features of random weights mean nothing",
            "give its model.safetensors or .pth with --space-weights",
        )
    return timm_picture_space(f"timm:{options.model}", options.model, options.weights, real, options.batch)


def timm_picture_space(name: str, model: str, weights: Path, real: ChipSet, batch: int) -> PictureSpace:
    """A timm model without its classifier, filled strictly from ``weights``."""
    network: nn.Module = timm.create_model(model, pretrained=False, num_classes=0)
    classifier = network.pretrained_cfg.get("classifier") or ()  # type: ignore[union-attr]
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    unused = (*(f"{head}." for head in heads), "AuxLogits.")
    load_strictly(network, read_weights(weights), unused, weights, model)
    config = timm.data.resolve_model_data_config(network)
    pictures = PictureInput(
        remap=real.remap,
        white=white_of(real),
        size=tuple(config["input_size"][1:]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )
    return PictureSpace(name, network, network, pictures, batch, sha256_file(weights))
