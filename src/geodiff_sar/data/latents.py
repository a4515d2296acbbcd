"""Latents of chips: encoded once, kept by content, read from and written to the published cache files on request."""

from pathlib import Path

import torch
from torch import Tensor

from geodiff_sar.core.errors import NumericalError
from geodiff_sar.core.files import sha256_file
from geodiff_sar.data.buckets import fit_to_bucket
from geodiff_sar.data.cache import CacheOptions, TensorCache, latent_key
from geodiff_sar.data.encoders import ChipEncoder
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.moving import shown_chip
from geodiff_sar.data.pixels import quarter_turns
from geodiff_sar.data.reference_cache import read_reference_latents, reference_cache_path, write_reference_latents
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.data.sample import Sample


class LatentStore:
    """Latents by chip and size. Chips are encoded one at a time, so an entry never depends on its neighbours.

    Args:
        chips: the VAE.
        options: which published cache files are read and written.
        remap: amplitude to model values.
        cache: where entries are kept.
    """

    def __init__(self, chips: ChipEncoder, options: CacheOptions, remap: AmplitudeRemap, cache: TensorCache):
        self.chips, self.options, self.remap, self.cache = chips, options, remap, cache
        self._hashes: dict[Path, str] = {}
        self._latents: dict[tuple[str, tuple[int, int]], tuple[Tensor, Tensor]] = {}

    def content(self, path: Path) -> str:
        """Content hash of a file, computed once."""
        if path not in self._hashes:
            self._hashes[path] = sha256_file(path)
        return self._hashes[path]

    def get(self, sample: Sample, bucket: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the scaled latent of a chip fitted to ``bucket`` (width, height).

        Raises:
            NumericalError: NaN or Inf in it.
        """
        known = self._latents.get((sample.id, bucket))
        if known is not None:
            return known
        entry = self._published(sample, bucket) if self.options.read_reference else None
        if entry is None:
            key = latent_key(
                self.content(sample.image_path),
                self.chips.model_hash,
                self.chips.dtype,
                *bucket,
                self.remap.record(),
                quarter_turns(sample.grid),
                sample.mirrored,
                sample.moved,
            )
            entry = self.cache.get_or_compute(key, lambda: self._encode(sample, bucket))
        if self.options.write_reference:
            self._publish(sample, bucket, entry)
        self._latents[sample.id, bucket] = (entry["mean"], entry["std"])
        return entry["mean"], entry["std"]

    def _encode(self, sample: Sample, bucket: tuple[int, int]) -> dict[str, Tensor]:
        chip = load_in_frame(sample.image_path, sample.grid)
        fitted, _, _ = fit_to_bucket(shown_chip(chip, sample), *bucket)
        mean, std = self.chips.encode(torch.from_numpy(self.remap.to_model(fitted))[None, None])
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise NumericalError(
                sample.image_path, "its latent holds NaN or Inf", "finite latents", 'set train.precision = "no"'
            )
        return {"mean": mean[0].cpu(), "std": std[0].cpu()}

    def _published(self, sample: Sample, bucket: tuple[int, int]) -> dict[str, Tensor] | None:
        """Latent from the published cache file beside the chip; read anew each time, never kept under our own key."""
        tall, wide = load_in_frame(sample.image_path, sample.grid).shape
        file = reference_cache_path(sample.image_path, (wide, tall))
        if not file.is_file():
            return None
        raw = read_reference_latents(file, (bucket[1] // self.chips.reduction, bucket[0] // self.chips.reduction))
        if raw is None:
            return None
        mean = (torch.from_numpy(raw) - self.chips.shift) * self.chips.scale
        return {"mean": mean, "std": torch.zeros_like(mean)}

    def _publish(self, sample: Sample, bucket: tuple[int, int], entry: dict[str, Tensor]) -> None:
        """Write the published cache file: one draw from the latent's distribution, by a fixed seed."""
        _, original, crop = fit_to_bucket(load_in_frame(sample.image_path, sample.grid), *bucket)
        generator = torch.Generator().manual_seed(0)
        drawn = entry["mean"] + entry["std"] * torch.randn(entry["mean"].shape, generator=generator)
        write_reference_latents(
            sample.image_path, (drawn / self.chips.scale + self.chips.shift).numpy(), original, crop
        )
