"""The transformer together with the conditioning stack that steers it."""

from contextlib import contextmanager
from typing import Any

import torch
from diffusers import SD3Transformer2DModel
from jaxtyping import Float
from torch import Tensor

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.conditioning.options import BackboneSizes
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Condition
from geodiff_sar.core.errors import DataError
from geodiff_sar.model.token_processor import KEYWORD, attention_names, install_processors


class Backbone:
    """Runs the transformer under a Conditioned: pooled projection, geometry tokens, maps.

    The transformer keeps its own parameters and the stack its own; nothing of one is registered in the other.

    Args:
        transformer: the base's, with or without LoRA.
        conditioning: the adapter's stack; None: text alone.
        dtype: number format of the transformer's weights; None: as it says itself.

    Raises:
        DataError: the stack was built for a transformer of another shape.
    """

    def __init__(
        self,
        transformer: SD3Transformer2DModel,
        conditioning: ConditioningStack | None = None,
        dtype: torch.dtype | None = None,
    ):
        self.transformer, self.conditioning = transformer, conditioning
        self.dtype = transformer.dtype if dtype is None else dtype
        if conditioning is not None and conditioning.sizes.backbone is not None:
            found = backbone_sizes(transformer, conditioning.sizes.backbone.stride)
            if found != conditioning.sizes.backbone:
                raise DataError(
                    "adapter",
                    f"was built for {conditioning.sizes.backbone}, this base has {found}",
                    "an adapter is used on the base model it was trained on",
                    "use that base",
                )
        if conditioning is not None and conditioning.tokens is not None:
            install_processors(transformer)

    def condition(self, condition: Condition, scale: float = 1.0) -> Conditioned:
        """What the stack makes of a batch; the text's pooled vector alone without stack, and at strength 0."""
        if self.conditioning is None or scale == 0.0:
            return Conditioned(condition.pooled)
        return self.conditioning(condition, scale)

    def __call__(
        self,
        x: Float[Tensor, "batch channel height width"],
        timestep: Float[Tensor, " batch"],
        context: Float[Tensor, "batch token context"],
        conditioned: Conditioned,
        skip_layers: list[int] | None = None,
    ) -> Float[Tensor, "batch channel height width"]:
        """Predicted velocity.

        Args:
            x: noisy latents.
            timestep: 0..1000.
            context: text tokens.
            conditioned: see ``condition``.
            skip_layers: numbers of the blocks that are left out.
        """
        keywords: dict[str, Any] | None = None
        if conditioned.tokens is not None and self.conditioning is not None and self.conditioning.tokens is not None:
            keywords = {KEYWORD: self.conditioning.tokens.at(conditioned.tokens, timestep, conditioned.scale)}
        with _added(self.transformer.pos_embed, conditioned.maps):
            return self.transformer(
                hidden_states=x.to(self.dtype),
                timestep=timestep,
                encoder_hidden_states=context.to(self.dtype),
                pooled_projections=conditioned.pooled.to(self.dtype),
                joint_attention_kwargs=keywords,
                skip_layers=skip_layers,
                return_dict=False,
            )[0]


def backbone_sizes(transformer: SD3Transformer2DModel, stride: int) -> BackboneSizes:
    """Sizes of a transformer; ``stride`` is the base's grain, VAE reduction times patch."""
    heads, head_width = transformer.config["num_attention_heads"], transformer.config["attention_head_dim"]
    return BackboneSizes(heads * head_width, head_width, attention_names(transformer), stride)


@contextmanager
def _added(embedding: torch.nn.Module, addend: Tensor | None) -> Any:
    """While open, ``addend`` is added to what ``embedding`` gives.

    A hook for the time of one call leaves nothing behind. The embedding lies outside the blocks, which alone are computed
    again by gradient checkpointing, left out by skip_layers, adapted by LoRA or compiled.
    """
    if addend is None:
        yield
        return

    def add(module: torch.nn.Module, given: Any, result: Tensor) -> Tensor:
        if result.shape != addend.shape:
            raise DataError(
                "prior maps",
                f"give {tuple(addend.shape[1:])} tokens for {tuple(result.shape[1:])} image tokens",
                "maps lie on the pixel grid of the chip",
                "fit the maps to the size of the picture",
            )
        return result + addend.to(result.dtype)

    handle = embedding.register_forward_hook(add)
    try:
        yield
    finally:
        handle.remove()
