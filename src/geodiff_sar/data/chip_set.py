"""Many chips in memory, in one frame and of one size, with what is known of each."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Float32, Int, UInt8

from geodiff_sar.core.console import progress_bar
from geodiff_sar.core.errors import DataError
from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.data.image import load_chip, load_in_frame
from geodiff_sar.data.pixels import ChipGrid, PixelRemap, frame_grid, to_frame
from geodiff_sar.data.sample import Sample

KindT = TypeVar("KindT", PixelRemap, ChipGrid)

CLUTTER, TARGET, SHADOW = 0, 1, 2
"""Codes of a mask."""

MASK_CODES = {0: CLUTTER, 1: TARGET, 2: SHADOW, 60: TARGET, 120: SHADOW}
"""Values in mask pictures: 0, 1, 2, or those of SARBake (0 clutter, 60 target, 120 shadow)."""


@dataclass(frozen=True)
class ChipSet:
    """Chips of one size, ready for measuring.

    Attributes:
        name: how messages and reports call the set, such as the option and folder it came from.
        ids: unique names.
        amplitude: (N, H, W) stored values >= 0; rows are cross-range, range grows along the columns where ``grid`` says the
            direction of range, and the picture lies as in its file where it does not.
        target: names of the targets.
        azimuth_deg: (N,) target aspect; NaN where it is not known.
        depression_deg: (N,) NaN where it is not known.
        polarisation: HH, HV, VH, VV or None.
        serial: specimen, or None.
        hashes: SHA-256 of shape and values of each chip.
        remap: the law of the values; all chips share it.
        grid: of the pixels, in the frame of ``amplitude``.
        paths: the files.
        priors: point features of each chip, or None.
        masks: (N, H, W) codes CLUTTER, TARGET, SHADOW, or None where chips come without.
    """

    name: str
    ids: tuple[str, ...]
    amplitude: Float32[np.ndarray, "chip height width"]
    target: tuple[str, ...]
    azimuth_deg: Float[np.ndarray, " chip"]
    depression_deg: Float[np.ndarray, " chip"]
    polarisation: tuple[str | None, ...]
    serial: tuple[str | None, ...]
    hashes: tuple[str, ...]
    remap: PixelRemap
    grid: ChipGrid
    paths: tuple[Path, ...]
    priors: tuple[Path | None, ...]
    masks: UInt8[np.ndarray, "chip height width"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all chips in their order: pixels and labels."""
        labels = [f"{t}|{a:.6f}|{p}" for t, a, p in zip(self.target, self.azimuth_deg, self.polarisation, strict=True)]
        return sha256_bytes(*(text.encode() for text in (*self.hashes, *labels)))

    def take(self, index: Int[np.ndarray, " chosen"] | Sequence[int], name: str | None = None) -> "ChipSet":
        """The chips at these places, in this order."""
        chosen = np.asarray(index, dtype=np.int64)

        def pick(values: tuple) -> tuple:
            return tuple(values[k] for k in chosen)

        return replace(
            self,
            name=name or self.name,
            ids=pick(self.ids),
            amplitude=self.amplitude[chosen],
            target=pick(self.target),
            azimuth_deg=self.azimuth_deg[chosen],
            depression_deg=self.depression_deg[chosen],
            polarisation=pick(self.polarisation),
            serial=pick(self.serial),
            hashes=pick(self.hashes),
            paths=pick(self.paths),
            priors=pick(self.priors),
            masks=None if self.masks is None else self.masks[chosen],
        )

    def with_amplitude(self, amplitude: Float32[np.ndarray, "chip height width"], name: str | None = None) -> "ChipSet":
        """The same labels on other pixels; hashes follow the pixels."""
        return replace(
            self, name=name or self.name, amplitude=amplitude, hashes=tuple(chip_hash(chip) for chip in amplitude)
        )


def chip_hash(amplitude: Float[np.ndarray, "height width"]) -> str:
    """SHA-256 of a chip's shape and float32 values, so that the same chip in another file format has the same hash."""
    values = np.ascontiguousarray(amplitude, dtype=np.float32)
    return sha256_bytes(str(values.shape).encode(), values.tobytes())


