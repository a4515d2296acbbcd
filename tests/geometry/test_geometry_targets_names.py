"""Names of targets as people write them."""

import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets import build_target, canonical_name, target_names


def test_names_are_those_of_the_captions():
    assert target_names() == ["Cessna 208", "King Air 350i", "Kodiak 100", "Pilatus PC 12"]


@pytest.mark.parametrize(
    ("written", "known"),
    [
        ("Cessna 208", "Cessna 208"),
        ("cessna208", "Cessna 208"),
        ("CESSNA-208", "Cessna 208"),
        ("king_air_350i", "King Air 350i"),
        ("kingair350i", "King Air 350i"),
        ("Kodiak100", "Kodiak 100"),
        ("kodiak", "Kodiak 100"),
        ("PC-12", "Pilatus PC 12"),
        ("pc12", "Pilatus PC 12"),
        ("pilatus-pc-12", "Pilatus PC 12"),
        (" Tank:007 ", "tank:7"),
        ("composite:0", "composite:0"),
    ],
)
def test_spellings(written: str, known: str):
    assert canonical_name(written) == known


@pytest.mark.parametrize("name", ["pc12", "vehicle:3", "tank:3", "carrier:3", "truck:3", "composite:3"])
def test_every_family_builds(name: str):
    assert len(build_target(name).faces) > 10


def test_vehicle_of_a_kind_has_that_kind():
    assert build_target("truck:5").name == "truck"


@pytest.mark.parametrize("name", ["", "Concorde", "tank", "tank:", "tank:-1", "tank:x", "tank:1.5", "boat:1", "pc12:1"])
def test_unknown_names_list_the_known_ones(name: str):
    with pytest.raises(OptionError, match=r"Cessna 208.*composite:<seed>"):
        build_target(name)
