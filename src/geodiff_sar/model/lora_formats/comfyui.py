"""ComfyUI: the model's own names behind ``diffusion_model.``, alpha as a tensor.

ComfyUI (``comfy/lora.py``, ``comfy/weight_adapter/lora.py``) scales by the tensor ``<module>.alpha`` over the rank, by 1
without it, and never reads PEFT's header. It takes lora_up/lora_down and lora_B/lora_A alike; the first is the older.
``dora_scale`` under these names is taken as ComfyUI applies it, see ``dora``.
"""

from collections.abc import Sequence

from torch import Tensor

from geodiff_sar.model.lora_formats import LORA_FORMATS
from geodiff_sar.model.lora_formats.base import LoraFormat, Written
from geodiff_sar.model.lora_formats.canonical import Lora
from geodiff_sar.model.lora_formats.header import original_header, refuse_dora
from geodiff_sar.model.lora_formats.original import arrange_original, read_original, spell_original
from geodiff_sar.model.tensor_file import TensorFile


@LORA_FORMATS.register("comfyui")
class ComfyuiFormat(LoraFormat):
    """ComfyUI: diffusion_model.joint_blocks.0.x_block.attn.qkv.lora_down.weight, alpha as a tensor."""

    def recognises(self, file: TensorFile) -> bool:
        return any(name.startswith(("diffusion_model.", "text_encoders.")) for name in file.tensors)

    def read(self, file: TensorFile, mend_split_qkv: bool) -> Lora:
        return read_original(file, lambda name: name, mend_split_qkv, scale_over="base")

    def arrange(self, lora: Lora) -> list[Written]:
        refuse_dora(
            lora,
            "its lengths are divided by the row norms of the changed weight (PEFT, LyCORIS, OneTrainer); ComfyUI divides by"
            " those of the base weight, and would draw something else",
            over="changed",
            remedy="convert to diffusers, or use it with `geodiff-sar generate`",
        )
        return arrange_original(lora)

    def spell(self, written: Sequence[Written], lora: Lora, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        return spell_original(written, lambda name: name), original_header(written, lora, title)
