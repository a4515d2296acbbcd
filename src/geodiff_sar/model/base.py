"""Base models: the embedded ``mini`` and any folder in diffusers' layout."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, SD3Transformer2DModel
from pydantic import Field
from transformers import AutoTokenizer, CLIPTextModelWithProjection, PreTrainedTokenizerFast, T5EncoderModel
from transformers.utils import logging as transformers_logging

from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json, sha256_bytes, sha256_file
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec

EMBEDDED = {"mini": Path(__file__).resolve().parent.parent / "weights" / "mini"}
"""Base models that ship in the package, by name."""

SETTINGS_FILE = "geodiff_base.json"
CLASSES: dict[str, Any] = {
    "transformer": SD3Transformer2DModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModelWithProjection,
    "text_encoder_2": CLIPTextModelWithProjection,
    "text_encoder_3": T5EncoderModel,
}
PARTS = tuple(CLASSES)
TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3")

MODEL_INDEX = {
    "_class_name": "StableDiffusion3Pipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "transformer": ["diffusers", "SD3Transformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "tokenizer_2": ["transformers", "PreTrainedTokenizerFast"],
    "tokenizer_3": ["transformers", "PreTrainedTokenizerFast"],
}
"""Lets diffusers' own StableDiffusion3Pipeline load a base folder."""


class BaseSettings(Options):
    """What a base model was trained with; ``geodiff_base.json`` in its folder, or SD3.5's values without that file."""

    resolution: tuple[int, int] = Field(description="width and height of its native picture, pixels")
    shift: float = Field(default=3.0, gt=0, description="timestep shift of its training")
    t5_length: int = Field(default=256, ge=1, description="number of T5 tokens")
    remap: AmplitudeRemap = Field(
        default=AmplitudeRemap(exponent=1.0), description="amplitude to pixel remap of its training"
    )
    embed_dim: int | None = Field(
        default=None, ge=1, description="width of the modality embeddings; None: from the pooled width"
    )
    guidance_scale: float = Field(default=7.5, ge=0, description="guidance scale that suits it")


@dataclass
class BaseModel:
    """A base model in memory.

    Attributes:
        name: how the user called it.
        folder: where its files are.
        transformer: the MMDiT.
        vae: the autoencoder as a codec of grey chips.
        text: the text encoders.
        settings: what it was trained with.
        hash: content hash over the weights of all parts.
    """

    name: str
    folder: Path
    transformer: SD3Transformer2DModel
    vae: VaeCodec
    text: TextEncoders
    settings: BaseSettings
    hash: str

    @property
    def largest_side(self) -> int:
        """Longest side of a picture, in pixels, that the transformer has positions for."""
        return int(self.transformer.config["pos_embed_max_size"]) * self.vae.grain


def base_folder(name: str) -> Path:
    """Folder of the base called ``name``: an embedded name or a path to a folder in diffusers' layout."""
    folder = EMBEDDED.get(name, Path(name))
    if folder.is_file():
        raise OptionError(
            "base (--pretrained_model)",
            repr(name),
            "a folder in diffusers' layout; this version cannot load single-file checkpoints yet",
            "convert it with diffusers (StableDiffusion3Pipeline.from_single_file(...).save_pretrained(FOLDER))",
        )
    if not folder.is_dir():
        raise OptionError(
            "base",
            repr(name),
            f"one of {', '.join(EMBEDDED)}, or an existing folder in diffusers' layout",
            "correct the name or the path",
        )
    return folder


def load_base(name: str, dtype: torch.dtype = torch.float32, device: torch.device | None = None) -> BaseModel:
    """Load a base model for inference or adapter training; no network is touched.

    Args:
        name: "mini" or a folder in diffusers' layout.
        dtype: number format of all parts.
        device: where to put them; None: the CPU.

    Raises:
        FileError: a part is missing or damaged.
    """
    folder = base_folder(name)
    quiet_libraries()
    hashes = {part: part_hash(folder, part) for part in PARTS}
    transformer = load_part(folder, "transformer", dtype)
    vae = load_part(folder, "vae", dtype)
    clip_l = load_part(folder, "text_encoder", dtype)
    clip_g = load_part(folder, "text_encoder_2", dtype)
    t5 = load_part(folder, "text_encoder_3", dtype)
    for part in (transformer, vae, clip_l, clip_g, t5):
        part.eval().requires_grad_(False)
        torch.nn.Module.to(part, device or torch.device("cpu"))
    vae_config = vae.config
    reduction = 2 ** (len(vae_config["block_out_channels"]) - 1)
    settings = read_settings(folder, transformer.config["sample_size"] * reduction)
    text_hash = sha256_bytes(*(hashes[part].encode() for part in PARTS[2:]))
    text = TextEncoders(clip_l, clip_g, t5, load_tokenizers(folder), settings.t5_length, text_hash)
    codec = VaeCodec(vae, transformer.config["patch_size"], hashes["vae"])
    return BaseModel(name, folder, transformer, codec, text.eval(), settings, _whole_hash(hashes))


