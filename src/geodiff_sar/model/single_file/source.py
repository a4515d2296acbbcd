"""A base model in single files: its parts are found, checked by their headers, and loaded one by one."""

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geodiff_sar.core.errors import FileError, GeodiffError
from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.base_parts import CLASSES, PARTS, T5, BaseSettings, Tokenizers
from geodiff_sar.model.single_file.convert import in_library_names, tensor_problems
from geodiff_sar.model.single_file.derive import derived
from geodiff_sar.model.single_file.fitting import check_fit
from geodiff_sar.model.single_file.layout import (
    MARKS,
    OPTIONS,
    TITLES,
    PartFile,
    leftover_names,
    parts_inside,
    separate_part,
)
from geodiff_sar.model.single_file.published import empty_part, published_settings
from geodiff_sar.model.single_file.read import check_formats, part_digest, read_one, read_part
from geodiff_sar.model.single_file.recognise import clip_title, looks_like
from geodiff_sar.model.tensor_file import read_header
from geodiff_sar.model.tokenizers import find_tokenizers, load_tokenizers, tokenizer_hash


class SingleFileBase:
    """A base model in a single file, with or without files of its own for text encoders and VAE.

    Nothing but headers is read until a part is loaded. Parts can be loaded one by one; ``require_complete`` asks for all.

    Args:
        files: what the user named.
        needed: the parts that are asked for.

    Attributes:
        parts: where each part was found.
        problems: why others are missing; loading raises the first of them.
        leftovers: tensors of the single file that belong to no part.
    """

    def __init__(self, files: BaseFiles, needed: tuple[str, ...] = PARTS):
        self.files, self.path, self.needed = files, Path(files.name), needed
        self.parts: dict[str, PartFile] = {}
        self.problems: list[GeodiffError] = []
        self.leftovers: list[str] = []
        self._configs: dict[str, dict[str, Any]] = {}
        self._checked: set[str] = set()
        self._complete = False
        try:
            header = read_header(self.path)
        except FileError as error:
            self.problems.append(error)
            header = {}
        if header:
            self.parts = parts_inside(self.path, header)
            self.leftovers = leftover_names(header, self.parts)
            if "transformer" not in self.parts:
                self.problems.append(_not_a_base(self.path, self.leftovers, self.parts))
                self.leftovers = []
        for part, option in OPTIONS.items():
            given = getattr(files, option)
            if given is not None:
                self._take(part, given)
        lacking = [p for p in OPTIONS if p in needed and p not in self.parts and getattr(files, OPTIONS[p]) is None]
        if lacking and not self.problems:
            self.problems.append(_lacking(self.path, self.parts, lacking))

    def _take(self, part: str, path: Path) -> None:
        """Take a part from its own file; one that the single file holds as well gives way."""
        self.parts.pop(part, None)
        try:
            header = read_header(path)
        except FileError as error:
            self.problems.append(error)
            return
        found = separate_part(part, path, header)
        title = clip_title(found.entries) if found is not None and MARKS[part] == "text_model." else None
        if found is None or (title is not None and title != TITLES[part] and _published_size(found, title)):
            is_a = looks_like(header) if found is None else title
            self.problems.append(
                FileError(
                    path, f"is {is_a}", f"--{OPTIONS[part]} names the file of {TITLES[part]}", "name the right file"
                )
            )
            return
        self.parts[part] = found

    def require_complete(self) -> None:
        """Make sure that every part is there, whole, and fits the others; only headers are read.

        Raises:
            GeodiffError: the first thing that is wrong.
        """
        if self.problems:
            raise self.problems[0]
        if not self._complete:
            for part in self.needed:
                self.require(part)
            check_fit(self.parts, {part: self.config(part) for part in self.needed})
            self._complete = True

    def require(self, part: str) -> None:
        """Make sure that one part is there and whole; errors as require_complete."""
        if part not in self.parts:
            raise self.problems[0]
        if part not in self._checked:
            self.check(part)
            self._checked.add(part)

    def check(self, part: str) -> None:
        """Make sure that a part has exactly the tensors of its class, in formats that can be read.

        Raises:
            FileError: it has not.
        """
        file = self.parts[part]
        check_formats(file)
        problems = tensor_problems(file, self.config(part), self.empty(part).state_dict())
        if problems:
            raise FileError(
                file.path,
                f"{TITLES[part]}: {problems}",
                f"exactly the tensors of a {CLASSES[part].__name__} in the published layout",
                "copy the file again, or take it from where it was published",
            )

    def config(self, part: str) -> dict[str, Any]:
        """Configuration of a part: the published one with the sizes of the file."""
        if part not in self._configs:
            self._configs[part] = derived(self.parts[part])
        return self._configs[part]

    def empty(self, part: str) -> Any:
        """One part without weights, on the meta device."""
        config = self.config(part)
        try:
            return empty_part(part, config)
        except (RuntimeError, ValueError, TypeError) as error:
            raise FileError(
                self.parts[part].path,
                f"{TITLES[part]}: sizes that cannot be used ({str(error)[:200]})",
                f"those of a {CLASSES[part].__name__}",
                "take the file from where it was published",
            ) from error

    def load(self, part: str, dtype: torch.dtype) -> Any:
        """One part with its weights, which stay mapped to the file where they are stored in ``dtype``. The others may be
        missing."""
        self.require(part)
        module = self.empty(part)
        kept = (getattr(module, "_keep_in_fp32_modules", None) or ()) if dtype == torch.float16 else ()
        state = in_library_names(part, read_part(self.parts[part], dtype, tuple(kept)), self.config(part))
        module.load_state_dict(state, strict=True, assign=True)
        _finish(part, module)
        return module

    def cast_bytes(self, part: str, dtype: torch.dtype) -> int:
        """Memory of the weights of one part that are cast to ``dtype`` when it is loaded; the others stay in their file."""
        self.require(part)
        return sum(entry.cast_bytes(dtype) for entry in self.parts[part].entries.values())

    def t5_tensor(self, name: str, dtype: torch.dtype) -> Tensor:
        """One tensor of T5, by its class's name, which is that in the file."""
        self.require(T5)
        known = self.parts[T5].entries
        if name not in known:
            name = {"shared.weight": "encoder.embed_tokens.weight"}.get(name, "shared.weight")
        return read_one(self.parts[T5], name, dtype)

    def hash(self, part: str) -> str:
        """Content hash of one part: configuration, tensors, and the tokenizer of a text encoder. It does not depend on
        which file the part is in."""
        self.require(part)
        config = json.dumps(self.config(part), sort_keys=True)
        words = [tokenizer_hash(self._folders[PARTS.index(part) - 2])] if part.startswith("text_encoder") else []
        return sha256_bytes(*(text.encode() for text in (config, part_digest(self.parts[part]), *words)))

    @cached_property
    def _folders(self) -> tuple[Path, ...]:
        return find_tokenizers(self.files.tokenizers, with_t5=T5 in self.needed)

    def tokenizers(self) -> Tokenizers:
        """Tokenizers of the needed text encoders, from the folder that was named, or from the hub's local cache."""
        sizes = [self.config(part)["vocab_size"] if part in self.parts else None for part in PARTS[2:]]
        return load_tokenizers(self._folders, sizes)

    def settings(self, native_size: int) -> BaseSettings:
        """Values of Stable Diffusion 3.5."""
        return published_settings(native_size)


