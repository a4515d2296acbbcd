"""Chips before other chips' clutter: what stands around a target says nothing of the target."""

import numpy as np
from jaxtyping import Bool, Float32, Int

from geodiff_sar.data.chip_set import TARGET, ChipSet
from geodiff_sar.evaluation.regions import LEAST_CLUTTER, fill_with_clutter, find_regions


class Surroundings:
    """The clutter of a set's chips, to be exchanged among them.

    Real chips of one azimuth were taken on one pass over one piece of ground: level and texture of its clutter betray the
    azimuth. A network that is to read targets must not learn that.

    Args:
        chips: with masks, or their targets are found in the pixels. Those in which none is found, or hardly any clutter,
            keep their own surroundings.
        seed: of the patches that fill the place of target and shadow.
    """

    def __init__(self, chips: ChipSet, seed: int):
        regions = find_regions(chips)
        self.clutter: Bool[np.ndarray, "chip height width"] = regions.clutter
        with_target = (regions.codes == TARGET).any(axis=(1, 2))
        self.usable: Bool[np.ndarray, " chip"] = with_target & (regions.clutter.mean(axis=(1, 2)) >= LEAST_CLUTTER)
        self.grounds = np.empty((0, *chips.amplitude.shape[1:]), dtype=np.float32)
        if self.usable.any():
            rng = np.random.default_rng([seed, 2])
            self.grounds = fill_with_clutter(chips.amplitude[self.usable], self.clutter[self.usable], rng)

    def exchanged(
        self,
        amplitude: Float32[np.ndarray, "batch height width"],
        index: Int[np.ndarray, " batch"],
        share: float,
        rng: np.random.Generator,
    ) -> Float32[np.ndarray, "batch height width"]:
        """The chips at ``index`` of the set, a share of them with another chip's clutter, at its own level, wherever
        they have clutter; target, shadow and a margin around both stay."""
        result = amplitude.copy()
        chosen = self.usable[index] & (rng.random(len(index)) < share)
        others = rng.integers(0, max(1, len(self.grounds)), len(index))
        for k in np.flatnonzero(chosen):
            result[k] = np.where(self.clutter[index[k]], self.grounds[others[k]], amplitude[k])
        return result
