"""A LoRA of any known format on a base, without the record and conditioning weights of an adapter."""

from dataclasses import dataclass

from geodiff_sar.core.console import warn
from geodiff_sar.model.adapter import AdapterRecord, LoadedAdapter
from geodiff_sar.model.adapter_files import AdapterFiles
from geodiff_sar.model.base import BaseModel
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.files import read_lora
from geodiff_sar.model.lora_formats.placed import of_part, require_fit


@dataclass
class PlainLora(LoadedAdapter):
    """A LoRA without record and conditioning weights.

    Its record is made of the base's own settings and says nothing of the LoRA: the modules of ``lora`` may have different
    ranks and alphas, which no ``LoraOptions`` describes.

    Attributes:
        lora: what the file holds.
        form: name of its format.
    """

    lora: Lora
    form: str

    @property
    def has_lora(self) -> bool:
        return True

    @property
    def has_dora(self) -> bool:
        return any(factors.dora is not None for factors in of_part(self.lora, "transformer").values())


def read_plain_lora(files: AdapterFiles, base: BaseModel, mend_split_qkv: bool = False) -> PlainLora:
    """Read a LoRA for a base, and make sure that it fits.

    Args:
        files: of the LoRA.
        base: the base.
        mend_split_qkv: give modules with the split-qkv defect of its trainer the scale that they were meant to have.

    Raises:
        FileError: a damaged file.
        DataError: another model's LoRA, or one that does not fit the base.
    """
    assert files.weights is not None
    lora, name = read_lora(files.weights, mend_split_qkv)
    if lora.thirds and not mend_split_qkv:
        warn(
            f"{files.weights} shows the split-qkv defect of its trainer: q, k and v act with a third of the strength that was"
            " meant; --mend-split-qkv gives it to them, here and in `geodiff-sar convert-lora IN OUT --to diffusers`"
        )
    require_fit(base.skeleton, lora, "transformer", "transformer")
    record = AdapterRecord(
        base=base.name,
        base_hash=base.hash,
        base_hash_without_t5=base.hash_without_t5,
        shift=base.settings.shift,
        remap=base.settings.remap,
        resolution=base.settings.resolution,
        t5_length=base.text.t5_length,
        conditioning=None,
        inject=[],
        image_condition=f"none ({name} LoRA)",
    )
    return PlainLora(None, record, files, lora, name)
