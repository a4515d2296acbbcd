"""kohya-ss/sd-scripts, ``networks/lora_sd3.py``: one flat name for each module, alpha as a tensor.

LyCORIS, trained through sd-scripts, has the same names; its ``dora_scale`` is read, see ``dora``.
"""

from collections.abc import Sequence

from torch import Tensor

from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import LoraFormat, Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.header import original_header, refuse_dora
from geodiff_sar.model.lora_formats.modules import comfy_to_kohya, kohya_to_comfy
from geodiff_sar.model.lora_formats.original import arrange_original, read_original, spell_original
from geodiff_sar.model.tensor_file import TensorFile

MARK = "ss_enable_3d_fusion"
"""Text by which the published trainer's files differ from sd-scripts'."""

PREFIXES = ("lora_unet_", "lora_te1_", "lora_te2_", "lora_te3_")


@LORA_FORMATS.register("kohya")
class KohyaFormat(LoraFormat):
    """kohya's sd-scripts: lora_unet_joint_blocks_0_x_block_attn_qkv.lora_down.weight; ComfyUI reads it too."""

    def recognises(self, file: TensorFile) -> bool:
        return MARK not in file.metadata and any(name.startswith(PREFIXES) for name in file.tensors)

    def read(self, file: TensorFile, mend_split_qkv: bool) -> Lora:
        return read_original(file, kohya_to_comfy, mend_split_qkv)

    def arrange(self, lora: Lora) -> list[Written]:
        refuse_dora(lora, "sd-scripts' LoRA of SD3 has no DoRA, and ComfyUI would divide by other norms")
        return arrange_original(lora)

    def spell(self, written: Sequence[Written], lora: Lora, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        return spell_original(written, comfy_to_kohya), original_header(written, lora, title)
