"""Base models in a folder of diffusers' layout: the embedded ``mini``, any other folder, and one in the hub's cache."""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import FileError, OptionError
from geodiff_sar.core.files import read_json, sha256_bytes, sha256_file
from geodiff_sar.core.tensors import mismatch
from geodiff_sar.model.base_parts import CLASSES, PARTS, T5, TOKENIZERS, BaseSettings, Tokenizers
from geodiff_sar.model.folder_files import weight_files
from geodiff_sar.model.folder_kind import require_sd3
from geodiff_sar.model.hub import hub_folder, is_hub_id
from geodiff_sar.model.tensor_file import open_tensors, read_header
from geodiff_sar.model.tokenizers import load_tokenizer

EMBEDDED = {"mini": Path(__file__).resolve().parent.parent / "weights" / "mini"}
"""Base models that ship in the package, by name."""

SETTINGS_FILE = "geodiff_base.json"
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


class FolderBase:
    """A base model in a folder of diffusers' layout; ``needed`` are the parts that are asked for."""

    def __init__(self, folder: Path, needed: tuple[str, ...] = PARTS):
        self.folder, self.needed = folder, needed

    def require_complete(self) -> None:
        """Make sure that every part has a configuration and the tensors that this asks for; only headers are read.

        Raises:
            FileError: the first thing that is wrong.
        """
        for part in self.needed:
            check_part(self.folder, part)

    def config(self, part: str) -> dict[str, Any]:
        """Configuration of one part."""
        return read_json(self.folder / part / "config.json")

    def load(self, part: str, dtype: torch.dtype) -> Any:
        """One part with its weights, as load_part."""
        return load_part(self.folder, part, dtype)

    def cast_bytes(self, part: str, dtype: torch.dtype) -> int:
        """Memory of the weights of one part that are cast to ``dtype`` when it is loaded; the others stay in their file."""
        headers = (read_header(file).values() for file in weight_files(self.folder, part))
        return sum(entry.cast_bytes(dtype) for entries in headers for entry in entries)

    def empty(self, part: str) -> Any:
        """One part without weights, as empty_part."""
        return empty_part(self.folder, part)

    def t5_tensor(self, name: str, dtype: torch.dtype) -> Tensor:
        """One tensor of T5, by its class's name."""
        places = self._t5_places
        tied = "encoder.embed_tokens.weight" if name == "shared.weight" else "shared.weight"
        stored = name if name in places else tied
        with open_tensors(places[stored]) as file:
            return file.get_tensor(stored).to(dtype)

    @cached_property
    def _t5_places(self) -> dict[str, Path]:
        return {name: file for file in weight_files(self.folder, T5) for name in read_header(file)}

    def hash(self, part: str) -> str:
        """Content hash of one part, as part_hash."""
        return part_hash(self.folder, part)

    def tokenizers(self) -> Tokenizers:
        """Tokenizers of the needed text encoders, as folder_tokenizers."""
        return folder_tokenizers(self.folder, with_t5=T5 in self.needed)

    def settings(self, native_size: int) -> BaseSettings:
        """What it was trained with, as read_settings."""
        return read_settings(self.folder, native_size)


def base_folder(name: str) -> Path:
    """Folder of the base called ``name``: an embedded name, a folder in diffusers' layout, or a repository of the hub.

    Raises:
        OptionError: nothing of that name.
        FileError: another model.
    """
    if is_hub_id(name):
        folder = hub_folder(name)
        require_sd3(folder)
        return folder
    folder = EMBEDDED.get(name, Path(name))
    if not folder.is_dir():
        raise OptionError(
            "base (--pretrained_model)",
            repr(name),
            f"one of {', '.join(EMBEDDED)}, an existing folder in diffusers' layout, a .safetensors file, or a repository "
            "(owner/name) of the hub",
            "correct the name or the path",
        )
    require_sd3(folder)
    return folder


def check_part(folder: Path, part: str) -> None:
    """Make sure that one part has exactly the tensors that its configuration asks for; no weight is read.

    Raises:
        FileError: no configuration, no weights, damaged headers, or other tensors.
    """
    if not (folder / part / "config.json").is_file():
        raise FileError(folder / part / "config.json", "no such file", f"a base holds '{part}'", _REMEDY)
    found = {name: entry.shape for file in weight_files(folder, part) for name, entry in read_header(file).items()}
    module = empty_part(folder, part)
    wrong = mismatch(tensor_shapes(module), {name: found[name] for name in found if name not in tied_names(module)})
    if wrong:
        raise FileError(folder / part, wrong, f"exactly the tensors of a {CLASSES[part].__name__}", _REMEDY)


def load_part(folder: Path, part: str, dtype: torch.dtype) -> Any:
    """One part of a base by its diffusers or transformers class; local files only, every tensor in its place.

    Raises:
        FileError: no configuration, damaged weights, or tensors that are missing, unexpected or of another shape.
    """
    cls = CLASSES[part]
    weight_files(folder, part)  # without them the library's own message, or a pickle
    option = "torch_dtype" if cls.__module__.startswith("diffusers") else "dtype"
    try:
        module, found = cls.from_pretrained(
            folder / part, local_files_only=True, use_safetensors=True, output_loading_info=True, **{option: dtype}
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
    return tensor_shapes(empty_part(folder, part))


def tensor_shapes(module: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a part's tensors, without those that are the same as others."""
    tied = tied_names(module)
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items() if name not in tied}


def tied_names(module: Any) -> set[str]:
    """Names of a part's tensors that are the same as others, which a file may have or lack."""
    return set(getattr(module, "_tied_weights_keys", None) or ())


def folder_tokenizers(folder: Path, with_t5: bool = True) -> Tokenizers:
    """The tokenizers of a base, from ``tokenizer.json`` or from vocabulary and merges."""
    return tuple(load_tokenizer(folder / part) for part in TOKENIZERS[: 3 if with_t5 else 2])


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
    files = weight_files(folder, part)
    config = [file for file in (folder / part / "config.json",) if file.is_file()]
    tokenizer = folder / part.replace("text_encoder", "tokenizer")
    words = sorted(file for file in tokenizer.glob("*") if file.is_file()) if part.startswith("text_encoder") else []
    return sha256_bytes(*(sha256_file(file).encode() for file in (*config, *files, *words)))


_REMEDY = "run `geodiff-sar check-weights` to see what is missing or damaged"
