"""The published GeoDiff-SAR trainer: kohya's names, and four texts about its fusion in the header."""

from collections.abc import Sequence

from torch import Tensor

from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import LoraFormat, Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.header import original_header, refuse_dora
from geodiff_sar.model.lora_formats.kohya import MARK, PREFIXES
from geodiff_sar.model.lora_formats.modules import comfy_to_kohya, kohya_to_comfy
from geodiff_sar.model.lora_formats.original import arrange_original, read_original, spell_original
from geodiff_sar.model.tensor_file import TensorFile

FUSION_KEYS = (MARK, "ss_fusion_method", "ss_pointcloud_dim", "ss_image_feature_dim")


@LORA_FORMATS.register("reference")
class ReferenceFormat(LoraFormat):
    """The published trainer's files: kohya's names, with ss_enable_3d_fusion and what belongs to it in the header."""

    def recognises(self, file: TensorFile) -> bool:
        return MARK in file.metadata and any(name.startswith(PREFIXES) for name in file.tensors)

    def read(self, file: TensorFile, mend_split_qkv: bool) -> Lora:
        return read_original(file, kohya_to_comfy, mend_split_qkv)

    def arrange(self, lora: Lora) -> list[Written]:
        refuse_dora(lora, "the published trainer's LoRA has no DoRA")
        return arrange_original(lora)

    def spell(self, written: Sequence[Written], lora: Lora, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        header = original_header(written, lora, title)
        header.setdefault(MARK, "False")
        return spell_original(written, comfy_to_kohya), header
