"""Chips with their conditions, ready for training: checked and cached up front, collated deterministically."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.core.condition import Condition, Needs
from geodiff_sar.core.console import progress_bar, warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.core.files import sha256_bytes
from geodiff_sar.data.buckets import check_grain, choose_bucket, make_buckets
from geodiff_sar.data.cache import TensorCache, pack_text, text_key
from geodiff_sar.data.caption import CaptionOptions, augment_caption
from geodiff_sar.data.collate import join_conditions, make_condition
from geodiff_sar.data.encoders import CaptionEncoder, ChipEncoder
from geodiff_sar.data.image import load_in_frame
from geodiff_sar.data.latents import LatentStore
from geodiff_sar.data.options import DataOptions
from geodiff_sar.data.pixels import ChipGrid, ChipPixels, frame_grid, quarter_turns
from geodiff_sar.data.prior_store import PriorStore
from geodiff_sar.data.reference import ReferencePool
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.data.sample import Sample


@dataclass(frozen=True)
class Batch:
    """Chips of one bucket.

    Attributes:
        ids: of the samples.
        captions: as seen in this step (after dropout and shuffling).
        mean: scaled latent mean.
        std: scaled latent standard deviation; zero for latents read from the published cache.
        condition: text, geometry, reference and pose.
        target: share of each latent's pixels that show target or shadow; None unless the data set was asked for it.
    """

    ids: list[str]
    captions: list[str]
    mean: Float[Tensor, "batch channel height width"]
    std: Float[Tensor, "batch channel height width"]
    condition: Condition
    target: Float[Tensor, "batch 1 height width"] | None = None


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
        needs: which conditions the adapter takes; None: all but maps.
        with_targets: tell where on each chip target and shadow are, by the maps of its prior.

    Attributes:
        priors: the chips' geometry, after ``check``.
        latents: the chips as the transformer sees them.
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
        needs: Needs | None = None,
        with_targets: bool = False,
    ):
        self.samples, self.options, self.remap, self.resolution = samples, options, remap, resolution
        self.chips, self.texts, self.cache = chips, texts, TensorCache(cache_folder)
        self.pool = samples if reference_pool is None else reference_pool
        self.references: list[Sample | None] = []
        self.needs = Needs() if needs is None else needs
        self.priors = PriorStore(
            samples, options.pointcloud_dim, self.needs, options.allow_missing_geometry, with_targets
        )
        self._buckets: dict[str, tuple[int, int]] = {}
        self._scales: set[float] = set()
        self.latents = LatentStore(chips, options.cache, remap, self.cache)

    def prepare(self) -> None:
        """Check, then encode."""
        self.check()
        self.encode()

    def check(self) -> None:
        """Read and check everything, write nothing. All mistakes in the data come up here, before training.

        Raises:
            FileError, DataError: as the readers; a chip without features, or a prior without maps, where these are
                needed, unless ``allow_missing_geometry``.
        """
        check_grain(self.options.buckets.bucket_reso_steps, self.resolution, self.chips.grain)
        self._require_unturned()
        self.priors.require()
        if self.options.image_condition == "self":
            warn("image_condition = 'self' shows the model the chip it is to generate; for reproduction only")
        bucket_list = self._bucket_list()
        with progress_bar() as bar:
            line = bar.add_task("reading chips", total=len(self.samples), note="")
            for sample in self.samples:
                tall, wide = load_in_frame(sample.image_path, sample.grid).shape
                width, height = self._buckets[sample.id] = choose_bucket((wide, tall), bucket_list)
                self._scales.add(max(width / wide, height / tall))
                self.priors.load(sample, (tall, wide), (width, height))
                bar.advance(line)
        self.priors.require_maps()

    def encode(self) -> None:
        """Fill the caches with latents and text embeddings; after ``check``."""
        with progress_bar() as bar:
            line = bar.add_task("caching latents", total=len(self.samples), note="")
            for sample in self.samples:
                self.latents.get(sample, self._buckets[sample.id])
                bar.advance(line)
        self.references = self._choose_references()
        for sample, reference in zip(self.samples, self.references, strict=True):
            if reference is not None:
                self.latents.get(reference, self._buckets[sample.id])
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
        kinds = {(sample.remap, frame_grid(sample.grid)) for sample in self.samples}
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
                    sample.training_text, self._options(sample), np.random.default_rng(stream), epoch
                )
            captions.append(text)
        embedded = self._texts(captions)
        latents = [self.latents.get(sample, self._buckets[sample.id]) for sample in chosen]
        width, height = self._buckets[chosen[0].id]
        conditions = []
        for index, sample, (context, pooled) in zip(indices, chosen, embedded, strict=True):
            reference = self._reference_latent(index)
            conditions.append(
                make_condition(
                    context[None],
                    pooled[None],
                    self.priors.cloud(sample.id),
                    reference,
                    tuple(latents[0][0].shape),  # pyright: ignore
                    sample.pose,
                    self.options.pointcloud_dim,
                    self.priors.maps.get(sample.id),
                    (len(self.priors.map_names), height, width),
                )
            )
        return Batch(
            [sample.id for sample in chosen],
            captions,
            torch.stack([mean for mean, _ in latents]),
            torch.stack([std for _, std in latents]),
            join_conditions(conditions),
            self._targets(chosen, latents[0][0].shape[-2], latents[0][0].shape[-1]),
        )

    def _targets(self, chosen: list[Sample], rows: int, columns: int) -> Tensor | None:
        if not self.priors.with_targets:
            return None
        width, height = self._buckets[chosen[0].id]
        nothing = np.zeros((height, width), dtype=np.float16)
        areas = np.stack([self.priors.targets.get(sample.id, nothing) for sample in chosen]).astype(np.float32)
        return torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(areas)[:, None], (rows, columns))

    def _require_unturned(self) -> None:
        """The published cache files hold latents of pictures as they lie in their files."""
        cache = self.options.cache
        turned = [s.id for s in self.samples if quarter_turns(s.grid) or s.mirrored or any(s.moved)]
        if turned and (cache.read_reference or cache.write_reference):
            raise OptionError(
                "data.cache",
                f"read_reference or write_reference, but {len(turned)} chips are turned, mirrored or moved: {turned[0]} ...",
                "published cache files hold latents of pictures as they lie in their files",
                "set data.cache.read_reference and write_reference to false",
            )

    def _bucket_list(self) -> list[tuple[int, int]]:
        buckets = self.options.buckets
        if not buckets.enable_bucket:
            return [self.resolution]
        found = make_buckets(
            self.resolution, buckets.min_bucket_reso, buckets.max_bucket_reso, buckets.bucket_reso_steps
        )
        return found or [self.resolution]

    def _choose_references(self) -> list[Sample | None]:
        if self.options.image_condition == "none" or not self.needs.image:
            return [None] * len(self.samples)
        if self.options.image_condition == "self":
            return [*self.samples]
        pool = ReferencePool(self.pool, self.latents.content)
        return [pool.choose(sample) for sample in self.samples]

    def _reference_latent(self, index: int) -> Tensor | None:
        reference = self.references[index]
        if reference is None:
            return None
        return self.latents.get(reference, self._buckets[self.samples[index].id])[0][None]

    def _options(self, sample: Sample) -> CaptionOptions:
        return self.options.captions if sample.captions is None else sample.captions

    def _plain(self, sample: Sample) -> str:
        rng = np.random.default_rng(0)
        quiet = CaptionOptions(
            dropout_rate=0.0,
            keep_tokens_separator=self._options(sample).keep_tokens_separator,
            secondary_separator=self._options(sample).secondary_separator,
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
