"""Chip sets: one size, one remap, one frame."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geodiff_sar.core.errors import DataError
from geodiff_sar.core.types import Pose
from geodiff_sar.data.caption import Caption
from geodiff_sar.data.chip_set import SHADOW, TARGET, load_mask, read_chip_set
from geodiff_sar.data.pixels import ChipGrid, PixelRemap, to_frame
from geodiff_sar.data.sample import Sample


def sample(folder: Path, name: str, pixels: np.ndarray, **more) -> Sample:
    path = folder / f"{name}.png"
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    caption = Caption("T72", "X", "High", "HH", 10.0)
    return Sample(name, path, caption, str(caption), Pose(10.0), None, **more)


@pytest.mark.parametrize(
    ("direction", "near"), [("right", (slice(None), 0)), ("left", (slice(None), -1)), ("up", (-1,)), ("down", (0,))]
)
def test_range_grows_to_the_right_and_nothing_is_mirrored(direction, near):
    picture = np.zeros((6, 6), dtype=np.float32)
    picture[near] = 1.0
    turned = to_frame(picture, ChipGrid(range_direction=direction))
    assert turned[:, 0].all()
    assert turned.sum() == 6
    hand = np.zeros((6, 6), dtype=np.float32)
    hand[:2, :3], hand[:1, :4] = 1.0, 2.0
    turns = [np.rot90(hand, k) for k in range(4)]
    assert any(np.array_equal(to_frame(hand, ChipGrid(range_direction=direction)), turn) for turn in turns)


def test_a_set_knows_its_frame_and_masks(tmp_path):
    codes = np.array([[0, 60], [120, 0]])
    Image.fromarray(codes.astype(np.uint8)).save(tmp_path / "mask.png")
    chips = read_chip_set(
        [
            sample(
                tmp_path,
                "a",
                np.array([[1, 2], [3, 4]]),
                grid=ChipGrid(range_direction="up"),
                mask_path=tmp_path / "mask.png",
            )
        ],
        "real",
    )
    assert chips.grid.range_direction == "right"
    assert chips.amplitude[0].tolist() == [[3, 1], [4, 2]]
    assert chips.masks is not None
    assert chips.masks[0].tolist() == [[SHADOW, 0], [0, TARGET]]


def test_hashes_follow_pixels_and_not_files(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8))
    first = sample(tmp_path, "a", pixels)
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "b.bmp")
    second = replace(first, id="b", image_path=tmp_path / "b.bmp")
    chips = read_chip_set([first, second], "real")
    assert chips.hashes[0] == chips.hashes[1]
    assert chips.with_amplitude(chips.amplitude + 1).hashes[0] != chips.hashes[0]


def test_what_does_not_belong_together(tmp_path):
    small, large = sample(tmp_path, "a", np.ones((8, 8))), sample(tmp_path, "b", np.ones((12, 12)))
    with pytest.raises(DataError, match="several sizes"):
        read_chip_set([small, large], "real")
    assert read_chip_set([small, large], "real", crop=8).amplitude.shape == (2, 8, 8)
    with pytest.raises(DataError, match="smaller --crop"):
        read_chip_set([small, large], "real", crop=10)
    with pytest.raises(DataError, match="remaps"):
        read_chip_set([small, replace(small, id="c", remap=PixelRemap(kind="nonlinear"))], "real")
    with pytest.raises(DataError, match="grids"):
        read_chip_set([small, replace(small, id="c", grid=ChipGrid(pixel_range_m=0.2))], "real")
    with pytest.raises(DataError, match="at least one chip"):
        read_chip_set([], "real")


def test_a_mask_with_other_values_or_another_size(tmp_path):
    Image.fromarray(np.full((8, 8), 77, dtype=np.uint8)).save(tmp_path / "odd.png")
    with pytest.raises(DataError, match="77"):
        load_mask(tmp_path / "odd.png")
    Image.fromarray(np.zeros((4, 4), dtype=np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(DataError, match="size of its chip"):
        read_chip_set([sample(tmp_path, "a", np.ones((8, 8)), mask_path=tmp_path / "small.png")], "real")


@pytest.mark.parametrize("remap", [PixelRemap(kind="power", exponent=0.5), PixelRemap(kind="db", range_db=60.0)])
def test_remaps_invert(remap):
    amplitude = np.linspace(1.0, 255.0, 50)
    stored = amplitude**0.5 if remap.kind == "power" else 255 * (1 + 20 * np.log10(amplitude / 255) / 60)
    assert remap.to_amplitude(stored) == pytest.approx(amplitude, rel=1e-4)


def test_an_unknown_law_is_not_inverted():
    with pytest.raises(DataError, match="state the remap"):
        PixelRemap(kind="nonlinear").to_amplitude(np.ones(3))
    with pytest.raises(ValueError, match="exponent"):
        PixelRemap(kind="power")
