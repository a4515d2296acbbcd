"""DoRA: a length for every row of the changed weight, and what the programs divide the rows by.

``W' = m * (W + dW) / |.|`` by rows (Liu et al. 2024, arXiv 2402.09353, eq. 5, whose columns are the rows of a linear layer's
weight), with ``dW = scale * up @ down``: alpha acts inside the norm. Which norm, by the programs' sources:

- PEFT, ``lora_magnitude_vector`` (``peft/tuners/lora/dora.py``, ``get_weight_norm``): of the rows of ``W + dW``.
- LyCORIS with ``wd_on_output=True`` (the default from 3.2; ``lycoris/modules/locon.py``, ``apply_weight_decompose``) and
  OneTrainer (``LoRAModule.py``, ``decompose_output_axis``), ``dora_scale`` of shape (out, 1): of the rows of ``W + dW``.
- ComfyUI since April 2025, ``dora_scale`` of shape (out, 1) (``comfy/weight_adapter/base.py``, ``weight_decompose``): of the
  rows of ``W``, the base weight.
- LyCORIS with ``wd_on_output=False``, OneTrainer without its option, and ComfyUI, ``dora_scale`` of shape (1, in): of the
  columns of ``W + dW``. PEFT has no form for it.

LyCORIS and ComfyUI add float32's epsilon, 1.2e-7, to the norm, PEFT adds nothing; for rows longer than 0.1 that is float32's
rounding, and it is left out here.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.core.errors import DataError

Divisor = Literal["changed", "base"]
"""Whose rows the lengths are divided by: those of the changed weight, or those of the base weight."""


@dataclass(frozen=True)
class Dora:
    """Magnitudes of one layer.

    Attributes:
        magnitude: a length for each row, in units of the weight.
        over: whose row norms it is divided by; "changed": PEFT, LyCORIS, OneTrainer; "base": ComfyUI.
    """

    magnitude: Float[Tensor, " features_out"]
    over: Divisor = "changed"

    def of(self, magnitude: Float[Tensor, " rows"]) -> "Dora":
        """The same with other magnitudes: of some rows, in another order or number format."""
        return replace(self, magnitude=magnitude)

    def applied(
        self, weight: Float[Tensor, "features_out columns"], delta: Float[Tensor, "features_out columns"]
    ) -> Float[Tensor, "features_out columns"]:
        """The changed weight ``m * (W + dW) / |rows|``, by this layer's norm.

        Args:
            weight: the base weight W, a kernel's axes flattened into its columns.
            delta: dW, scale included.
        """
        changed = weight + delta
        norms = torch.linalg.vector_norm(changed if self.over == "changed" else weight, dim=1, keepdim=True)
        return self.magnitude.to(changed)[:, None] * changed / norms

    def over_changed(
        self,
        weight: Float[Tensor, "features_out columns"],
        delta: Float[Tensor, "features_out columns"],
        source: str,
        name: str,
    ) -> "Dora":
        """The magnitudes with which PEFT's rule changes ``weight`` as this one does: ``m |W + dW| / |W|`` for ComfyUI's.

        Args:
            weight: the base weight W, a kernel's axes flattened into its columns.
            delta: dW, scale included.
            source, name: file and module, for messages.

        Raises:
            DataError: a row to divide by has length 0.
        """
        changed = torch.linalg.vector_norm(weight + delta, dim=1)
        divisor = changed if self.over == "changed" else torch.linalg.vector_norm(weight, dim=1)
        empty = int((torch.minimum(divisor, changed) == 0).sum())
        if empty:
            raise DataError(
                source,
                f"DoRA of '{name}' divides by the lengths of rows of which {empty} are 0 on this base",
                "a row of length 0 has no direction",
                "use the base model that it was trained on, or a LoRA without DoRA",
            )
        if self.over == "changed":
            return self
        return Dora(self.magnitude.to(changed) * changed / divisor)
