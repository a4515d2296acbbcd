"""diffusers and PEFT: q, k and v apart, rank and alpha in the header."""

from collections.abc import Sequence

from torch import Tensor

from geodiff_sar.core.errors import DataError
from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import LoraFormat, Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.header import kept, refuse_dora
from geodiff_sar.model.lora_formats.modules import TEXT_PARTS, known
from geodiff_sar.model.lora_formats.pairs import factors_of, gather, module_and_kind
from geodiff_sar.model.lora_formats.peft_header import KEY, PeftSettings, peft_header
from geodiff_sar.model.lora_formats.placed import peft_magnitude
from geodiff_sar.model.tensor_file import TensorFile

PREFIXES = ("base_model.model.transformer.", "base_model.model.", "transformer.", "")


@LORA_FORMATS.register("diffusers")
class DiffusersFormat(LoraFormat):
    """diffusers and PEFT: transformer.transformer_blocks.0.attn.to_q.lora_A.weight, rank and alpha in the header."""

    def recognises(self, file: TensorFile) -> bool:
        found = (module_and_kind(name) for name in file.tensors)
        return any(pair is not None and canonical_name(pair[0]) is not None for pair in found)

    def read(self, file: TensorFile, mend_split_qkv: bool) -> Lora:
        settings = PeftSettings(file.path, file.metadata.get(KEY))
        lora = Lora({}, file.metadata, str(file.path))
        for name, pair in gather(file, canonical_name).items():
            rank = 0 if pair.down is None or not pair.down.ndim else pair.down.shape[0]
            scale = settings.scale(name, rank) if rank else None
            lora.modules[name] = factors_of(file.path, name, pair, scale)
            settings.check_dora(name, lora.modules[name].dora is not None)
        return lora

    def arrange(self, lora: Lora) -> list[Written]:
        refuse_dora(
            lora,
            "ComfyUI divides their lengths by the row norms of the base weight, PEFT by those of the changed weight, and no"
            " base is at hand here to tell one from the other",
            over="base",
            remedy="use the file itself with `geodiff-sar generate`, or convert the one that the training wrote",
        )
        for part in ("transformer", *TEXT_PARTS):
            mine = [name for name in lora.modules if name.startswith(f"{part}.")]
            count = sum(name.startswith(f"{part}.") for name in lora.with_dora())
            if 0 < count < len(mine):
                raise DataError(
                    lora.source,
                    f"{count} of {len(mine)} modules of '{part}' have DoRA magnitudes",
                    "PEFT has DoRA in all modules of a part or in none: the others would get the lengths of the base's rows",
                    "leave it in the format it has; `geodiff-sar generate` takes it",
                )
        return [Written(name, factors, (name,)) for name, factors in lora.modules.items()]

    def spell(self, written: Sequence[Written], lora: Lora, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        state: dict[str, Tensor] = {}
        for module in written:
            state[f"{module.name}.lora_A.weight"] = (
                module.factors.down.clone()
            )  # q, k and v may share one; a file may not
            state[f"{module.name}.lora_B.weight"] = module.factors.up.contiguous()
            if module.factors.dora is not None:
                state[f"{module.name}.lora_magnitude_vector"] = peft_magnitude(module.factors)
        header = {**kept(lora), "format": "pt", KEY: peft_header({module.name: module.factors for module in written})}
        return state, header


def canonical_name(name: str) -> str | None:
    """``<part>.<module>`` for a module's name with any of the prefixes that PEFT and diffusers put before it."""
    if name.startswith("text_encoder"):
        part, _, module = name.partition(".")
        for candidate in (f"{part}.{module}", f"{part}.text_model.{module}"):  # newer transformers leave out text_model
            if known(candidate):
                return candidate
        return None
    for prefix in PREFIXES:
        if name.startswith(prefix):
            candidate = f"transformer.{name.removeprefix(prefix)}"
            if known(candidate):
                return candidate
    return None
