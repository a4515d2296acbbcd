"""Latents and text embeddings on disk, keyed by what they were computed from, so that no entry can be stale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import Float
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from geodiff_sar.core.config import Options
from geodiff_sar.core.console import warn
from geodiff_sar.core.files import atomic_write_bytes, sha256_json


class CacheOptions(Options):
    """Where latents and text embeddings are kept."""

    folder: str | None = Field(default=None, description="cache folder; None: cache/ in the run's output folder")
    read_reference: bool = Field(
        default=False, description="use <stem>_{W}x{H}_sd3.npz beside the chips where it exists"
    )
    write_reference: bool = Field(default=False, description="also write <stem>_{W}x{H}_sd3.npz beside the chips")


class TensorCache:
    """Dictionaries of tensors under a key; in memory, and in ``folder`` when one is given."""

    def __init__(self, folder: Path | None):
        self.folder = folder
        self._memory: dict[str, dict[str, Tensor]] = {}

    def get_or_compute(self, key: str, compute: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The entry under ``key``, computed and kept when there is none."""
        found = self.get(key)
        if found is None:
            self.put(key, compute())
            found = self._memory[key]
        return found

    def get(self, key: str) -> dict[str, Tensor] | None:
        """The entry under ``key`` or None; a damaged file is removed with a note."""
        if key in self._memory:
            return self._memory[key]
        path = self._path(key)
        if path is None or not path.is_file():
            return None
        try:
            self._memory[key] = load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            warn(f"cache entry {path} is damaged ({error}); it is computed again")
            path.unlink()
            return None
        return self._memory[key]

    def put(self, key: str, tensors: dict[str, Tensor]) -> None:
        """Keep an entry, contiguous in memory, as it will be when it is read back."""
        self._memory[key] = {name: tensor.contiguous() for name, tensor in tensors.items()}
        path = self._path(key)
        if path is not None:
            atomic_write_bytes(path, save(self._memory[key]))

    def _path(self, key: str) -> Path | None:
        return None if self.folder is None else self.folder / key[:2] / f"{key}.safetensors"


def latent_key(
    image_sha256: str,
    model_hash: str,
    dtype: str,
    width: int,
    height: int,
    remap_record: dict[str, Any],
    turns: int = 0,
    mirrored: bool = False,
    moved: tuple[int, int] = (0, 0),
) -> str:
    """Key of a latent: picture bytes, VAE weights, number format, size, remap, the quarter turns of the picture, whether it
    is mirrored after them, and by how much it is moved after that."""
    turned = [turns, "mirrored"] if mirrored else [turns] if turns else []
    shown = [*turned, "moved", *moved] if any(moved) else turned
    return sha256_json(["latent", 1, image_sha256, model_hash, dtype, width, height, remap_record, *shown])


def text_key(caption: str, model_hash: str, dtype: str, token_lengths: tuple[int, ...]) -> str:
    """Key of a text embedding: caption bytes, encoder weights, number format and token lengths."""
    return sha256_json(["text", 1, caption, model_hash, dtype, list(token_lengths)])


def pack_text(context: Float[Tensor, "token context"], pooled: Float[Tensor, " pooled"]) -> dict[str, Tensor]:
    """A text embedding as a cache entry."""
    return {"context": context.clone(), "pooled": pooled.clone()}
