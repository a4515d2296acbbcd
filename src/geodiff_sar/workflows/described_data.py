"""The data of a training run from sd-scripts' dataset configuration, and the settings that this file states."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.console import warn
from geodiff_sar.core.errors import OptionError
from geodiff_sar.data.buckets import BucketOptions
from geodiff_sar.data.dataset_config import (
    CAPTION_SETTINGS,
    DescribedSet,
    caption_options,
    check_effects,
    complete_settings,
    list_chips,
    read_dataset_config,
)
from geodiff_sar.data.readers import ordered_samples
from geodiff_sar.data.sample import Sample
from geodiff_sar.workflows.train_config import TrainConfig

RANGE_SETTINGS = ("min_bucket_reso", "max_bucket_reso", "bucket_reso_steps")
BUCKET_SETTINGS = ("resolution", "enable_bucket", *RANGE_SETTINGS)
"""Settings of picture sizes, under the same names there and here; those of the range are read with enable_bucket only."""


def described_data(config: TrainConfig) -> tuple[TrainConfig, list[Sample]]:
    """The configuration with the file's batch size, picture sizes and caption settings in it, and all chips, sorted by id.

    As in sd-scripts, the file's settings win over the run's own; where both are silent, sd-scripts' defaults hold.

    Raises:
        FileError, OptionError, DataError: mistakes in the file, its folders or captions.
    """
    assert config.data.dataset_config is not None
    path = Path(config.data.dataset_config)
    stated = _stated(config)
    sets = read_dataset_config(path, stated)
    check_effects(path, sets)
    common = _common(path, sets)
    clouds = None if config.data.pointcloud_dir is None else Path(config.data.pointcloud_dir)
    samples = ordered_samples(path, list_chips(path, sets, clouds), config.data.classes)
    buckets = {name: value for name, value in common.items() if name in BUCKET_SETTINGS}
    sizes = parse_options(BucketOptions, {**config.data.buckets.model_dump(), **buckets}, str(path))
    ways = [sample.captions for sample in samples]
    captions = ways[0]
    if all(way == captions for way in ways):
        samples = [replace(sample, captions=None) for sample in samples]
    else:  # what holds where a subset states nothing, so that the configuration that is written means the same again
        captions = caption_options(complete_settings({}, stated))
    data = config.data.model_copy(update={"buckets": sizes, "captions": captions})
    train = config.train.model_copy(update={"batch_size": common["batch_size"]})
    described = config.model_copy(update={"data": data, "train": train})
    _say_what_gives_way(path, config, described)
    return described, samples


def _stated(config: TrainConfig) -> dict[str, Any]:
    """Settings that the run's configuration states itself, under sd-scripts' names."""
    buckets, captions = config.data.buckets, config.data.captions
    stated: dict[str, Any] = {
        name: getattr(buckets, name)
        for name in BUCKET_SETTINGS
        if name in buckets.model_fields_set and getattr(buckets, name) is not None
    }
    for theirs, ours in CAPTION_SETTINGS.items():
        if ours in captions.model_fields_set:
            stated[theirs] = getattr(captions, ours)
    if "batch_size" in config.train.model_fields_set:
        stated["batch_size"] = config.train.batch_size
    return stated


def _common(path: Path, sets: list[DescribedSet]) -> dict[str, Any]:
    """Batch size and picture sizes, which a training has once."""
    kept = [_sizes(described.settings) for described in sets]
    first = kept[0]
    for described, other in zip(sets, kept, strict=True):
        for name in (name for name in ("batch_size", *BUCKET_SETTINGS) if name in first or name in other):
            if other.get(name) != first.get(name):
                raise OptionError(
                    path,
                    f"{name} = {first.get(name)} in {sets[0].where} and {other.get(name)} in {described.where}",
                    "batch size and picture sizes are the same for all data sets of a training",
                    f"give all [[datasets]] one {name}, or train them one after the other (start_from)",
                )
    return first


def _sizes(settings: dict[str, Any]) -> dict[str, Any]:
    unread = () if settings["enable_bucket"] else RANGE_SETTINGS
    sizes = {name: settings[name] for name in ("batch_size", *BUCKET_SETTINGS) if name not in unread}
    if isinstance(sizes["resolution"], int):
        sizes["resolution"] = (sizes["resolution"], sizes["resolution"])
    elif sizes["resolution"] is not None:
        sizes["resolution"] = tuple(sizes["resolution"])
    return sizes


def _say_what_gives_way(path: Path, before: TrainConfig, after: TrainConfig) -> None:
    pairs: list[tuple[str, Options, Options]] = [
        ("data.buckets", before.data.buckets, after.data.buckets),
        ("data.captions", before.data.captions, after.data.captions),
        ("train", before.train, after.train),
    ]
    for table, old, new in pairs:
        for name in sorted(old.model_fields_set):
            if getattr(old, name) != getattr(new, name):
                warn(f"{table}.{name} = {getattr(old, name)} gives way to {getattr(new, name)}, by {path}")