def read_chip_set(samples: Sequence[Sample], name: str, crop: int | None = None) -> ChipSet:
    """Read chips, turn them into the package's frame and check that they belong together.

    Args:
        samples: from a reader, at least one.
        name: of the set, for messages.
        crop: side of a square cut from the middle of every chip; None: chips are taken whole.

    Raises:
        DataError: chips of different sizes, remaps or grids, or smaller than ``crop``.
        FileError: a chip cannot be read.
    """
    if not samples:
        raise DataError(name, "holds no chips", "at least one chip", "check the folder")
    remap = _common(name, {s.id: s.remap for s in samples}, "remaps", "give the sets apart, or state one remap for all")
    grid = _common(name, {s.id: s.grid for s in samples}, "pixel grids", "give the chips of one grid at a time")
    pictures, masks = [], []
    with progress_bar() as bar:
        line = bar.add_task(f"reading {name}", total=len(samples), note="")
        for sample in samples:
            picture = load_in_frame(sample.image_path, grid)
            mask = None if sample.mask_path is None else to_frame(load_mask(sample.mask_path), grid)
            if mask is not None and mask.shape != picture.shape:
                raise DataError(
                    sample.mask_path,
                    f"{mask.shape[1]} x {mask.shape[0]} pixels beside a chip of {picture.shape[1]} x {picture.shape[0]}",
                    "a mask has the size of its chip",
                    "correct or remove the mask",
                )
            if crop is not None:
                picture = centre_crop(picture, crop, sample.id)
                mask = None if mask is None else centre_crop(mask, crop, sample.id)
            pictures.append(picture)
            masks.append(mask)
            bar.advance(line)
    grid = frame_grid(grid)
    sizes = Counter(picture.shape for picture in pictures)
    if len(sizes) > 1:
        listed = ", ".join(f"{n} of {w} x {h}" for (h, w), n in sizes.most_common(5))
        raise DataError(name, f"chips of several sizes ({listed} pixels)", "one size", "cut them to one with --crop")
    amplitude = np.stack(pictures).astype(np.float32)
    return ChipSet(
        name,
        tuple(s.id for s in samples),
        amplitude,
        tuple(s.caption.target for s in samples),
        np.array([np.nan if s.pose is None else s.pose.azimuth_deg for s in samples]),
        np.array(
            [np.nan if s.pose is None or s.pose.depression_deg is None else s.pose.depression_deg for s in samples]
        ),
        tuple(s.caption.polarisation for s in samples),
        tuple(s.serial for s in samples),
        tuple(chip_hash(chip) for chip in amplitude),
        remap,
        grid,
        tuple(s.image_path for s in samples),
        tuple(s.prior_path for s in samples),
        np.stack(masks).astype(np.uint8) if all(mask is not None for mask in masks) else None,
    )


def load_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Codes CLUTTER, TARGET and SHADOW of a mask picture with the values of MASK_CODES.

    Raises:
        DataError: another value.
    """
    values = load_chip(path)
    unknown = sorted(set(np.unique(values).tolist()) - {float(code) for code in MASK_CODES})
    if unknown:
        raise DataError(
            path, f"has the values {unknown[:5]}", f"values of a mask are {sorted(MASK_CODES)}", "write the mask again"
        )
    codes = np.zeros(values.shape, dtype=np.uint8)
    for value, code in MASK_CODES.items():
        codes[values == value] = code
    return codes


def centre_crop(picture: np.ndarray, side: int, name: str) -> np.ndarray:
    """The middle ``side`` x ``side`` pixels; a smaller picture is a DataError."""
    height, width = picture.shape
    if min(height, width) < side:
        raise DataError(name, f"{width} x {height} pixels", f"at least {side} a side", "choose a smaller --crop")
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _common(name: str, of: dict[str, KindT], what: str, remedy: str) -> KindT:
    kinds: dict[KindT, list[str]] = {}
    for identity, value in of.items():
        kinds.setdefault(value, []).append(identity)
    if len(kinds) > 1:
        listed = "; ".join(f"{value!s} ({len(ids)} chips, such as {ids[0]})" for value, ids in list(kinds.items())[:4])
        raise DataError(name, f"chips of different {what}: {listed}", f"one of the {what} for a whole set", remedy)
    return next(iter(kinds))
