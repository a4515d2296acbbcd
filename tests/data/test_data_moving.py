"""Moved copies as training chips: picture and prior go together, and nothing else changes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_data_dataset import FourFold
from test_data_mirror import dataset_of

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.mirror import with_mirror_images
from geodiff_sar.data.moving import shown_chip, with_moved_copies
from geodiff_sar.data.pixels import UNKNOWN_GRID
from geodiff_sar.data.remap import AmplitudeRemap


def test_picture_maps_and_points_move_together(samples):
    shown = with_moved_copies(with_mirror_images(samples[:1]), 3, 8, seed=1)
    assert [sample.mirrored for sample in shown] == [False] * 4 + [True] * 4
    data = dataset_of(shown)
    data.prepare()
    batch = data.collate(list(range(8)), 0, 0, augment=False)
    for original, places in ((0, (1, 2, 3)), (4, (5, 6, 7))):
        for place in places:
            rows, columns = shown[place].moved
            assert batch.captions[place] == batch.captions[original]
            assert batch.condition.azimuth_deg[place] == batch.condition.azimuth_deg[original]
            there = np.s_[max(rows, 0) : 48 + min(rows, 0), max(columns, 0) : 48 + min(columns, 0)]
            here = np.s_[max(-rows, 0) : 48 + min(-rows, 0), max(-columns, 0) : 48 + min(-columns, 0)]
            maps = batch.condition.maps
            torch.testing.assert_close(maps[place][(..., *there)], maps[original][(..., *here)])
            assert not torch.equal(maps[place], maps[original])
            assert maps[place].count_nonzero() == maps[place][(..., *there)].count_nonzero()
            steps = data.priors.clouds[shown[place].id].coordinates - data.priors.clouds[shown[original].id].coordinates
            np.testing.assert_allclose(steps, np.tile([columns * 0.18, rows * 0.18, 0], (len(steps), 1)), atol=1e-4)
            chip = load_in_frame(shown[place].image_path, shown[place].grid)
            pixels = AmplitudeRemap().to_model(shown_chip(chip, shown[place]))
            torch.testing.assert_close(batch.mean[place], FourFold().encode(torch.from_numpy(pixels)[None, None])[0][0])
            assert not torch.equal(batch.mean[place], batch.mean[original])


def test_a_moved_chip_is_reflected_at_its_border(samples):
    chip = np.arange(20, dtype=np.float32).reshape(4, 5)
    np.testing.assert_array_equal(shown_chip(chip, samples[0]), chip)
    moved = shown_chip(chip, replace(samples[0], moved=(1, -2)))
    np.testing.assert_array_equal(moved, [[7, 8, 9, 8, 7], [2, 3, 4, 3, 2], [7, 8, 9, 8, 7], [12, 13, 14, 13, 12]])
    both = shown_chip(chip, replace(samples[0], moved=(1, -2), mirrored=True))
    np.testing.assert_array_equal(both, shown_chip(chip[::-1], replace(samples[0], moved=(1, -2))))


def test_moves_follow_from_seed_and_chip_alone(samples):
    def moves(chips, seed):
        return [sample.moved for sample in with_moved_copies(chips, 24, 2, seed)]

    every = moves(samples[:1], 1)
    assert every[0] == (0, 0)
    assert sorted(every) == [(row, column) for row in range(-2, 3) for column in range(-2, 3)]
    assert moves(samples[1:2], 1) == moves(samples, 1)[25:50] != every
    assert moves(samples[:1], 2) != every
    assert with_moved_copies(samples, 0, 8, 1) == samples
    unknown = [replace(samples[0], grid=UNKNOWN_GRID)]
    assert with_moved_copies(unknown, 0, 8, 1) == unknown


def test_what_cannot_be_moved(samples):
    with pytest.raises(DataError, match="range grows"):
        with_moved_copies([replace(samples[0], grid=UNKNOWN_GRID)], 1, 8, 1)
    assert len(with_moved_copies([replace(samples[0], grid=UNKNOWN_GRID, prior_path=None)], 1, 8, 1)) == 2
    with pytest.raises(OptionError, match="mirrored or moved"):
        dataset_of(with_moved_copies(samples, 1, 8, 1), cache={"read_reference": True}).check()
