"""Priors as conditions: maps fitted as their chip is, and the facts by which another prior is recognised."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from geodiff_sar.core.condition import Needs
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import GeometryPrior, Pose, RadarParams
from geodiff_sar.data.buckets import fit_to_bucket
from geodiff_sar.data.prior_facts import PriorFacts, prior_facts
from geodiff_sar.data.prior_maps import fit_maps, map_names, target_area
from geodiff_sar.data.prior_store import PriorStore
from geodiff_sar.data.readers import read_samples
from support import MAP_NAMES, random_prior, write_chips_root, write_map_priors

RADAR = RadarParams(10e9, 5e8, 2.0, "HH")


def prior(radar: RadarParams | None = RADAR, depression: float | None = 17.0) -> GeometryPrior:
    return replace(random_prior(0), radar=radar, pose=Pose(10.0, depression))


@pytest.mark.parametrize("size", [(32, 32), (48, 32), (16, 16), (64, 48)])
def test_maps_are_fitted_as_their_chip_is(size):
    chip = np.random.default_rng(0).random((24, 40)).astype(np.float32)
    maps = np.stack([chip, 0.5 * chip])
    fitted = fit_maps(maps, *size)
    assert fitted.shape == (2, size[1], size[0])
    expected, _, _ = fit_to_bucket(chip, *size)
    assert np.array_equal(fitted[0], expected.astype(np.float16))


def test_names_of_maps():
    bare = random_prior(0)
    assert map_names(bare) is None
    maps = np.zeros((2, 4, 4), np.float32)
    assert map_names(replace(bare, maps=maps)) == ("map 1", "map 2")
    assert map_names(replace(bare, maps=maps, provenance={"maps": ["a", "b"]})) == ("a", "b")
    with pytest.raises(DataError, match="one name per map"):
        map_names(replace(bare, maps=maps, provenance={"maps": ["a"]}))


def test_what_is_inside_the_facts_is_no_difference():
    facts = prior_facts([prior(), prior(depression=15.0), prior(replace(RADAR, polarisation="VV"))])
    assert facts.depressions_deg == (15.0, 17.0)
    assert facts.radars[0].polarisations == ["HH", "VV"]
    assert PriorFacts.model_validate_json(facts.model_dump_json()) == facts
    for other in (
        prior(),
        prior(depression=14.0),
        prior(depression=18.0),
        prior(depression=None),
        prior(replace(RADAR, bandwidth_hz=5.04e8)),
        prior(None),
    ):
        assert facts.differences(other) == []
    assert prior_facts([random_prior(1)]).differences(prior()) == []


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (prior(replace(RADAR, center_frequency_hz=10.2e9)), "radar 10.2 GHz"),
        (prior(replace(RADAR, bandwidth_hz=5.1e8)), "bandwidth 510 MHz"),
        (prior(replace(RADAR, azimuth_aperture_deg=2.1)), "aperture 2.1 degrees"),
        (
            prior(replace(RADAR, polarisation="HV")),
            "HV; trained with 10 GHz, bandwidth 500 MHz, aperture 2 degrees, HH",
        ),
        (prior(depression=18.5), "depression 18.5 degrees; trained with 15 to 17"),
    ],
)
def test_differences_name_both_values(other, words):
    (found,) = prior_facts([prior(), prior(depression=15.0)]).differences(other)
    assert words in found


def test_nothing_is_loaded_that_is_not_needed(tmp_path):
    write_chips_root(tmp_path, count=3)
    write_map_priors(tmp_path)
    samples = read_samples(tmp_path)

    def loaded(needs: Needs) -> PriorStore:
        store = PriorStore(samples, 64, needs, allow_missing=False)
        store.require()
        for sample in samples:
            store.load(sample, (24, 40) if sample.id == "3" else (32, 32), (32, 32))
        store.require_maps()
        return store

    clouds = loaded(Needs())
    assert (len(clouds.clouds), clouds.maps, clouds.map_names) == (3, {}, ())
    maps = loaded(Needs(clouds=False, maps=True))
    assert maps.map_names == MAP_NAMES
    assert {identity: fitted.shape for identity, fitted in maps.maps.items()} == dict.fromkeys("123", (3, 32, 32))
    assert maps.cloud("1") is None
    assert all(kept.maps is None for kept in maps.clouds.values())
    assert not loaded(Needs(clouds=False)).clouds
    assert torch.isfinite(clouds.statistics()[0]).all()


def test_where_target_and_shadow_are():
    maps = np.zeros((3, 20, 20), np.float16)
    maps[0, 5, 6], maps[2, 10:12, 14] = 1.0, 1.0
    area = target_area(maps, ("illumination", "height", "shadow"))
    assert set(np.unique(area)) == {0.0, 1.0}
    assert area[5, 8] == area[13, 14] == area[10, 14] == 1
    assert area[5, 9] == area[0, 0] == 0
    assert area.sum() == 13 + 18
    with pytest.raises(DataError, match="no map shadow"):
        target_area(maps, ("illumination", "height", "centres"))


def test_targets_are_known_without_an_adapter_that_takes_maps(tmp_path):
    write_chips_root(tmp_path, count=3)
    write_map_priors(tmp_path)
    nothing = Needs(clouds=False, maps=False, image=False, pose=False)
    store = PriorStore(read_samples(tmp_path), 64, nothing, allow_missing=False, with_targets=True)
    store.require()
    for sample in store.samples:
        store.load(sample, (24, 40) if sample.id == "3" else (32, 32), (32, 32))
    store.require_maps()
    assert (store.clouds, store.maps, store.map_names) == ({}, {}, ())
    assert {name: area.shape for name, area in store.targets.items()} == dict.fromkeys("123", (32, 32))
