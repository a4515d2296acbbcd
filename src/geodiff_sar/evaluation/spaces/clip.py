"""Image embeddings of CLIP, the space in which CMMD was published."""

from pathlib import Path
from typing import Any

import transformers
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor
from transformers import CLIPVisionModelWithProjection
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json, sha256_bytes, sha256_file
from geodiff_sar.data.chip_set import ChipSet
from geodiff_sar.evaluation.base import FeatureSpace
from geodiff_sar.evaluation.spaces import SPACES, SpaceOptions, refuse_model
from geodiff_sar.evaluation.spaces.pictures import PictureInput, PictureSpace, white_of

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
PUBLISHED = "openai/clip-vit-large-patch14-336"


@SPACES.register("clip")
def clip_space(options: SpaceOptions, real: ChipSet, cache: Path | None, seed: int) -> FeatureSpace:
    """``clip``: projected image embeddings of a CLIP model in transformers' layout; CMMD was published with openai's
    clip-vit-large-patch14-336.

    Raises:
        OptionError: no folder given.
        FileError: a folder without a CLIP model, or with one that lacks tensors.
    """
    refuse_model(options)
    folder = options.weights
    if folder is None:
        raise OptionError(
            "--space-weights",
            "no folder with a CLIP model",
            "nothing is downloaded",
            f"give a local folder with {CONFIG} and model.safetensors, such as a copy of {PUBLISHED}",
        )
    files = sorted(folder.glob("*.safetensors"))
    if not (folder / CONFIG).is_file() or not files:
        raise FileError(
            folder,
            f"holds no {CONFIG}" if not (folder / CONFIG).is_file() else "holds no .safetensors file",
            "a folder in transformers' layout",
            f"give a copy of {PUBLISHED}, or of another CLIP model, saved with save_pretrained",
        )
    network = _load(folder)
    side: Any = network.config.image_size
    size = (side, side) if isinstance(side, int) else (int(side[0]), int(side[1]))
    mean, std = _normalisation(folder)
    pictures = PictureInput(remap=real.remap, white=white_of(real), size=size, mean=mean, std=std)
    digest = sha256_bytes(*(sha256_file(path).encode() for path in (folder / CONFIG, *files)))

    def embed(picture: Tensor) -> Tensor:
        return network(pixel_values=picture).image_embeds

    return PictureSpace("clip", network, embed, pictures, options.batch, digest)


def _load(folder: Path) -> CLIPVisionModelWithProjection:
    kind = read_json(folder / CONFIG).get("model_type")
    if kind not in ("clip", "clip_vision_model"):
        raise FileError(folder / CONFIG, f"model_type is {kind!r}", "a CLIP model", f"give a copy of {PUBLISHED}")
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it lists the tensors of the text side, which are not wanted here
    try:
        loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError, ValidationError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise FileError(
            folder, f"cannot be loaded ({reason})", "a CLIP model in transformers' layout", f"copy {PUBLISHED} again"
        ) from error
    finally:
        transformers.logging.set_verbosity(level)
    network, report = loaded
    missing = sorted(report["missing_keys"])
    if missing:
        raise FileError(
            folder,
            f"lacks {len(missing)} tensors, such as {missing[0]}",
            "all tensors of CLIP's vision side with its projection",
            f"give a copy of {PUBLISHED}",
        )
    return network


def _normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not (folder / PREPROCESSOR).is_file():
        return tuple(OPENAI_CLIP_MEAN), tuple(OPENAI_CLIP_STD)
    entries = read_json(folder / PREPROCESSOR)
    return (
        tuple(entries.get("image_mean", OPENAI_CLIP_MEAN)),
        tuple(entries.get("image_std", OPENAI_CLIP_STD)),
    )
