"""What an adapter run trains: the conditioning stack fitted to base and data, the transformer's trained part, the record."""

import torch
from diffusers import SD3Transformer2DModel

from geodiff_sar.conditioning.options import ConditioningSizes, default_embed_dim
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import DataError, OptionError
from geodiff_sar.data.dataset import ChipDataset
from geodiff_sar.data.remap import AmplitudeRemap
from geodiff_sar.model.adapter import AdapterRecord
from geodiff_sar.model.adapter_files import AdapterFiles
from geodiff_sar.model.adapter_start import begin_with_adapter
from geodiff_sar.model.backbone import backbone_sizes
from geodiff_sar.model.base import BaseModel
from geodiff_sar.model.base_parts import BaseSettings
from geodiff_sar.model.lora import add_lora, float_trained
from geodiff_sar.workflows.train_config import TrainConfig


def stack_sizes(
    config: TrainConfig,
    transformer: SD3Transformer2DModel,
    latent_channels: int,
    grain: int,
    settings: BaseSettings,
    map_names: tuple[str, ...],
) -> ConditioningSizes:
    """Sizes of the conditioning stack for a transformer, which may be without weights.

    Args:
        config: of the training.
        transformer: the backbone.
        latent_channels, grain: of the VAE, and pixels of a patch.
        settings: of the base.
        map_names: the maps that the priors have.
    """
    pooled = transformer.config["pooled_projection_dim"]
    return ConditioningSizes(
        pooled,
        latent_channels,
        config.data.pointcloud_dim,
        config.conditioning.embed_dim or settings.embed_dim or default_embed_dim(pooled),
        backbone_sizes(transformer, grain) if set(config.inject) != {"pooled"} else None,
        map_names,
        transformer.config["patch_size"],
    )


def build_conditioning(config: TrainConfig, base: BaseModel, dataset: ChipDataset) -> ConditioningStack | None:
    """Untrained conditioning stack for a base and a checked data set, with the data set's feature statistics; None where
    nothing is injected.

    Raises:
        DataError: clouds without the coordinates that their encoder takes.
    """
    if not config.inject:
        return None
    vae, names = base.vae, dataset.priors.map_names
    sizes = stack_sizes(config, base.skeleton, vae.latent_channels, vae.grain, base.settings, names)
    with torch.random.fork_rng():
        torch.manual_seed(config.train.seed)
        stack = ConditioningStack(sizes, config.conditioning, config.fusion, list(config.inject))
    _check_coordinates(config, dataset)
    if stack.needs.clouds and dataset.priors.clouds:
        stack.set_statistics(*dataset.priors.statistics())
    return stack


def check_held_out(dataset: ChipDataset, held_out: ChipDataset) -> None:
    """Maps of held-out chips must be those of the training.

    Raises:
        DataError: they are others.
    """
    if held_out.priors.maps and held_out.priors.map_names != dataset.priors.map_names:
        raise DataError(
            "data.split",
            f"held-out chips have the maps {', '.join(held_out.priors.map_names)}",
            f"the maps of the training chips: {', '.join(dataset.priors.map_names)}",
            "make the priors again with one version of geodiff-sar",
        )


def check_sizes(base: BaseModel, *datasets: ChipDataset | None) -> None:
    """The base must have positions for every picture.

    Raises:
        OptionError: a picture is too large.
    """
    require_positions(
        max(max(size) for dataset in datasets if dataset is not None for size in dataset.sizes()), base.largest_side
    )


def require_positions(longest: int, largest: int) -> None:
    """A picture side, pixels, is at most the longest that a base has positions for.

    Raises:
        OptionError: it is not.
    """
    if longest > largest:
        raise OptionError(
            "data.buckets",
            f"pictures of {longest} pixels",
            f"at most {largest} for this base",
            "lower data.buckets.resolution or data.buckets.max_bucket_reso",
        )


def choose_trained(
    config: TrainConfig,
    base_hash: str,
    transformer: SD3Transformer2DModel,
    conditioning: ConditioningStack | None,
    start: AdapterFiles | None,
) -> None:
    """Mark what of the transformer is trained, and add LoRA layers if they are; LoRA and conditioning begin with the weights
    of ``start``, if there is one.

    Raises:
        GeodiffError: as begin_with_adapter.
    """
    lora = config.lora if config.train_base == "lora" else None
    transformer.requires_grad_(config.train_base == "full")
    float_trained(transformer)
    if lora is not None:
        add_lora(transformer, lora, config.train.seed)
    if start is not None:
        begin_with_adapter(start, base_hash, transformer, conditioning, lora)
    if config.train.gradient_checkpointing:
        transformer.enable_gradient_checkpointing()


def adapter_record(
    config: TrainConfig,
    base: BaseModel,
    dataset: ChipDataset,
    conditioning: ConditioningStack | None,
    shift: float,
    remap: AmplitudeRemap,
    steps: int,
    started_from: str | None,
) -> AdapterRecord:
    """The record of an adapter after ``steps`` optimizer steps; ``started_from`` is the hash of the adapter it began with."""
    return AdapterRecord(
        base=config.base,
        base_hash=base.hash,
        base_hash_without_t5=base.hash_without_t5,
        shift=shift,
        remap=remap,
        resolution=dataset.common_size(),
        t5_length=base.settings.t5_length,
        lora=config.lora if config.train_base == "lora" else None,
        full=config.train_base == "full",
        conditioning=None if conditioning is None else conditioning.header(),
        inject=list(config.inject),
        priors=dataset.priors.facts() if dataset.needs.geometry else None,
        image_condition=config.data.image_condition if dataset.needs.image else "none",
        steps=steps,
        started_from=started_from,
        pixels=dataset.pixels(),
    )  # pyright: ignore


def _check_coordinates(config: TrainConfig, dataset: ChipDataset) -> None:
    lacking = dataset.priors.without_coordinates()
    if lacking and config.conditioning.points.positions == "coordinates":
        raise DataError(
            "conditioning.points.positions",
            f'"coordinates", but the features of {len(lacking)} chips have none: {", ".join(lacking[:10])}',
            "positions are taken from the coordinates in the feature file (.npy files hold none)",
            'give files with coordinates, or set conditioning.points.positions = "none" or "index" (as published)',
        )