def base_hash(name: str) -> str:
    """Content hash over the weights of all parts, as ``BaseModel.hash``, without loading them."""
    folder = base_folder(name)
    return _whole_hash({part: part_hash(folder, part) for part in PARTS})


def _whole_hash(hashes: dict[str, str]) -> str:
    return sha256_bytes(*(hashes[part].encode() for part in PARTS))


def load_part(folder: Path, part: str, dtype: torch.dtype) -> Any:
    """One part of a base by its diffusers or transformers class; local files only, every tensor in its place.

    Raises:
        FileError: no configuration, damaged weights, or tensors that are missing, unexpected or of another shape.
    """
    if not (folder / part / "config.json").is_file():
        raise FileError(folder / part / "config.json", "no such file", f"a base holds '{part}'", _REMEDY)
    cls = CLASSES[part]
    option = "torch_dtype" if cls.__module__.startswith("diffusers") else "dtype"
    try:
        module, found = cls.from_pretrained(
            folder / part, local_files_only=True, output_loading_info=True, **{option: dtype}
        )
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(folder / part, f"cannot be loaded ({str(error)[:300]})", "intact weights", _REMEDY) from error
    wrong = {kind: sorted(map(str, found[f"{kind}_keys"])) for kind in ("missing", "unexpected", "mismatched")}
    if any(wrong.values()):
        listed = ", ".join(f"{len(keys)} {kind} {keys[:3]}" for kind, keys in wrong.items() if keys)
        raise FileError(folder / part, f"tensors: {listed}", f"exactly the tensors of a {cls.__name__}", _REMEDY)
    return module


def empty_part(folder: Path, part: str) -> Any:
    """One part of a base without weights, on the meta device; nothing is allocated.

    Raises:
        FileError: a configuration that cannot be used.
    """
    cls = CLASSES[part]
    try:
        with torch.device("meta"):
            if cls.__module__.startswith("diffusers"):
                return cls.from_config(cls.load_config(folder / part, local_files_only=True))
            return cls(cls.config_class.from_pretrained(folder / part, local_files_only=True))
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(
            folder / part / "config.json", f"cannot be used ({str(error)[:200]})", f"that of a {cls.__name__}", _REMEDY
        ) from error


def expected_tensors(folder: Path, part: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors that one part's configuration asks for; errors as empty_part."""
    module = empty_part(folder, part)
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items() if name not in tied}


def load_tokenizers(
    folder: Path,
) -> tuple[PreTrainedTokenizerFast, PreTrainedTokenizerFast, PreTrainedTokenizerFast]:
    """The three tokenizers of a base, from ``tokenizer.json`` or from vocabulary and merges."""
    loaded = []
    for part in TOKENIZERS:
        if (folder / part / "tokenizer.json").is_file():
            kind: Any = PreTrainedTokenizerFast
        elif any((folder / part / name).is_file() for name in ("vocab.json", "spiece.model")):  # as SD3.5's own folder
            kind = AutoTokenizer
        else:
            raise FileError(folder / part / "tokenizer.json", "no such file", f"a base holds '{part}'", _REMEDY)
        try:
            loaded.append(kind.from_pretrained(folder / part, local_files_only=True))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise FileError(folder / part, f"cannot be read ({str(error)[:200]})", "a tokenizer", _REMEDY) from error
    return (loaded[0], loaded[1], loaded[2])


def quiet_libraries() -> None:
    """No progress bars for small files from transformers; our own bars show what takes time."""
    transformers_logging.disable_progress_bar()


def read_settings(folder: Path, native_size: int) -> BaseSettings:
    """Settings of a base; without a settings file those of SD3.5 with the scheduler's shift, and pictures of the native size
    or, where that is larger, of 512 pixels, the published default."""
    path = folder / SETTINGS_FILE
    if path.is_file():
        return parse_options(BaseSettings, read_json(path), str(path))
    scheduler = folder / "scheduler" / "scheduler_config.json"
    shift = float(read_json(scheduler).get("shift", 3.0)) if scheduler.is_file() else 3.0
    side = min(native_size, 512)
    return BaseSettings(resolution=(side, side), shift=shift)  # pyright: ignore


def part_hash(folder: Path, part: str) -> str:
    """Content hash of one part: its configuration, its weight files in the order of their names, and its tokenizer."""
    files = sorted((folder / part).glob("*.safetensors"))
    if not files:
        raise FileError(folder / part, "holds no .safetensors file", f"a base holds the weights of '{part}'", _REMEDY)
    config = [file for file in (folder / part / "config.json",) if file.is_file()]
    tokenizer = folder / part.replace("text_encoder", "tokenizer")
    words = sorted(file for file in tokenizer.glob("*") if file.is_file()) if part.startswith("text_encoder") else []
    return sha256_bytes(*(sha256_file(file).encode() for file in (*config, *files, *words)))


_REMEDY = "run `geodiff-sar check-weights` to see what is missing or damaged"
