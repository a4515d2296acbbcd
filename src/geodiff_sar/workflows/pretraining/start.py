"""Going on from an existing base: its text encoders and autoencoder as they are, its transformer as the first weights."""

from diffusers import SD3Transformer2DModel

from geodiff_sar.core.errors import OptionError
from geodiff_sar.model.base import BaseModel, load_base
from geodiff_sar.training.pretrain.options import PretrainOptions
from geodiff_sar.training.pretrain.vae_stage import build_vae


def load_start(options: PretrainOptions) -> BaseModel | None:
    """The base to go on from, checked against the options; None where training starts from nothing.

    Raises:
        OptionError: the base was trained with another resolution, shift, remap, T5 length or autoencoder.
        FileError: a part of it is missing or damaged.
    """
    if options.start_from is None:
        return None
    base = load_base(options.start_from)
    shape = build_vae(options.vae).config
    pairs = {
        "resolution": (tuple(base.settings.resolution), tuple(options.resolution)),
        "shift": (base.settings.shift, options.shift),
        "remap": (base.settings.remap, options.remap),
        "text.t5_length": (base.settings.t5_length, options.text.t5_length),
        "vae.block_out_channels": (
            list(base.vae.vae.config["block_out_channels"]),
            list(shape["block_out_channels"]),
        ),
        "vae.latent_channels": (base.vae.latent_channels, shape["latent_channels"]),
    }
    for name, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise OptionError(name, str(ours), f"that of {options.start_from}, {theirs}", "make both equal")
    return base


def begin_with(transformer: SD3Transformer2DModel, base: BaseModel) -> None:
    """Give an untrained transformer the weights of the base's.

    Raises:
        OptionError: they are of other sizes.
    """
    try:
        transformer.load_state_dict(base.transformer.state_dict())
    except RuntimeError as error:
        raise OptionError(
            "transformer", "other sizes than the weights to start from", f"the sizes of {base.name}", "make both equal"
        ) from error
