"""What the three formats with the original model's names have in common: q, k and v fused, alpha as tensors."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats.base import Written
from geodiff_sar.model.lora_formats.canonical import Factors, Lora, swapped_halves
from geodiff_sar.model.lora_formats.dora import Divisor
from geodiff_sar.model.lora_formats.modules import canonical_to_comfy, comfy_to_canonical
from geodiff_sar.model.lora_formats.pairs import factors_of, gather, unplaced
from geodiff_sar.model.lora_formats.qkv import fuse, take_apart
from geodiff_sar.model.lora_formats.split_qkv import has_a_third, mended
from geodiff_sar.model.tensor_file import TensorFile


def read_original(
    file: TensorFile,
    place: Callable[[str], str | None],
    mend_split_qkv: bool,
    scale_over: Divisor = "changed",
) -> Lora:
    """Read a file with fused q, k and v.

    Args:
        file: the LoRA.
        place: from a module's name in the file to ComfyUI's name; None where there is no such module.
        mend_split_qkv: see ``LoraFormat.read``.
        scale_over: what ``dora_scale`` is divided by.

    Raises:
        DataError: see ``LoraFormat.read``.
    """
    lora = Lora({}, file.metadata, str(file.path))
    pairs = gather(file, place)
    lost = [name for name in pairs if comfy_to_canonical(name) is None]
    if lost:
        raise unplaced(file.path, lost)
    for name, pair in pairs.items():
        factors = factors_of(file.path, name, pair, None, scale_over)
        canonical = comfy_to_canonical(name) or ()
        if len(canonical) == 1:
            lora.modules[canonical[0]] = _swapped(canonical[0], factors)
            continue
        if has_a_third(factors, file.metadata):
            lora.thirds.append(name)
            factors = mended(factors) if mend_split_qkv else factors
            lora.mended = mend_split_qkv
        apart = take_apart(factors)
        if apart is None:
            raise DataError(
                file.path,
                f"'{name}' has {factors.up.shape[0]} rows",
                "q, k and v have a third of the rows each",
                "write the file again with the program it comes from",
            )
        lora.modules.update({part: third for part, third in zip(canonical, apart, strict=True) if third is not None})
    return lora


def arrange_original(lora: Lora) -> list[Written]:
    """Modules under ComfyUI's names, q, k and v fused.

    Raises:
        DataError: see ``fuse``.
    """
    groups: dict[str, dict[int | None, str]] = {}
    for name in lora.modules:
        original, third = canonical_to_comfy(name)
        groups.setdefault(original, {})[third] = name
    written = []
    for original, names in groups.items():
        if None in names:
            factors = _swapped(names[None], lora.modules[names[None]])
        else:
            thirds = [lora.modules[names[third]] if third in names else None for third in range(3)]
            factors = fuse(thirds, original, lora.source)
        written.append(Written(original, factors, comfy_to_canonical(original) or ()))
    return written


def spell_original(written: Sequence[Written], respell: Callable[[str], str]) -> dict[str, Tensor]:
    """``lora_down.weight``, ``lora_up.weight`` and ``alpha`` of every module.

    Args:
        written: modules under ComfyUI's names.
        respell: from these to the format's.
    """
    state: dict[str, Tensor] = {}
    for module in written:
        name, factors = respell(module.name), module.factors
        state[f"{name}.lora_down.weight"] = factors.down.contiguous()
        state[f"{name}.lora_up.weight"] = factors.up.contiguous()
        state[f"{name}.alpha"] = alpha_tensor(factors)
        if factors.dora is not None:
            shape = (-1, *[1] * (factors.down.ndim - 1))
            state[f"{name}.dora_scale"] = factors.dora.magnitude.reshape(shape).contiguous()
    return state


def alpha_tensor(factors: Factors) -> Tensor:
    """Alpha as sd-scripts saves it, a number in the format of the factors; float32 where that would round it."""
    alpha = torch.tensor(factors.alpha, dtype=torch.float64)
    small = alpha.to(factors.down.dtype)
    return small if abs(float(small) - factors.alpha) <= 1e-12 * abs(factors.alpha) else alpha.float()


def _swapped(name: str, factors: Factors) -> Factors:
    """Factors with shift and scale exchanged, for the modulations that have these two alone: the output's, and that of the
    text in the last block (2 rows for each column, where those with gates have 6 or 9)."""
    alone = name == "transformer.norm_out.linear" or (
        name.endswith(".norm1_context.linear") and factors.up.shape[0] == 2 * factors.down.shape[1]
    )
    if not alone:
        return factors
    dora = None if factors.dora is None else factors.dora.of(swapped_halves(factors.dora.magnitude))
    return Factors(factors.down, swapped_halves(factors.up), factors.scale, dora)
