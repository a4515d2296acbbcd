"""Figures of the report, one file each: a function from an evaluation to blocks of pictures."""

from collections.abc import Callable
from dataclasses import dataclass

from geodiff_sar.core.registry import Registry
from geodiff_sar.evaluation.results import Evaluation


@dataclass(frozen=True)
class Picture:
    """One picture.

    Attributes:
        address: ``data:`` address.
        label: text beneath it.
        pixelated: shown with hard pixels (chips), or smoothly (figures).
    """

    address: str
    label: str = ""
    pixelated: bool = False


@dataclass(frozen=True)
class Block:
    """Pictures that belong together.

    Attributes:
        family: under which tables of the report it stands, or "samples".
        title, text: what is seen and how to read it.
        pictures: in order; chips come as rows of ``columns``.
        columns: pictures a row; 1: each as wide as the page.
    """

    family: str
    title: str
    text: str
    pictures: list[Picture]
    columns: int = 1


FIGURES: Registry[Callable[[Evaluation], list[Block]]] = Registry(
    "figure", "figure", "geodiff_sar.evaluation.report.figures"
)
