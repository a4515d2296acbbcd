"""Target, shadow and clutter of chips: from their masks, or found in the pixels; and chips reduced to one of them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, UInt8
from scipy import ndimage

from geodiff_sar.core.errors import DataError
from geodiff_sar.data.chip_set import CLUTTER, SHADOW, TARGET, ChipSet
from geodiff_sar.evaluation.radar_values import amplitude_of
from geodiff_sar.evaluation.remembered import Remembered, content_key

BRIGHT_SMOOTHING_PX, DARK_SMOOTHING_PX = 1.5, 2.0
"""Standard deviations of the Gaussians that quieten speckle before thresholds: little, to keep a target's outline; more for
shadows, whose depth under the clutter is small against single-look speckle."""

BRIGHT_DB, BRIGHT_DEVIATIONS = 5.0, 4.0
DARK_DB, DARK_DEVIATIONS = -4.5, 3.0
"""A shadow at a fifth of the clutter, smoothed, crosses -4.5 dB at its very edge."""

CEILING = 1.5
"""Amplitude is held at so many medians of the ring before shadows are looked for, so that a bright target, smoothed, does not
run into its shadow."""

GAP_SHARE = 3.0 / 32.0
"""Share of the smaller side that may lie between the bright part of a target and its shadow: roofs are faint."""

LEAST_SHARE = 1.0 / 2000.0
"""Smaller components, as shares of a chip's pixels, are speckle."""

MARGIN_SHARE = 1.0 / 32.0
"""Statistics of clutter keep away from target and shadow by this share of the smaller side, for masks are not exact and
strong scatterers have sidelobes."""

LEAST_CLUTTER = 0.05
"""Share of the pixels from which the rest of a chip can be filled."""


@dataclass(frozen=True)
class Regions:
    """Where target, shadow and clutter lie.

    Attributes:
        codes: (N, H, W) CLUTTER, TARGET or SHADOW; a chip in which no target was found has none.
        clutter: (N, H, W) pixels for statistics of clutter: those that keep a margin to target and shadow.
        estimated: found in the pixels, not read from masks.
    """

    codes: UInt8[np.ndarray, "chip height width"]
    clutter: Bool[np.ndarray, "chip height width"]
    estimated: bool


_REGIONS: Remembered[Regions] = Remembered(6)


def find_regions(chips: ChipSet, use_masks: bool = True) -> Regions:
    """Regions from the masks of the set, where it has them and they are wanted, else from the pixels (see ``segment``).

    Two sets that are compared should be treated alike: ``use_masks`` only when both have masks.
    """
    masked = use_masks and chips.masks is not None

    def make() -> Regions:
        codes = chips.masks if masked and chips.masks is not None else _segmented(chips)
        return Regions(codes, ~_dilated(codes != CLUTTER, margin_px(chips)), not masked)

    return _REGIONS.get(content_key(chips, options=("regions", masked)), make)


def margin_px(chips: ChipSet) -> int:
    """Pixels that statistics of clutter keep away from target and shadow."""
    return max(1, round(min(chips.amplitude.shape[1:]) * MARGIN_SHARE))


def segment(
    amplitude: Float32[np.ndarray, "chip height width"], range_known: bool
) -> UInt8[np.ndarray, "chip height width"]:
    """Target and shadow by thresholds on the smoothed logarithm of amplitude.

    The level of clutter and its spread are the median and 1.4826 times the median absolute deviation of the outer ring, an
    eighth of the side wide. The target is the bright component (5 dB and 4 spreads above) with the most brightness near
    the middle of the chip; the shadow is the largest dark component (4.5 dB and 3 spreads below) within 3/32 of the side
    from the target that, where range is known to grow along columns, lies farther in range than the target's middle. Chips
    whose target is not in the middle half have none.

    Args:
        amplitude: (N, H, W) linear in amplitude, up to a factor.
        range_known: whether range grows along the columns.

    Returns:
        Codes; a chip may have neither target nor shadow.
    """
    ring = _outer_ring(amplitude.shape[1], amplitude.shape[2])
    bright_db, spread = _over_clutter(amplitude, BRIGHT_SMOOTHING_PX, ring)
    bright = bright_db > np.maximum(BRIGHT_DB, BRIGHT_DEVIATIONS * spread)
    ceiling = CEILING * np.median(amplitude[:, ring], axis=1)[:, None, None]
    dark_db, spread = _over_clutter(np.minimum(amplitude, ceiling), DARK_SMOOTHING_PX, ring)
    dark = dark_db < np.minimum(DARK_DB, -DARK_DEVIATIONS * spread)
    return np.stack([_codes(*chip, range_known) for chip in zip(bright_db, bright, dark, strict=True)])


def fixed_clutter_region(chips: ChipSet) -> Bool[np.ndarray, "height width"]:
    """Pixels that are clutter in every chip of the set, with a margin, so that no silhouette shows in their shape.

    The margin is one and a half times that of the statistics of clutter.
    """
    codes = find_regions(chips).codes
    return ~_dilated((codes != CLUTTER).any(axis=0)[None], round(1.5 * margin_px(chips)))[0]


