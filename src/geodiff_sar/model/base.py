"""Base models: the embedded ``mini``, any folder in diffusers' layout, one on the hub, and single files."""

from functools import cached_property
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from transformers.utils import logging as transformers_logging

from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.model.base_files import BaseFiles
from geodiff_sar.model.base_parts import PARTS, T5, BaseSettings, BaseSource
from geodiff_sar.model.folder_base import FolderBase, base_folder
from geodiff_sar.model.lazy_text import LazyText
from geodiff_sar.model.memory import MemoryOptions
from geodiff_sar.model.part_size import part_size, require_memory, storage_of
from geodiff_sar.model.single_file.source import SingleFileBase
from geodiff_sar.model.storage import STORAGES
from geodiff_sar.model.storage.sharded import count_processes
from geodiff_sar.model.streaming import streamed
from geodiff_sar.model.text import TextEncoders
from geodiff_sar.model.vae import VaeCodec


class BaseModel:
    """A base model. Its VAE is in memory; the transformer is loaded when it is first asked for, the text encoders when there
    is a caption to encode.

    Args:
        name: how the user called it.
        source: its files, complete.
        dtype: number format of all parts.
        device: where they are put.
        memory: how they are kept.

    Attributes:
        vae: the autoencoder as a codec of grey chips.
        text: the text encoders.
        memory: how the parts are kept.
        settings: what it was trained with.
        hash: content hash over the weights of all parts that are used.
        hash_without_t5: the same without T5.
    """

    def __init__(self, name: str, source: BaseSource, dtype: torch.dtype, device: torch.device, memory: MemoryOptions):
        self.name, self.device, self._source, self._dtype = name, device, source, dtype
        self.memory = memory
        for part in needed_parts(memory):
            if (stored := storage_of(part, memory)) != "streamed":
                STORAGES.get(stored).check(device)
        processes = count_processes()
        sizes = {part: part_size(source, part, dtype, memory, device, processes) for part in needed_parts(memory)}
        require_memory(sizes, device)
        if memory.transformer == "offloaded" and device.type != "cpu":  # its blocks are copied into the CPU's memory
            host = torch.device("cpu")
            require_memory({"transformer": part_size(source, "transformer", dtype, memory, host)}, host)
        hashes = {part: source.hash(part) for part in needed_parts(memory)}
        self.hash = _whole_hash(hashes)
        self.hash_without_t5 = _whole_hash({part: hashes[part] for part in hashes if part != T5})
        config = self.skeleton.config
        self.vae = VaeCodec(self._load("vae"), config["patch_size"], hashes["vae"])
        self.settings = source.settings(config["sample_size"] * self.vae.reduction)
        tokenizers = source.tokenizers()

        def load_text() -> TextEncoders:
            clip_l, clip_g = self._load("text_encoder"), self._load("text_encoder_2")
            t5 = None if memory.t5 == "none" else self._load(T5)
            width = config["joint_attention_dim"]
            return TextEncoders(clip_l, clip_g, t5, tokenizers, self.settings.t5_length, text_hash, width).eval()

        kept = [memory.t5] if memory.t5 == "8bit" else []  # its tokens are others
        text_hash = sha256_bytes(*(text.encode() for text in (*(hashes[p] for p in PARTS[2:] if p in hashes), *kept)))
        lengths = [source.config(part)["max_position_embeddings"] for part in PARTS[2:4]]
        self.text = LazyText(load_text, (lengths[0], lengths[1]), self.settings.t5_length, dtype, text_hash)

    @cached_property
    def skeleton(self) -> SD3Transformer2DModel:
        """The transformer without weights, on the meta device: its configuration and the names of its modules. Not to be
        changed."""
        return self.empty_transformer()

    def empty_transformer(self) -> SD3Transformer2DModel:
        """A transformer without weights, on the meta device, to try things on."""
        return self.empty_part("transformer")

    def empty_part(self, part: str) -> Any:
        """A part without weights, on the meta device."""
        return self._source.empty(part).eval()

    @cached_property
    def transformer(self) -> SD3Transformer2DModel:
        """The MMDiT."""
        return self._load("transformer")

    @property
    def largest_side(self) -> int:
        """The longest picture side, pixels, that the transformer has positions for."""
        return int(self.skeleton.config["pos_embed_max_size"]) * self.vae.grain

    def _load(self, part: str) -> Any:
        stored = storage_of(part, self.memory)
        if stored == "streamed":
            module = self._source.empty(part).eval().requires_grad_(False)
            return streamed(module, lambda name: self._source.t5_tensor(name, self._dtype), self._dtype, self.device)
        module = self._source.load(part, self._dtype).eval().requires_grad_(False)
        STORAGES.get(stored).apply(module, self._dtype, self.device)
        return torch.nn.Module.to(module, self.device)


def needed_parts(memory: MemoryOptions) -> tuple[str, ...]:
    """The parts that are used."""
    return tuple(part for part in PARTS if part != T5 or memory.t5 != "none")


def open_base(base: str | BaseFiles, needed: tuple[str, ...] = PARTS) -> BaseSource:
    """The files of a base, found but not loaded; ``needed`` are the parts that are asked for.

    Raises:
        OptionError: nothing of that name, a repository that cannot be read, or separate files beside a folder.
    """
    files = BaseFiles.of(base)
    if files.is_single:
        return SingleFileBase(files, needed)
    files.refuse_separate()
    return FolderBase(base_folder(files.name), needed)


def load_base(
    base: str | BaseFiles,
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    memory: MemoryOptions | None = None,
) -> BaseModel:
    """Open a base model for inference or adapter training; only a name on the hub touches a network.

    All parts are checked by their headers and hashed; each is loaded when it is needed.

    Args:
        base: "mini", a folder in diffusers' layout, a repository of the hub, or a single file, with its separate files if
            it has any.
        dtype: number format of all parts.
        device: where to put them; None: the CPU.
        memory: how to keep them in memory; None: whole.

    Raises:
        FileError: a part is missing or damaged.
        OptionError: nothing of that name, an unknown way to keep the transformer, or more than the device has room for.
    """
    memory = memory or MemoryOptions()
    source = open_base(base, needed_parts(memory))
    source.require_complete()
    quiet_libraries()
    return BaseModel(BaseFiles.of(base).name, source, dtype, device or torch.device("cpu"), memory)


def load_vae(base: str | BaseFiles) -> tuple[VaeCodec, BaseSettings]:
    """The autoencoder of a base alone, in float32, and the base's settings; of the other parts at most headers are read.

    Raises:
        FileError: it is missing or damaged.
        OptionError: nothing of that name.
    """
    source = open_base(base)
    config = source.empty("transformer").config
    codec = VaeCodec(source.load("vae", torch.float32), config["patch_size"], source.hash("vae"))
    return codec, source.settings(config["sample_size"] * codec.reduction)


def base_hash(base: str | BaseFiles, needed: tuple[str, ...] = PARTS) -> str:
    """Content hash over the weights of the parts that are used, as ``BaseModel.hash``, without loading them."""
    source = open_base(base, needed)
    source.require_complete()
    return _whole_hash({part: source.hash(part) for part in needed})


def _whole_hash(hashes: dict[str, str]) -> str:
    return sha256_bytes(*(hashes[part].encode() for part in PARTS if part in hashes))


def quiet_libraries() -> None:
    """No progress bars for small files from transformers; our own bars show what takes time."""
    transformers_logging.disable_progress_bar()
