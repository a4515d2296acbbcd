"""The eight fusion methods, one class in one file each; a new method is one new file here."""

from geodiff_sar.conditioning.fusion.base import Fusion, FusionSizes
from geodiff_sar.core.registry import Registry

FUSIONS: Registry[type[Fusion]] = Registry("fusion method", "fusion.method", "geodiff_sar.conditioning.fusion")

__all__ = ["FUSIONS", "Fusion", "FusionSizes"]
