"""SICD chips; see ``data.sicd``."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from geodiff_sar.data.formats import FORMATS
from geodiff_sar.data.formats.base import ChipFormat, FileFacts
from geodiff_sar.data.sicd import MAGIC, SUFFIXES, read_sicd, sicd_facts


@FORMATS.register("sicd")
class SicdFormat(ChipFormat):
    """SICD (needs the extra ``sicd``): the magnitude of the complex image."""

    @staticmethod
    def recognises(head: bytes, suffix: str) -> bool:
        return head.startswith(MAGIC) or suffix in SUFFIXES

    @staticmethod
    def load(path: Path) -> Float[np.ndarray, "height width"]:
        return read_sicd(path)

    @staticmethod
    def facts(path: Path) -> FileFacts | None:
        return sicd_facts(path)