def fill_with_clutter(
    amplitude: Float32[np.ndarray, "chip height width"],
    keep_mask: Bool[np.ndarray, "height width"] | Bool[np.ndarray, "chip height width"],
    rng: np.random.Generator,
) -> Float32[np.ndarray, "chip height width"]:
    """Every chip with the pixels outside ``keep_mask`` replaced by clutter of the same chip.

    The chip is moved cyclically by a random step; where a pixel inside the mask comes to lie on one that is still
    missing, it is taken; and so on until none is missing. Patches keep their texture and speckle correlation.

    Raises:
        DataError: less than 5 % of the pixels of a chip are to be kept.
    """
    keep = np.broadcast_to(keep_mask, amplitude.shape)
    share = keep.mean(axis=(1, 2))
    if share.min() < LEAST_CLUTTER:
        raise DataError(
            "clutter",
            f"{share.min():.1%} of the pixels of a chip are clutter in every chip of the set",
            f"at least {LEAST_CLUTTER:.0%}, to fill the rest from them",
            "give larger chips, chips with masks, or chips whose targets stand in the middle",
        )
    filled = amplitude.copy()
    height, width = amplitude.shape[1:]
    for chip, kept in zip(filled, keep, strict=True):
        source, missing = chip.copy(), ~kept
        while missing.any():
            step = (int(rng.integers(height)), int(rng.integers(width)))
            usable = missing & np.roll(kept, step, axis=(0, 1))
            chip[usable] = np.roll(source, step, axis=(0, 1))[usable]
            missing &= ~usable
    return filled


def target_only(
    amplitude: Float32[np.ndarray, "chip height width"], codes: UInt8[np.ndarray, "chip height width"]
) -> Float32[np.ndarray, "chip height width"]:
    """Every chip with zero outside its target: neither clutter nor shadow is left (nor the level of clutter)."""
    return np.where(codes == TARGET, amplitude, np.float32(0.0))


def _segmented(chips: ChipSet) -> UInt8[np.ndarray, "chip height width"]:
    return segment(amplitude_of(chips), chips.grid.range_direction is not None)


def _over_clutter(amplitude: np.ndarray, smoothing: float, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Level of smoothed amplitude over the median of the ring, dB, and the spread in the ring, (N, 1, 1)."""
    smooth = ndimage.gaussian_filter(amplitude, (0.0, smoothing, smoothing), mode="nearest")
    floor = 1e-4 * smooth.mean(axis=(1, 2), keepdims=True) + np.finfo(np.float32).tiny
    level_db = 20.0 * np.log10(smooth + floor)
    outer = level_db[:, ring]
    middle = np.median(outer, axis=1)[:, None]
    spread = 1.4826 * np.median(np.abs(outer - middle), axis=1)
    return level_db - middle[:, :, None], spread[:, None, None]


def _outer_ring(height: int, width: int) -> Bool[np.ndarray, "height width"]:
    ring = np.ones((height, width), dtype=bool)
    edge = max(1, min(height, width) // 8)
    ring[edge:-edge, edge:-edge] = False
    return ring


def _codes(excess: np.ndarray, bright: np.ndarray, dark: np.ndarray, range_known: bool) -> np.ndarray:
    """Codes of one chip from its level over clutter (dB) and its bright and dark pixels."""
    codes = np.full(excess.shape, CLUTTER, dtype=np.uint8)
    target = _central_component(excess, bright)
    if target is None:
        return codes
    shadow = _adjacent_component(target, dark, range_known)
    if shadow is not None:
        codes[shadow] = SHADOW
    codes[target] = TARGET
    return codes


def _labelled(mask: np.ndarray) -> tuple[np.ndarray, int]:
    labels = np.zeros(mask.shape, dtype=np.int32)
    count = ndimage.label(mask, output=labels)
    return labels, int(np.asarray(count))


def _central_component(excess: np.ndarray, bright: np.ndarray) -> np.ndarray | None:
    height, width = bright.shape
    # returns of one vehicle are often apart by a few pixels
    joined = ndimage.binary_dilation(bright, iterations=2)
    labels, count = _labelled(joined)
    if count == 0:
        return None
    rows, columns = np.ogrid[:height, :width]
    distance2 = ((rows - height / 2) / (height / 4)) ** 2 + ((columns - width / 2) / (width / 4)) ** 2
    weight = np.where(bright, excess * np.exp(-0.5 * distance2), 0.0)
    sums = ndimage.sum_labels(weight, labels, np.arange(1, count + 1))
    best = bright & (labels == 1 + int(np.argmax(sums)))
    row, column = ndimage.center_of_mass(best)
    central = height / 4 <= row <= 3 * height / 4 and width / 4 <= column <= 3 * width / 4
    return best if central and best.sum() >= LEAST_SHARE * best.size else None


def _adjacent_component(target: np.ndarray, dark: np.ndarray, range_known: bool) -> np.ndarray | None:
    labels, count = _labelled(dark)
    if count == 0:
        return None
    near = _dilated(target[None], max(2, round(min(dark.shape) * GAP_SHARE)))[0]
    adjacent = [k for k in np.unique(labels[near]) if k > 0]
    if range_known:
        middle = np.flatnonzero(target.any(axis=0)).mean()
        columns = np.arange(dark.shape[1])
        adjacent = [k for k in adjacent if (labels == k).sum(axis=0) @ columns > middle * (labels == k).sum()]
    if not adjacent:
        return None
    sizes = [int((labels == k).sum()) for k in adjacent]
    if max(sizes) < LEAST_SHARE * dark.size:
        return None
    shadow = ndimage.binary_closing(labels == adjacent[int(np.argmax(sizes))], iterations=2)
    return ndimage.binary_fill_holes(shadow) & ~target


def _dilated(inside: np.ndarray, by: int) -> np.ndarray:
    """Dilation of (N, H, W) by a square of half-width ``by``."""
    return ndimage.maximum_filter(inside.astype(np.uint8), (1, 2 * by + 1, 2 * by + 1), mode="constant") > 0
