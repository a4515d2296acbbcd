"""Chips of a known range direction are turned until range grows to the right; classes choose among chips."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_dataset import FourFold, Words

from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.cache import latent_key
from geodiff_sar.data.dataset import ChipDataset, DataOptions
from geodiff_sar.data.pixels import QUARTER_TURNS, ChipGrid, frame_grid, quarter_turns, to_frame
from geodiff_sar.data.readers import read_samples
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.workflows.run_folder import data_fingerprint

OPTIONS = {"buckets": {"min_bucket_reso": 16, "bucket_reso_steps": 8}, "allow_missing_geometry": True}


def write_chips(folder, direction, turns):
    """Four chips of 16 x 32 pixels in the package's frame, stored turned back by ``turns``."""
    folder.mkdir()
    rng, rows = np.random.default_rng(0), []
    for k, target in enumerate(("A", "A", "B", "C")):
        chip = rng.integers(0, 255, (16, 32), dtype=np.uint8)
        Image.fromarray(np.ascontiguousarray(np.rot90(chip, -turns))).save(folder / f"{k}.png")
        rows.append({"file_name": f"{k}.png", "text": f"SAR image,{target},X-band,High,HH-Polarization,{20.0 * k}"})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    if direction is not None:
        spacing = "pixel_range_m = 0.2\npixel_cross_range_m = 0.3\n"
        (folder / "dataset.toml").write_text(f'[grid]\nrange_direction = "{direction}"\n{spacing}')
    return folder


def prepared(root, **options):
    data = DataOptions.model_validate({**OPTIONS, **options})
    made = ChipDataset(read_samples(root), data, AmplitudeRemap(), (32, 16), FourFold(), Words(), None)
    made.prepare()
    return made


@pytest.mark.parametrize("direction", ["up", "down", "left"])
def test_the_same_chips_stored_otherwise_give_the_same_batches(direction, tmp_path):
    straight = prepared(write_chips(tmp_path / "right", "right", 0))
    turned = prepared(write_chips(tmp_path / direction, direction, QUARTER_TURNS[direction]))
    one, other = straight.collate([0, 1], 0, 0), turned.collate([0, 1], 0, 0)
    assert torch.equal(one.mean, other.mean)
    assert torch.equal(one.condition.reference, other.condition.reference)
    assert turned.sizes() == straight.sizes() == [(32, 16)]
    pixels = turned.pixels()
    assert pixels == straight.pixels()
    assert pixels is not None
    assert (pixels.grid.range_direction, pixels.grid.pixel_range_m, pixels.grid.pixel_cross_range_m) == (
        "right",
        0.2,
        0.3,
    )


def test_a_chip_of_unknown_direction_stays_as_it_is(tmp_path):
    picture = np.arange(6.0).reshape(2, 3)
    assert np.array_equal(to_frame(picture, ChipGrid()), picture)
    assert frame_grid(ChipGrid()) == ChipGrid()
    lying = prepared(write_chips(tmp_path / "unknown", None, -1))
    assert lying.sizes() == [(16, 32)]


def test_keys_and_fingerprints_follow_the_turn(tmp_path):
    plain = latent_key("chip", "vae", "float32", 32, 16, {})
    assert plain == latent_key("chip", "vae", "float32", 32, 16, {}, 0)
    keys = {latent_key("chip", "vae", "float32", 32, 16, {}, turns) for turns in QUARTER_TURNS.values()}
    assert len(keys) == 4
    assert quarter_turns(ChipGrid(range_direction="up")) == -1
    root = write_chips(tmp_path / "data", None, 0)
    unknown = data_fingerprint(read_samples(root), [])
    (root / "dataset.toml").write_text('[grid]\nrange_direction = "right"\n')
    assert data_fingerprint(read_samples(root), []) == unknown
    (root / "dataset.toml").write_text('[grid]\nrange_direction = "left"\n')
    assert data_fingerprint(read_samples(root), []) != unknown


def test_published_cache_files_are_for_chips_as_they_lie(tmp_path):
    root = write_chips(tmp_path / "data", "up", -1)
    with pytest.raises(OptionError, match="4 chips are turned"):
        prepared(root, cache={"write_reference": True})


def test_classes_choose_chips(tmp_path):
    root = write_chips(tmp_path / "data", "right", 0)
    assert [s.id for s in read_samples(root, classes=["A", "C"])] == ["0", "1", "3"]
    assert len(read_samples(root, classes=[])) == 4
    with pytest.raises(DataError, match=r"(?s)T72: no chip .* classes are A, B, C"):
        read_samples(root, classes=["A", "T72"])
