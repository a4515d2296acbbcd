"""The one form in memory that every format is read into: two factors and a scale for each linear layer."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.model.lora_formats.dora import Divisor, Dora


@dataclass(frozen=True)
class Factors:
    """The change of one layer's weight, ``dW = scale * up @ down`` (Hu et al. 2021, eq. 3, with scale = alpha / rank), and
    the lengths that DoRA then gives its rows.

    A convolution has the kernel's axes behind those of ``down``; ``dW`` has them flattened into its columns.

    Attributes:
        down: first factor, lora_A.
        up: second factor, lora_B.
        scale: what the product is multiplied by; alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA.
        dora: lengths of the rows of the changed weight; None: no DoRA.
    """

    down: Float[Tensor, "rank features_in *kernel"]
    up: Float[Tensor, "features_out rank *ones"]
    scale: float
    dora: Dora | None = None

    @property
    def rank(self) -> int:
        """Number of columns of ``up``."""
        return self.down.shape[0]

    @property
    def alpha(self) -> float:
        """What a format that scales by alpha / rank has to write."""
        return self.scale * self.rank

    def matrices(self) -> tuple[Float[Tensor, "features_out rank"], Float[Tensor, "rank columns"]]:
        """``scale * up`` and ``down`` as float64 matrices; their product is ``dW``."""
        return self.up.flatten(1).double() * self.scale, self.down.flatten(1).double()

    def delta(self) -> Float[Tensor, "features_out columns"]:
        """``dW`` in float64; DoRA left out."""
        up, down = self.matrices()
        return up @ down


@dataclass
class Lora:
    """A LoRA read from a file.

    Attributes:
        modules: factors by module, ``<part>.<module in diffusers' naming>`` with q, k and v apart; the part is
            ``transformer``, ``text_encoder`` (CLIP-L), ``text_encoder_2`` (CLIP-G) or ``text_encoder_3`` (T5).
        metadata: texts of the file's header.
        source: the file, for messages.
        thirds: fused modules that show the split-qkv defect, see ``split_qkv``.
        mended: whether these were given the scale that they were meant to have.
    """

    modules: dict[str, Factors]
    metadata: dict[str, str]
    source: str
    thirds: list[str] = field(default_factory=list)
    mended: bool = False

    def with_dora(self, over: Divisor | None = None) -> list[str]:
        """Modules that have DoRA magnitudes; given ``over``, those of this rule alone."""
        found = ((name, factors.dora) for name, factors in self.modules.items())
        return [name for name, dora in found if dora is not None and over in (None, dora.over)]

    @property
    def width(self) -> int | None:
        """Width of the transformer's tokens; None where no attention is adapted."""
        for name, factors in self.modules.items():
            if name.endswith((".attn.to_q", ".attn.to_k", ".attn.to_v", ".attn.add_q_proj", ".attn2.to_q")):
                return factors.down.shape[1]
        return None

    @property
    def dual(self) -> bool:
        """Whether a block with a second attention is adapted, as only SD3.5-Medium's architecture (MMDiT-X) has."""
        return any(".attn2." in name for name in self.modules)


def swapped_halves(rows: Float[Tensor, "features_out *rest"]) -> Float[Tensor, "features_out *rest"]:
    """The second half of the rows before the first."""
    first, second = rows.chunk(2, dim=0)
    return torch.cat([second, first], dim=0)