def _finish(part: str, module: Any) -> None:
    """What is no weight but was made on the meta device, and weights that are one."""
    if part in ("text_encoder", "text_encoder_2"):
        embeddings = module.text_model.embeddings
        embeddings.position_ids = torch.arange(module.config.max_position_embeddings).expand((1, -1))
    if part == "text_encoder_3":
        module.encoder.embed_tokens.weight = module.shared.weight
    left = [name for name, tensor in (*module.named_parameters(), *module.named_buffers()) if tensor.is_meta]
    assert not left, f"{part}: {left} have no values"


def _published_size(file: PartFile, title: str) -> bool:
    """Whether a CLIP has the number of layers of the published one with that title, so that its width is no accident."""
    layers = {name.split(".")[3] for name in file.entries if name.startswith("text_model.encoder.layers.")}
    return len(layers) == {"CLIP-L": 12, "CLIP-G": 32}[title]


def _not_a_base(path: Path, others: list[str], parts: dict[str, PartFile]) -> FileError:
    inside = ", ".join(TITLES[part] for part in parts)
    found = f"is {looks_like(others)}" if others else f"holds {inside} and no transformer"
    return FileError(
        path,
        found,
        "a checkpoint of Stable Diffusion 3 or 3.5 (tensors model.diffusion_model.joint_blocks...)",
        "give --pretrained_model the file of the transformer, sd3.5_medium.safetensors",
    )


def _lacking(path: Path, parts: dict[str, PartFile], lacking: list[str]) -> FileError:
    inside = " and ".join(TITLES[part] for part in parts)
    options = " ".join(f"--{OPTIONS[part]} FILE" for part in lacking)
    return FileError(
        path,
        f"holds {inside}, but not {', '.join(TITLES[part] for part in lacking)}",
        "a base has a transformer, a VAE and three text encoders",
        f"give {options} (in a configuration file: {', '.join(OPTIONS[part] for part in lacking)})",
    )
