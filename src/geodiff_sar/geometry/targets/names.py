"""Names of targets as people write them, and the meshes behind them."""

import re

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets.aircraft import build_aircraft
from geodiff_sar.geometry.targets.airframes_low_wing import AIRFRAMES
from geodiff_sar.geometry.targets.composites import build_composite
from geodiff_sar.geometry.targets.vehicles import VEHICLE_KINDS, build_vehicle
from geodiff_sar.geometry.triangles import TriangleMesh

FAMILIES = ("vehicle", *VEHICLE_KINDS, "composite")

ALIASES = {
    "c208": "Cessna 208",
    "caravan": "Cessna 208",
    "cessnacaravan": "Cessna 208",
    "cessna208caravan": "Cessna 208",
    "kingair": "King Air 350i",
    "kingair350": "King Air 350i",
    "beechcraftkingair350i": "King Air 350i",
    "b350": "King Air 350i",
    "350i": "King Air 350i",
    "kodiak": "Kodiak 100",
    "questkodiak100": "Kodiak 100",
    "daherkodiak100": "Kodiak 100",
    "pc12": "Pilatus PC 12",
    "pc12ng": "Pilatus PC 12",
    "pilatus": "Pilatus PC 12",
}


def target_names() -> list[str]:
    """Names of the targets that need no seed, as captions write them."""
    return list(AIRFRAMES)


def canonical_name(name: str) -> str:
    """The name for captions of a target written in any accepted way; families become "tank:7".

    Args:
        name: an aircraft (case, spaces, hyphens and underscores do not matter, common aliases are known), or
            "vehicle", "tank", "carrier", "truck" or "composite" with a colon and a seed.

    Raises:
        OptionError: no target has this name.
    """
    family, colon, seed = name.strip().partition(":")
    if colon and family.strip().lower() in FAMILIES and re.fullmatch(r"\d{1,18}", seed.strip(), re.ASCII):
        return f"{family.strip().lower()}:{int(seed)}"
    plain = _plain(name)
    for known in AIRFRAMES:
        if _plain(known) == plain:
            return known
    if plain in ALIASES:
        return ALIASES[plain]
    families = ", ".join(f"{family}:<seed>" for family in FAMILIES)
    raise OptionError(
        "target",
        f"no target is called '{name}'",
        f"one of {', '.join(AIRFRAMES)}, or {families}",
        "use a name of this list; seeds are whole numbers from 0",
    )


def build_target(name: str) -> TriangleMesh:
    """The mesh of a target: body frame, on the ground, metres.

    Args:
        name: as for `canonical_name`.

    Raises:
        OptionError: no target has this name.
    """
    known = canonical_name(name)
    if known in AIRFRAMES:
        return build_aircraft(known)
    family, _, seed = known.partition(":")
    if family == "composite":
        return build_composite(int(seed))
    return build_vehicle(int(seed), None if family == "vehicle" else family)


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name).lower()
