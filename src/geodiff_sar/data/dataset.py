"""Chips with their conditions, ready for training: checked and cached up front, collated deterministically."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from geodiff_sar.core.condition import Condition
from geodiff_sar.core.config import Options
from geodiff_sar.core.console import progress_bar, warn
from geodiff_sar.core.errors import DataError, FileError, NumericalError
from geodiff_sar.core.files import sha256_bytes, sha256_file
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.buckets import BucketOptions, check_grain, choose_bucket, fit_to_bucket, make_buckets
from geodiff_sar.data.cache import CacheOptions, TensorCache, latent_key, pack_text, text_key
from geodiff_sar.data.caption import CaptionOptions, augment_caption
from geodiff_sar.data.collate import join_conditions, make_condition
from geodiff_sar.data.features import load_features
from geodiff_sar.data.image import load_chip
from geodiff_sar.data.pixels import ChipGrid, ChipPixels
from geodiff_sar.data.reference import choose_reference
from geodiff_sar.data.reference_cache import read_reference_latents, reference_cache_path, write_reference_latents
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.data.sample import Sample
from geodiff_sar.data.splits import SplitOptions


class DataOptions(Options):
    """The data of a training run."""

    root: str | None = Field(default=None, description="data folder (docs/formats.md lists the layouts)")
    layout: str = Field(default="auto", description="see `geodiff-sar list layouts`")
    pointcloud_dir: str | None = Field(
        default=None, description="folder of point features; None: where the layout keeps them"
    )
    pointcloud_dim: int = Field(default=64, ge=1, description="width D of the point features")
    allow_missing_geometry: bool = Field(
        default=False, description="train chips without features on the learned null embedding"
    )
    image_condition: Literal["reference", "self", "none"] = Field(
        default="reference",
        description="another chip of the target; 'self' is the published scheme and leaks the target",
    )
    buckets: BucketOptions = BucketOptions()
    captions: CaptionOptions = CaptionOptions()
    split: SplitOptions = SplitOptions()
    cache: CacheOptions = CacheOptions()


@runtime_checkable
class ChipEncoder(Protocol):
    """The VAE as the data set needs it; see model.vae.VaeCodec."""

    model_hash: str
    grain: int
    reduction: int
    scale: float
    shift: float

    @property
    def dtype(self) -> str: ...

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]: ...


@runtime_checkable
class CaptionEncoder(Protocol):
    """The text encoders as the data set needs them; see model.text.TextEncoders."""

    model_hash: str

    @property
    def dtype(self) -> str: ...

    @property
    def token_lengths(self) -> tuple[int, ...]: ...

    def encode(self, captions: list[str]) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Batch:
    """Chips of one bucket.

    Attributes:
        ids: of the samples.
        captions: as seen in this step (after dropout and shuffling).
        mean: scaled latent mean.
        std: scaled latent standard deviation; zero for latents read from the published cache.
        condition: text, geometry, reference and pose.
    """

    ids: list[str]
    captions: list[str]
    mean: Float[Tensor, "batch channel height width"]
    std: Float[Tensor, "batch channel height width"]
    condition: Condition


class ChipDataset:
    """Samples joined with latents, text embeddings, point clouds, references and poses.

    Args:
        samples: chips of this part (training or validation).
        options: data options.
        remap: amplitude to model values.
        resolution: width and height that set the area of the buckets.
        chips: the VAE.
        texts: the text encoders.
        cache_folder: where latents and embeddings are kept; None: in memory.
        reference_pool: chips that may serve as references; None: ``samples``. Validation takes the training part, so
            that it never looks at held-out chips.
    """

    def __init__(
        self,
        samples: list[Sample],
        options: DataOptions,
        remap: AmplitudeRemap,
        resolution: tuple[int, int],
        chips: ChipEncoder,
        texts: CaptionEncoder,
        cache_folder: Path | None,
        reference_pool: list[Sample] | None = None,
    ):
        self.samples, self.options, self.remap, self.resolution = samples, options, remap, resolution
        self.chips, self.texts, self.cache = chips, texts, TensorCache(cache_folder)
        self.pool = samples if reference_pool is None else reference_pool
        self.references: list[Sample | None] = []
        self.missing_geometry: list[str] = []
        self._priors: dict[str, GeometryPrior] = {}
        self._buckets: dict[str, tuple[int, int]] = {}
        self._scales: set[float] = set()
        self._hashes: dict[Path, str] = {}
        self._latents: dict[tuple[str, tuple[int, int]], tuple[Tensor, Tensor]] = {}

    def prepare(self) -> None:
        """Check, then encode."""
        self.check()
        self.encode()

    def check(self) -> None:
        """Read and check everything, write nothing. All mistakes in the data come up here, before training.

        Raises:
            FileError, DataError: as the readers; a chip without features unless ``allow_missing_geometry``.
        """
        check_grain(self.options.buckets.bucket_reso_steps, self.resolution, self.chips.grain)
        self._load_priors()
        if self.options.image_condition == "self":
            warn("image_condition = 'self' shows the model the chip it is to generate; for reproduction only")
        bucket_list = self._bucket_list()
        with progress_bar() as bar:
            line = bar.add_task("reading chips", total=len(self.samples), note="")
            for sample in self.samples:
                tall, wide = load_chip(sample.image_path).shape
                width, height = self._buckets[sample.id] = choose_bucket((wide, tall), bucket_list)
                self._scales.add(max(width / wide, height / tall))
                bar.advance(line)

    def encode(self) -> None:
        """Fill the caches with latents and text embeddings; after ``check``."""
        with progress_bar() as bar:
            line = bar.add_task("caching latents", total=len(self.samples), note="")
            for sample in self.samples:
                self._latent(sample, self._buckets[sample.id])
                bar.advance(line)
        self.references = [self._choose_reference(sample) for sample in self.samples]
        for sample, reference in zip(self.samples, self.references, strict=True):
            if reference is not None:
                self._latent(reference, self._buckets[sample.id])
        self._texts(sorted({"", *(self._plain(sample) for sample in self.samples)}))

    def sizes(self) -> list[tuple[int, int]]:
        """Picture sizes (width, height) that occur, after ``check``."""
        return sorted(set(self._buckets.values()))

    def common_size(self) -> tuple[int, int]:
        """The picture size (width, height) that most chips have, after ``check``; the smallest of several."""
        counts = Counter(self._buckets.values())
        return min(counts, key=lambda size: (-counts[size], size))

    def pixels(self) -> ChipPixels | None:
        """What the pixels mean that the model learns to draw, after ``check``; None unless all chips share remap and grid.

        Fitting a chip to its bucket changes the pixel spacing; where chips are scaled differently it is left out. The 3 dB
        widths stay, but for chips that are made smaller.
        """
        kinds = {(sample.remap, sample.grid) for sample in self.samples}
        if len(kinds) != 1:
            return None
        remap, grid = next(iter(kinds))
        if ChipPixels(remap=remap, grid=grid) == ChipPixels():
            return None
        known: dict[str, float | None] = {}
        for name in ("pixel_range_m", "pixel_cross_range_m"):
            spacing = getattr(grid, name)
            known[name] = spacing / next(iter(self._scales)) if spacing and len(self._scales) == 1 else None
        if min(self._scales) < 1:
            known |= {"resolution_range_m": None, "resolution_cross_range_m": None}
        return ChipPixels(remap=remap, grid=ChipGrid(**{**grid.model_dump(), **known}))

    def feature_statistics(self) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Mean and standard deviation of each feature channel over all points of this part.

        A channel that never varies gets the standard deviation 1.
        """
        if not self._priors:
            raise DataError(
                "data.pointcloud_dir",
                "no chip has point features",
                "statistics need at least one cloud",
                "set the folder",
            )
        rows = np.concatenate([prior.features for prior in self._priors.values()]).astype(np.float64)
        std = rows.std(axis=0)
        std[std < 1e-6] = 1.0
        return torch.from_numpy(rows.mean(axis=0)).float(), torch.from_numpy(std).float()

    def without_coordinates(self) -> list[str]:
        """Ids of the chips whose cloud has no coordinates."""
        return [identity for identity, prior in self._priors.items() if prior.coordinates is None]

    def batch_plan(self, batch_size: int, seed: int, epoch: int) -> list[list[int]]:
        """Batches of sample indices, each of one bucket, in an order set by (seed, epoch); repeats are honoured.

        Incomplete batches are kept.
        """
        rng = np.random.default_rng([seed, epoch, 1])
        by_bucket: dict[tuple[int, int], list[int]] = {}
        for index, sample in enumerate(self.samples):
            by_bucket.setdefault(self._buckets[sample.id], []).extend([index] * sample.repeats)
        plan = []
        for bucket in sorted(by_bucket):
            order = rng.permutation(by_bucket[bucket]).tolist()
            plan += [order[k : k + batch_size] for k in range(0, len(order), batch_size)]
        return [plan[k] for k in rng.permutation(len(plan))]

    def collate(self, indices: list[int], epoch: int, seed: int, number: int = 0, augment: bool = True) -> Batch:
        """The batch of the samples at ``indices``; depends on nothing but the arguments.

        Args:
            indices: samples of one bucket.
            epoch, seed, number: choose the caption augmentation; ``number`` is the batch's place in the epoch, so that
                a chip shown several times is augmented anew each time.
            augment: False leaves captions as they are, for validation.
        """
        chosen = [self.samples[index] for index in indices]
        captions = []
        for place, sample in enumerate(chosen):
            text = self._plain(sample)
            if augment:
                stream = int(sha256_bytes(f"{seed}/{epoch}/{number}/{place}/{sample.id}".encode())[:15], 16)
                text = augment_caption(
                    sample.training_text, self.options.captions, np.random.default_rng(stream), epoch
                )
            captions.append(text)
        embedded = self._texts(captions)
        latents = [self._latent(sample, self._buckets[sample.id]) for sample in chosen]
        conditions = []
        for index, sample, (context, pooled) in zip(indices, chosen, embedded, strict=True):
            reference = self._reference_latent(index)
            conditions.append(
                make_condition(
                    context[None],
                    pooled[None],
                    self._priors.get(sample.id),
                    reference,
                    tuple(latents[0][0].shape),  # pyright: ignore
                    sample.pose,
                    self.options.pointcloud_dim,
                )
            )
        return Batch(
            [sample.id for sample in chosen],
            captions,
            torch.stack([mean for mean, _ in latents]),
            torch.stack([std for _, std in latents]),
            join_conditions(conditions),
        )

    def _load_priors(self) -> None:
        for sample in self.samples:
            if sample.prior_path is None:
                self.missing_geometry.append(sample.id)
            else:
                self._priors[sample.id] = load_features(sample.prior_path, self.options.pointcloud_dim)
        if not self.missing_geometry:
            return
        if not self.options.allow_missing_geometry:
            names = ", ".join(self.missing_geometry[:10]) + (" ..." if len(self.missing_geometry) > 10 else "")
            raise FileError(
                "3D feature file not found",
                f"no point features for {len(self.missing_geometry)} of {len(self.samples)} chips: {names}",
                "every chip has <id>.safetensors, .pt, .npy or .npz in data.pointcloud_dir",
                "add the files, set data.pointcloud_dir, or give --allow-missing-geometry "
                "(data.allow_missing_geometry = true) to train these chips on the learned null embedding",
            )
        warn(f"no point features, the learned null embedding is used for: {', '.join(self.missing_geometry)}")

    def _bucket_list(self) -> list[tuple[int, int]]:
        buckets = self.options.buckets
        if not buckets.enable_bucket:
            return [self.resolution]
        found = make_buckets(
            self.resolution, buckets.min_bucket_reso, buckets.max_bucket_reso, buckets.bucket_reso_steps
        )
        return found or [self.resolution]

    def _choose_reference(self, sample: Sample) -> Sample | None:
        if self.options.image_condition == "none":
            return None
        if self.options.image_condition == "self":
            return sample
        return choose_reference(sample, self.pool, self._content)

    def _content(self, path: Path) -> str:
        if path not in self._hashes:
            self._hashes[path] = sha256_file(path)
        return self._hashes[path]

    def _reference_latent(self, index: int) -> Tensor | None:
        reference = self.references[index]
        if reference is None:
            return None
        return self._latent(reference, self._buckets[self.samples[index].id])[0][None]

    def _plain(self, sample: Sample) -> str:
        rng = np.random.default_rng(0)
        quiet = CaptionOptions(
            dropout_rate=0.0,
            keep_tokens_separator=self.options.captions.keep_tokens_separator,
            secondary_separator=self.options.captions.secondary_separator,
        )  # pyright: ignore
        return augment_caption(sample.training_text, quiet, rng, 0)

    def _texts(self, captions: list[str]) -> list[tuple[Tensor, Tensor]]:
        keys = {c: text_key(c, self.texts.model_hash, self.texts.dtype, self.texts.token_lengths) for c in captions}
        missing = sorted({caption for caption, key in keys.items() if self.cache.get(key) is None})
        for caption in missing:  # one by one: in a batch, the last bits depend on the neighbours
            context, pooled = self.texts.encode([caption])
            self.cache.put(keys[caption], pack_text(context[0], pooled[0]))
        found = [self.cache.get(keys[caption]) for caption in captions]
        return [(entry["context"], entry["pooled"]) for entry in found if entry is not None]

    def _latent(self, sample: Sample, bucket: tuple[int, int]) -> tuple[Tensor, Tensor]:
        known = self._latents.get((sample.id, bucket))
        if known is not None:
            return known
        entry = self._published(sample, bucket) if self.options.cache.read_reference else None
        if entry is None:
            key = latent_key(
                self._content(sample.image_path),
                self.chips.model_hash,
                self.chips.dtype,
                *bucket,
                self.remap.record(),
            )
            entry = self.cache.get_or_compute(key, lambda: self._encode(sample, bucket))
        if self.options.cache.write_reference:
            self._publish(sample, bucket, entry)
        self._latents[sample.id, bucket] = (entry["mean"], entry["std"])
        return entry["mean"], entry["std"]

    def _encode(self, sample: Sample, bucket: tuple[int, int]) -> dict[str, Tensor]:
        fitted, _, _ = fit_to_bucket(load_chip(sample.image_path), *bucket)
        mean, std = self.chips.encode(torch.from_numpy(self.remap.to_model(fitted))[None, None])
        if not (torch.isfinite(mean).all() and torch.isfinite(std).all()):
            raise NumericalError(
                sample.image_path, "its latent holds NaN or Inf", "finite latents", 'set train.precision = "no"'
            )
        return {"mean": mean[0].cpu(), "std": std[0].cpu()}

    def _published(self, sample: Sample, bucket: tuple[int, int]) -> dict[str, Tensor] | None:
        """Latent from the published cache file beside the chip; read anew each time, never kept under our own key."""
        tall, wide = load_chip(sample.image_path).shape
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
        _, original, crop = fit_to_bucket(load_chip(sample.image_path), *bucket)
        generator = torch.Generator().manual_seed(0)
        drawn = entry["mean"] + entry["std"] * torch.randn(entry["mean"].shape, generator=generator)
        write_reference_latents(
            sample.image_path, (drawn / self.chips.scale + self.chips.shift).numpy(), original, crop
        )
