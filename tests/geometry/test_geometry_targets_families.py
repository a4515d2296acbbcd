"""Seeded vehicles and composites: ranges, determinism, sound meshes."""

import time

import numpy as np
import pytest

from geodiff_sar.core.errors import OptionError
from geodiff_sar.geometry.targets.composites import build_composite
from geodiff_sar.geometry.targets.vehicles import VEHICLE_KINDS, build_vehicle
from geodiff_sar.geometry.triangles import TriangleMesh

SEEDS = range(50)
RANGES_M = {  # extents of x, y, z; the gun and the mirrors included
    "tank": ((5.8, 11.6), (2.9, 3.9), (1.9, 2.9)),
    "carrier": ((6.0, 8.0), (2.5, 3.1), (2.2, 3.0)),
    "truck": ((5.7, 9.5), (2.7, 3.2), (2.3, 3.4)),
    "composite": ((1.0, 14.0), (1.0, 14.0), (0.3, 9.0)),
}


def build(kind: str, seed: int) -> TriangleMesh:
    return build_composite(seed) if kind == "composite" else build_vehicle(seed, kind)


@pytest.mark.parametrize("kind", list(RANGES_M))
def test_fifty_seeds_give_sound_meshes_of_the_right_size(kind: str):
    hashes = set()
    for seed in SEEDS:
        start = time.perf_counter()
        mesh = build(kind, seed)
        assert time.perf_counter() - start < 0.5
        low, high = mesh.bounds
        assert low[2] == pytest.approx(0.0, abs=1e-9)
        np.testing.assert_allclose(low[:2], -high[:2], atol=1e-9)
        assert np.isfinite(mesh.vertices).all()
        assert mesh.face_areas.min() > 1e-10
        for size, (least, most) in zip(high - low, RANGES_M[kind], strict=True):
            assert least <= size <= most, f"{kind}:{seed}"
        if kind == "composite":
            assert 3.0 <= max(high[:2] - low[:2]) <= 14.0
        hashes.add(mesh.content_hash)
    assert len(hashes) == len(SEEDS)


@pytest.mark.parametrize("kind", list(RANGES_M))
def test_the_same_seed_gives_the_same_bits(kind: str):
    for seed in (0, 7, 123_456_789_012):
        assert build(kind, seed).content_hash == build(kind, seed).content_hash


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("tank", {"hull", "turret", "gun", "track", "road wheel", "hatch", "stowage"}),
        ("carrier", {"hull", "turret", "gun", "wheel", "hatch"}),
        ("truck", {"cab", "bed", "wheel", "bumper", "frame"}),
    ],
)
def test_kinds_have_their_parts(kind: str, parts: set[str]):
    for seed in range(5):
        assert parts <= set(build_vehicle(seed, kind).parts)


def test_a_carrier_has_six_or_eight_wheels():
    counts = set()
    for seed in range(10):
        mesh = build_vehicle(seed, "carrier")
        wheels = mesh.with_faces(mesh.part_of_face == mesh.parts.index("wheel"))
        hubs = wheels.vertices[wheels.vertices[:, 2] < 1e-9]
        counts.add(len(np.unique(np.round(hubs[:, :2], 3), axis=0)))
    assert counts <= {6, 8}


def test_without_a_kind_the_seed_chooses_and_all_kinds_occur():
    names = {build_vehicle(seed).name for seed in range(20)}
    assert names == set(VEHICLE_KINDS)


@pytest.mark.parametrize(("kind", "seed"), [("submarine", 1), ("tank", -1), (None, -1)])
def test_unknown_kinds_and_negative_seeds_are_errors(kind: str | None, seed: int):
    with pytest.raises(OptionError):
        build_vehicle(seed, kind)


def test_negative_composite_seed_is_an_error():
    with pytest.raises(OptionError):
        build_composite(-1)
