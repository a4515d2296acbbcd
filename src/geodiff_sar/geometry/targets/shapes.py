"""Building blocks for targets, in one place: closed solids point outwards, reflectors towards their opening."""

from geodiff_sar.geometry.targets.basics import (
    facet_length_m,
    mirrored,
    outward,
    rotation,
    segments_around,
    signed_volume,
)
from geodiff_sar.geometry.targets.lofts import (
    WingSection,
    loft,
    naca_section,
    scoop,
    superellipse,
    superellipse_body,
    wing_panel,
)
from geodiff_sar.geometry.targets.primitives import box, boxes, cylinder, plate, prism, slab, sphere, tube
from geodiff_sar.geometry.targets.reflectors import dihedral, square_trihedral, triangular_trihedral

__all__ = [
    "WingSection",
    "box",
    "boxes",
    "cylinder",
    "dihedral",
    "facet_length_m",
    "loft",
    "mirrored",
    "naca_section",
    "outward",
    "plate",
    "prism",
    "rotation",
    "scoop",
    "segments_around",
    "signed_volume",
    "slab",
    "sphere",
    "square_trihedral",
    "superellipse",
    "superellipse_body",
    "triangular_trihedral",
    "tube",
    "wing_panel",
]
