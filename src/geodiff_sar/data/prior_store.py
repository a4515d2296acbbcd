"""Geometry priors of the chips of a data set: read once, checked against their chips, held in memory as they are needed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float16
from torch import Tensor

from geodiff_sar.core.condition import Needs
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import DataError, FileError
from geodiff_sar.core.types import GeometryPrior
from geodiff_sar.data.features import load_features
from geodiff_sar.data.prior_facts import PriorFacts, prior_facts
from geodiff_sar.data.prior_maps import fit_maps, map_names, target_area
from geodiff_sar.data.sample import Sample
from geodiff_sar.geometry.mirror import mirrored, require_traced
from geodiff_sar.geometry.placement import moved_prior

Maps = Float16[np.ndarray, "map height width"]
_Shown = tuple[Path, tuple[int, int], tuple[int, int], bool, tuple[int, int]]


class PriorStore:
    """Clouds and fitted maps by sample.

    Args:
        samples: of one part.
        width: width D of the point features.
        needs: what the adapter takes; nothing else is kept.
        allow_missing: chips without prior, or without maps, are trained on the null embedding.
        with_targets: keep where target and shadow are, by the maps, whether or not the adapter takes these.

    Attributes:
        clouds: priors without their maps, by sample.
        maps: maps as fitted to the chip's picture size, by sample.
        targets: 1 where the maps say target or shadow, 0 elsewhere, by sample, if they are wanted.
        missing: samples without a prior that is needed.
        without_maps: samples whose prior lacks the maps that are needed.
    """

    def __init__(
        self, samples: list[Sample], width: int, needs: Needs, allow_missing: bool, with_targets: bool = False
    ):
        self.samples, self.width, self.needs, self.allow_missing = samples, width, needs, allow_missing
        self.with_targets = with_targets
        self.targets: dict[str, Float16[np.ndarray, "height width"]] = {}
        self.clouds: dict[str, GeometryPrior] = {}
        self.maps: dict[str, Maps] = {}
        self._names: tuple[str, ...] = ()
        wanted = needs.geometry or with_targets
        self.missing = [sample.id for sample in samples if wanted and sample.prior_path is None]
        self.without_maps: list[str] = []
        self._read: dict[_Shown, tuple[GeometryPrior, Maps | None]] = {}

    @property
    def map_names(self) -> tuple[str, ...]:
        """What the maps hold; empty where none are needed."""
        return self._names if self.needs.maps else ()

    def require(self) -> None:
        """Raises FileError where priors are missing and may not; reads nothing."""
        if not self.missing:
            return
        if not self.allow_missing:
            raise FileError(
                "3D feature file not found",
                f"no point features for {len(self.missing)} of {len(self.samples)} chips: {_some(self.missing)}",
                "every chip has <id>.safetensors, .pt, .npy or .npz in data.pointcloud_dir",
                "add the files, set data.pointcloud_dir, or give --allow-missing-geometry "
                "(data.allow_missing_geometry = true) to train these chips on the learned null embedding",
            )
        warn(f"no point features, the learned null embedding is used for: {', '.join(self.missing)}")

    def load(self, sample: Sample, shape: tuple[int, int], size: tuple[int, int]) -> None:
        """Read the prior of a sample, if it is needed.

        Args:
            sample: the sample.
            shape: rows and columns of its chip.
            size: width and height that the chip is fitted to.

        Raises:
            FileError, DataError: as load_features; maps of another shape than the chip, or others than the first prior's.
        """
        if not (self.needs.geometry or self.with_targets) or sample.prior_path is None:
            return
        key = (sample.prior_path, shape, size, sample.mirrored, sample.moved)
        if key not in self._read:
            wanted = self.needs.maps or self.with_targets
            changed = sample.mirrored or any(sample.moved)
            prior = load_features(sample.prior_path, self.width, maps=wanted or changed)
            if sample.mirrored:
                prior = mirrored(prior)
            if any(sample.moved):
                require_traced(prior)
                prior = moved_prior(prior, *sample.moved, tuple(prior.provenance["pixel_m"]))
            fitted = None
            if prior.maps is not None and wanted:
                self._check_maps(prior, sample, shape)
                fitted = fit_maps(prior.maps, *size)
            self._read[key] = replace(prior, maps=None), fitted
        prior, fitted = self._read[key]
        if self.needs.geometry:
            self.clouds[sample.id] = prior
        if fitted is not None:
            if self.with_targets:
                self.targets[sample.id] = target_area(fitted, self._names)
            if self.needs.maps:
                self.maps[sample.id] = fitted
        elif self.needs.maps or self.with_targets:
            self.without_maps.append(sample.id)

    def require_maps(self) -> None:
        """Raises DataError where maps are missing and may not; after every sample is loaded."""
        self._read.clear()
        if not self.without_maps:
            return
        if not self.allow_missing or not (self.maps or self.targets):
            files = [str(s.prior_path) for s in self.samples if s.id in set(self.without_maps)]
            asked = ("inject", '"map"') if self.needs.maps else ("objective.target_weight", "not 1")
            raise DataError(
                asked[0],
                f"{asked[1]}, but {len(files)} priors hold no maps: {_some(files)}",
                "every prior holds 'maps' (.safetensors files of `geodiff-sar prior` and `simulate` do)",
                'make the priors again with `geodiff-sar prior`, or set inject without "map" and objective.target_weight = 1',
            )
        warn(f"no maps, the learned null is used for: {', '.join(self.without_maps)}")

    def cloud(self, identity: str) -> GeometryPrior | None:
        """Cloud of a sample; None where there is none or none is needed."""
        return self.clouds.get(identity) if self.needs.clouds else None

    def facts(self) -> PriorFacts:
        """Radars and depressions of all priors."""
        return prior_facts(self.clouds.values())

    def statistics(self) -> tuple[Float[Tensor, " feature"], Float[Tensor, " feature"]]:
        """Mean and standard deviation of each feature channel over all points of this part.

        A channel that never varies gets the standard deviation 1.
        """
        if not self.clouds:
            raise DataError(
                "data.pointcloud_dir",
                "no chip has point features",
                "statistics need at least one cloud",
                "set the folder",
            )
        rows = np.concatenate([prior.features for prior in self.clouds.values()]).astype(np.float64)
        std = rows.std(axis=0)
        std[std < 1e-6] = 1.0
        return torch.from_numpy(rows.mean(axis=0)).float(), torch.from_numpy(std).float()

    def without_coordinates(self) -> list[str]:
        """Ids of the chips whose cloud is needed and has no coordinates."""
        clouds = self.clouds if self.needs.clouds else {}
        return [identity for identity, prior in clouds.items() if prior.coordinates is None]

    def _check_maps(self, prior: GeometryPrior, sample: Sample, shape: tuple[int, int]) -> None:
        names, maps = map_names(prior), prior.maps
        assert names is not None
        assert maps is not None
        if maps.shape[1:] != shape:
            raise DataError(
                sample.prior_path,
                f"maps of {maps.shape[1]} x {maps.shape[2]} pixels, its chip {sample.image_path} has {shape[0]} x {shape[1]}",
                "maps lie on the pixel grid of their chip",
                "make the prior for the grid of the chips (radar rows, columns and pixel spacings)",
            )
        self._names = self._names or names
        if names != self._names:
            raise DataError(
                sample.prior_path,
                f"holds the maps {', '.join(names)}, others hold {', '.join(self._names)}",
                "all priors of a training hold the same maps",
                "make the priors again with one version of geodiff-sar",
            )


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (" ..." if len(names) > 10 else "")
