"""What a format is: it recognises its files, reads them into factors, and spells factors as tensors and a header."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from geodiff_sar.model.lora_formats.canonical import Factors, Lora
from geodiff_sar.model.tensor_file import TensorFile


@dataclass(frozen=True)
class Written:
    """One module as a format writes it.

    Attributes:
        name: module in the format's naming.
        factors: what is written.
        parts: modules of the form in memory that it stands for; three for fused q, k and v, adapted or not.
        error: relative Frobenius error that a truncation has made.
    """

    name: str
    factors: Factors
    parts: tuple[str, ...]
    error: float = 0.0


class LoraFormat(ABC):
    """One way to write a LoRA."""

    @abstractmethod
    def recognises(self, file: TensorFile) -> bool:
        """Whether the file's names are those of this format."""

    @abstractmethod
    def read(self, file: TensorFile, mend_split_qkv: bool) -> Lora:
        """The file's factors.

        Args:
            file: a file of this format.
            mend_split_qkv: give modules with the split-qkv defect the scale they were meant to have.

        Raises:
            DataError: names without a place, incomplete or ill-shaped pairs, NaN or Inf, contradictory scales.
        """

    @abstractmethod
    def arrange(self, lora: Lora) -> list[Written]:
        """The modules as this format groups them.

        Raises:
            DataError: the format has no place for something.
        """

    @abstractmethod
    def spell(self, written: Sequence[Written], lora: Lora, title: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors and header texts of the file.

        Args:
            written: what ``arrange`` gave, possibly truncated.
            lora: where it comes from, for its header.
            title: name of the model, for the header.
        """
