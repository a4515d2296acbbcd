"""From the published tensor names to those of diffusers and transformers, by diffusers' own converters where it has any."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_vae_checkpoint,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from torch import Tensor
from torch.overrides import TorchFunctionMode

from geodiff_sar.core.tensors import mismatch
from geodiff_sar.model.single_file.derive import vae_in_diffusers_names
from geodiff_sar.model.single_file.layout import PartFile

ENDINGS_OF_SCALED = (".scale_weight", ".scale_input", ".weight_scale", ".input_scale")
"""Beside fp8 weights: the factor of the weight, and that of activations, which only fp8 arithmetic needs."""

NOT_TAKEN = {"text_encoder": "text_projection.weight", "text_encoder_3": "encoder.embed_tokens.weight"}
"""Tensors that may be there and are not used: CLIP-L's projection, and the second name of T5's embedding."""


def in_library_names(part: str, tensors: dict[str, Tensor], config: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of a part by the names of its diffusers or transformers class.

    ``tensors`` is emptied on the way. Nothing but small tensors is copied: queries, keys and values are parts of the fused
    matrix, mapped to the file where that is.

    Raises:
        KeyError: a tensor that the converter needs is missing.
    """
    if part == "transformer":
        with _PartsOfWholes():
            return convert_sd3_transformer_checkpoint_to_diffusers(tensors)
    if part == "vae":
        return tensors if vae_in_diffusers_names(tensors) else convert_ldm_vae_checkpoint(tensors, config)  # pyright: ignore
    if part == "text_encoder":  # Stable Diffusion 3 takes CLIP-L's pooled vector without projection
        width = config["hidden_size"]
        dtype = tensors["text_model.embeddings.token_embedding.weight"].dtype
        device = "meta" if any(tensor.is_meta for tensor in tensors.values()) else "cpu"
        return {**tensors, "text_projection.weight": torch.eye(width, dtype=dtype, device=device)}
    if part == "text_encoder_3":
        embedding = tensors["shared.weight"] if "shared.weight" in tensors else tensors["encoder.embed_tokens.weight"]
        return {**tensors, "shared.weight": embedding, "encoder.embed_tokens.weight": embedding}
    return tensors


def tensor_problems(file: PartFile, config: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> str:
    """What is missing, unexpected or of another shape in a part, in words; empty when it is complete. Reads no weights.

    Args:
        file: the part.
        config: its configuration.
        wanted: the tensors of its class under that configuration, on the meta device.
    """
    with torch.device("meta"):
        source = _Asked({name: torch.empty(e.shape) for name, e in file.entries.items() if not is_scale(name)})
    names = {id(tensor): name for name, tensor in source.items()}
    original = list(source.values())  # keeps the identities alive
    try:
        found = in_library_names(file.part, source, config)
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        return f"names or shapes without a place ({str(error)[:200]})"
    if file.part == "transformer":
        missing, unexpected = source.missing, sorted(source)
    else:
        used = {id(tensor if tensor._base is None else tensor._base) for tensor in found.values()}
        missing, unexpected = [], [names[id(tensor)] for tensor in original if id(tensor) not in used]
        unexpected = [name for name in unexpected if name != NOT_TAKEN.get(file.part)]
    listed = {"missing": missing, "unexpected": unexpected}
    words = [
        f"{len(some)} tensors {kind} {[file.prefix + name for name in some[:3]]}"
        for kind, some in listed.items()
        if some
    ]
    if not missing:
        words += [text] if (text := mismatch(wanted, found)) else []
    return ", ".join(words)


def is_scale(name: str) -> bool:
    """Whether a tensor is a factor beside an fp8 weight."""
    return name.endswith(ENDINGS_OF_SCALED)


class _PartsOfWholes(TorchFunctionMode):
    """diffusers' converter concatenates single tensors, which copies them; here they stay what they are."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.cat and len(args[0]) == 1:
            return args[0][0]
        return func(*args, **(kwargs or {}))


class _Asked(dict[str, Tensor]):
    """Tensors that remember which names were asked for in vain; a tensor without content answers for these."""

    def __init__(self, tensors: dict[str, Tensor]):
        super().__init__(tensors)
        self.missing: list[str] = []

    def pop(self, key: str, *_: Any) -> Tensor:  # pyright: ignore
        if key not in self:
            self.missing.append(key)
            return torch.empty(6, device="meta")
        return super().pop(key)
