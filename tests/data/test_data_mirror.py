"""Mirror images as training chips: picture, caption, pose and prior turn together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_data_dataset import FourFold, Words

from geodiff_sar.core.condition import Needs
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.dataset import ChipDataset
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.mirror import with_mirror_images
from geodiff_sar.data.options import DataOptions
from geodiff_sar.data.pixels import UNKNOWN_GRID
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.geometry.maps import MAP_NAMES


def dataset_of(samples, **options):
    data = DataOptions.model_validate({"buckets": {"min_bucket_reso": 16, "bucket_reso_steps": 8}, **options})
    vae, remap = FourFold(), AmplitudeRemap()
    return ChipDataset(samples, data, remap, (48, 48), vae, Words(), None, None, Needs(maps=True))


def test_picture_caption_pose_and_prior_turn_together(samples):
    both = with_mirror_images(samples)
    assert [sample.mirrored for sample in both] == [False, True] * 4
    assert len({sample.id for sample in both}) == 8
    data = dataset_of(both)
    data.prepare()
    batch = data.collate(list(range(8)), 0, 0, augment=False)
    for place in range(0, 8, 2):
        azimuth = both[place].caption.azimuth_deg
        assert both[place + 1].caption.azimuth_deg == 360.0 - azimuth
        assert batch.captions[place + 1] == batch.captions[place].replace(f"{azimuth}", f"{360.0 - azimuth}")
        assert batch.condition.azimuth_deg[place + 1] == 360.0 - azimuth
    here, there = batch.mean[0::2], batch.mean[1::2]
    torch.testing.assert_close(there, here.flip(2))
    assert not torch.equal(there, here)
    maps, turned = batch.condition.maps[0::2], batch.condition.maps[1::2]
    torch.testing.assert_close(turned[:, :-1], maps[:, :-1].flip(2))
    y = MAP_NAMES.index("body_y")
    lit = maps[:, MAP_NAMES.index("illumination")].flip(1) > 0
    torch.testing.assert_close(turned[:, y][lit], 1 - maps[:, y].flip(1)[lit], atol=2e-3, rtol=0)
    cloud = [data.priors.clouds[sample.id].coordinates[:, 1].mean() for sample in both[:2]]
    assert cloud[1] == pytest.approx(-cloud[0] - 0.18, abs=1e-3)


def test_what_cannot_be_mirrored(samples):
    first = samples[0]
    for broken, words in (
        (replace(first, grid=UNKNOWN_GRID), "range grows"),
        (replace(first, pose=None), "has no azimuth"),
        (replace(first, caption_text="SAR image|||x"), "separators"),
    ):
        with pytest.raises(DataError, match=words):
            with_mirror_images([broken])
    with pytest.raises(OptionError, match="mirrored or moved"):
        dataset_of(with_mirror_images(samples), cache={"read_reference": True}).check()


def test_a_reference_is_never_the_chip_s_own_mirror_image(samples):
    data = dataset_of(with_mirror_images(samples))
    data.prepare()
    for sample, reference in zip(data.samples, data.references, strict=True):
        assert reference is not None
        assert reference.image_path != sample.image_path


def test_files_stay_as_they_are(samples):
    twin = with_mirror_images(samples)[1]
    assert np.array_equal(
        load_in_frame(twin.image_path, twin.grid), load_in_frame(samples[0].image_path, samples[0].grid)
    )
