"""Tokenizers of CLIP-L, CLIP-G and T5, from a folder or from the hub's local cache; no network is touched."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import constants, try_to_load_from_cache
from transformers import AutoTokenizer, CLIPTokenizer, PreTrainedTokenizerFast

from geodiff_sar.core.errors import FileError
from geodiff_sar.core.files import sha256_bytes, sha256_file
from geodiff_sar.model.base_parts import TOKENIZERS, Tokenizers

REPOSITORIES = (
    "stabilityai/stable-diffusion-3.5-medium",
    "stabilityai/stable-diffusion-3.5-large",
    "stabilityai/stable-diffusion-3.5-large-turbo",
    "stabilityai/stable-diffusion-3-medium-diffusers",
)
"""On the hub, with the three tokenizers in diffusers' layout."""

CLIP_REPOSITORY, T5_REPOSITORY = "openai/clip-vit-large-patch14", "google/t5-v1_1-xxl"

WANTED = (
    "tokenizer, tokenizer_2 and tokenizer_3 as in the repository of Stable Diffusion 3.5, or clip and t5; in each "
    "tokenizer.json, or vocab.json and merges.txt (CLIP), or spiece.model (T5)"
)
FILES = (
    "tokenizer.json", "vocab.json", "merges.txt", "spiece.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
"""All that a tokenizer may consist of; the hub's cache has weights beside them."""

PADS = ("<|endoftext|>", "!", "<pad>")
"""Padding of CLIP-L, CLIP-G and T5 in Stable Diffusion 3."""


def find_tokenizers(folder: Path | None, with_t5: bool = True) -> tuple[Path, ...]:
    """Folders of the tokenizers of CLIP-L, CLIP-G and, ``with_t5``, T5 inside ``folder``, or in the hub's cache without one.

    Raises:
        FileError: they are not there; the message lists the files that are wanted.
    """
    if folder is None:
        found = _in_cache(3 if with_t5 else 2)
        if found is None:
            raise FileError(
                "tokenizers (--tokenizers)",
                f"not given, and the hub's cache {constants.HF_HUB_CACHE} holds none",
                f"a folder with {WANTED}",
                f"give --tokenizers DIR; the files are those of https://huggingface.co/{REPOSITORIES[0]}",
            )
        return found
    if not folder.is_dir():
        raise FileError(folder, "no such folder", f"--tokenizers names a folder with {WANTED}", "correct the path")
    clip, t5 = folder / "clip", folder / "t5"
    short = clip.is_dir() and (t5.is_dir() or not with_t5)
    names = ((clip, clip, t5) if short else tuple(folder / name for name in TOKENIZERS))[: 3 if with_t5 else 2]
    for name in names:
        if _kind(name) is None:
            raise FileError(
                name, "holds no tokenizer", f"--tokenizers names a folder with {WANTED}", "copy the files there"
            )
    return names


def load_tokenizers(folders: tuple[Path, ...], sizes: Sequence[int | None] = (None, None, None)) -> Tokenizers:
    """Tokenizers with the padding of Stable Diffusion 3, of which each kind of folder knows only a part.

    Args:
        folders: of CLIP-L, CLIP-G and, if it is used, T5.
        sizes: tokens that each text encoder knows; None: not known.

    Raises:
        FileError: a damaged tokenizer, or one with more tokens than its text encoder.
    """
    loaded = []
    for place, folder in enumerate(folders):
        tokenizer = load_tokenizer(folder)
        if tokenizer.pad_token is None or folders[0] == folders[1]:  # one folder serves both CLIPs
            tokenizer.pad_token = PADS[place]
        highest = max(tokenizer.get_vocab().values())
        size = sizes[place]
        if size is not None and highest >= size:
            raise FileError(
                folder,
                f"has tokens up to number {highest}",
                f"its text encoder knows {size}",
                "give tokenizers and text encoders of one model",
            )
        loaded.append(tokenizer)
    return tuple(loaded)


def load_tokenizer(folder: Path) -> Any:
    """A tokenizer from ``tokenizer.json``, or from vocabulary and merges as in SD3.5's own folder.

    Raises:
        FileError: no tokenizer is there, or it is damaged.
    """
    kind = _kind(folder)
    if kind is None:
        rule = f"'{folder.name}' of a base holds tokenizer.json, or vocab.json and merges.txt, or spiece.model"
        raise FileError(folder / "tokenizer.json", "no such file", rule, _REMEDY)
    try:
        return kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FileError(folder, f"cannot be read ({str(error)[:200]})", "a tokenizer", _REMEDY) from error


def tokenizer_hash(folder: Path) -> str:
    """Content hash of a tokenizer's files."""
    files = [folder / name for name in FILES if (folder / name).is_file()]
    return sha256_bytes(*(part.encode() for file in files for part in (file.name, sha256_file(file))))


def _kind(folder: Path) -> Any:
    """The class that reads the tokenizer in a folder; None where there is none."""
    if (folder / "tokenizer.json").is_file():
        return PreTrainedTokenizerFast
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return AutoTokenizer if (folder / "tokenizer_config.json").is_file() else CLIPTokenizer
    if (folder / "vocab.json").is_file() or (folder / "spiece.model").is_file():
        return AutoTokenizer
    return None


def _in_cache(count: int) -> tuple[Path, ...] | None:
    for repository in REPOSITORIES:
        snapshot = _cached(repository, "tokenizer/vocab.json", "tokenizer/tokenizer.json")
        if snapshot is not None:
            folders = tuple(snapshot.parent.parent / name for name in TOKENIZERS[:count])
            if all(_kind(folder) is not None for folder in folders):
                return folders
    clip = _cached(CLIP_REPOSITORY, "tokenizer.json", "vocab.json")
    if clip is None:
        return None
    if count == 2:
        return (clip.parent, clip.parent)
    t5 = _cached(T5_REPOSITORY, "tokenizer.json", "spiece.model")
    return None if t5 is None else (clip.parent, clip.parent, t5.parent)


def _cached(repository: str, *names: str) -> Path | None:
    for name in names:
        found = try_to_load_from_cache(repository, name, cache_dir=constants.HF_HUB_CACHE)
        if isinstance(found, str):
            return Path(found)
    return None


_REMEDY = "run `geodiff-sar check-weights` to see what is missing or damaged"
