"""Parts, controls, common remaps, and refusals of what cannot be compared."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation_support import GRID, make_chips
from geodiff_sar.core.errors import DataError
from geodiff_sar.data.pixels import PixelRemap
from geodiff_sar.evaluation.base import CONTROLS
from geodiff_sar.evaluation.common_remap import common_remap
from geodiff_sar.evaluation.controls import control_rows
from geodiff_sar.evaluation.matching import on_grid_of, require_comparable, with_known_azimuths
from geodiff_sar.evaluation.overlap import require_apart
from geodiff_sar.evaluation.parts import deal


def test_parts_are_disjoint_complete_and_spread_over_azimuth():
    chips = make_chips(120)
    parts = deal(chips)
    every = np.concatenate([parts.instruments, parts.reference, parts.control])
    assert sorted(every) == list(range(120))
    assert len(parts.instruments) == 60
    assert abs(len(parts.reference) - len(parts.control)) <= 1
    for target in ("tank", "truck"):
        mine = [k for k in range(120) if chips.target[k] == target]
        ordered = sorted(mine, key=lambda k: chips.azimuth_deg[k])
        assert [k in parts.instruments for k in ordered] == [place % 2 == 0 for place in range(len(ordered))]


def test_only_judged_chips_are_compared():
    chips = make_chips(120)
    judged = chips.azimuth_deg < 180
    parts = deal(chips, judged)
    assert judged[np.concatenate([parts.reference, parts.control])].all()
    assert not judged[parts.instruments].all()


def test_too_few_chips():
    with pytest.raises(DataError, match="at least 8"):
        deal(make_chips(20))


def test_controls_change_what_their_names_say():
    chips = make_chips(40)
    rows = dict(control_rows(chips, seed=3))
    assert tuple(rows) == CONTROLS
    azimuths, classes = rows["azimuth-shuffled"], rows["class-shuffled"]
    assert azimuths.hashes == classes.hashes == chips.hashes
    assert azimuths.target == chips.target
    for name in ("tank", "truck"):
        mine = np.array(chips.target) == name
        assert sorted(azimuths.azimuth_deg[mine]) == sorted(chips.azimuth_deg[mine])
    assert np.mean(azimuths.azimuth_deg == chips.azimuth_deg) < 0.2
    assert all(a != b for a, b in zip(classes.target, chips.target, strict=True))
    assert np.array_equal(classes.azimuth_deg, chips.azimuth_deg)
    noise = rows["noise"].amplitude
    assert noise.mean(axis=(1, 2)) == pytest.approx(chips.amplitude.mean(axis=(1, 2)), rel=0.06)
    assert noise.std() / noise.mean() == pytest.approx(0.523, abs=0.03)
    clutter = rows["clutter only"].amplitude
    assert clutter[chips.masks == 1].mean() == pytest.approx(chips.amplitude[chips.masks == 0].mean(), rel=0.1)


def test_one_class_has_no_class_control():
    assert "class-shuffled" not in dict(control_rows(make_chips(20, targets=("tank",)), seed=0))


def test_noise_keeps_the_remap():
    root = PixelRemap(kind="power", exponent=0.5)
    chips = make_chips(8)
    chips = replace(chips.with_amplitude(np.sqrt(chips.amplitude)), remap=root)
    noise = dict(control_rows(chips, 0))["noise"]
    power = root.to_amplitude(noise.amplitude)
    assert power.std() / power.mean() == pytest.approx(0.523, abs=0.04)


@pytest.mark.parametrize("law", ["linear", "root", "rank"])
def test_common_remap_undoes_gain_and_power(law):
    chips = make_chips(6)
    other = chips.with_amplitude((3.0 * chips.amplitude) ** 0.5)
    other = replace(other, remap=PixelRemap(kind="power", exponent=0.5, scaling="per-chip"))
    first, second = common_remap(chips, law), common_remap(other, law)
    assert first.remap == second.remap
    assert np.abs(first.amplitude - second.amplitude).max() < 0.02
    require_comparable(first, second)


def test_an_unknown_law_can_be_ranked_only():
    chips = replace(make_chips(4), remap=PixelRemap(kind="nonlinear"))
    with pytest.raises(DataError, match="rank"):
        common_remap(chips, "linear")
    assert common_remap(chips, "rank").amplitude.std() > 0


def test_what_cannot_be_compared():
    chips = make_chips(8)
    with pytest.raises(DataError, match="remap"):
        require_comparable(chips, replace(chips, remap=PixelRemap(kind="power", exponent=0.5)))
    with pytest.raises(DataError, match="--crop"):
        require_comparable(chips, make_chips(8, size=32))
    with pytest.raises(DataError, match="jeep"):
        require_comparable(chips, replace(chips, target=("jeep",) * 8))
    with pytest.raises(DataError, match="direction of range"):
        require_comparable(chips, replace(chips, grid=GRID.model_copy(update={"range_direction": None})))
    with pytest.raises(DataError, match="pixel_range_m"):
        require_comparable(chips, replace(chips, grid=GRID.model_copy(update={"pixel_range_m": 0.3})))
    with pytest.raises(DataError, match="--no-azimuth"):
        with_known_azimuths(replace(chips, azimuth_deg=np.where(np.arange(8) == 3, np.nan, chips.azimuth_deg)))


def test_an_unknown_spacing_is_that_of_the_real_chips():
    chips = make_chips(4)
    bare = replace(chips, grid=GRID.model_copy(update={"pixel_range_m": None, "resolution_range_m": None}))
    assert on_grid_of(chips, bare).grid == GRID


def test_a_planted_leak_is_refused_and_named():
    training, judged = make_chips(30, seed=1, name="training"), make_chips(30, seed=2, name="judged")
    require_apart(training, judged)
    leak = np.concatenate([judged.amplitude[:-1], np.roll(training.amplitude[4:5], 2, axis=1)])
    with pytest.raises(DataError, match="training-0004 and judged-0029"):
        require_apart(training, judged.with_amplitude(leak))


def test_a_common_remap_clips_nothing_and_leaves_no_gaps_between_grey_levels():
    chips = make_chips(4)
    grey = chips.with_amplitude(np.rint(chips.amplitude / 8))
    for law in ("linear", "root"):
        common = common_remap(grey, law)
        assert len(np.unique(common.amplitude[0])) > 2000
        order = np.argsort(grey.amplitude[0], axis=None)
        assert (np.diff(common.amplitude[0].ravel()[order])[np.diff(grey.amplitude[0].ravel()[order]) > 1] > 0).all()
        assert common.amplitude[0].argmax() in np.flatnonzero(grey.amplitude[0] == grey.amplitude[0].max())


def test_noise_of_decibel_chips_is_speckle():
    law = PixelRemap(kind="db", range_db=60.0)
    chips = make_chips(4)
    chips = replace(chips.with_amplitude(law.from_amplitude(chips.amplitude)), remap=law)
    noise = law.to_amplitude(dict(control_rows(chips, 0))["noise"].amplitude)
    assert noise.std() / noise.mean() == pytest.approx(0.523, abs=0.04)


def test_display_remaps_of_different_names_differ():
    chips = replace(make_chips(8), remap=PixelRemap(kind="nonlinear", name="enhanced"))
    with pytest.raises(DataError, match="enhanced"):
        require_comparable(chips, replace(chips, remap=PixelRemap(kind="nonlinear", name="SAMPLE decibel")))
