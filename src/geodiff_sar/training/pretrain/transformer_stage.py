"""Third stage: the transformer, trained from scratch on cached latents and cached text."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import SD3Transformer2DModel
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.data.blocks import BlockStore
from geodiff_sar.training.objective import ObjectiveOptions, flow_loss, sample_u
from geodiff_sar.training.pretrain.batches import whole_batches
from geodiff_sar.training.pretrain.options import PretrainOptions, TransformerStageOptions
from geodiff_sar.training.task import BatchSource, Task


def build_transformer(options: PretrainOptions) -> SD3Transformer2DModel:
    """Untrained MMDiT in the class and form that SD3.5-Medium uses (query-key norm, dual attention layers)."""
    sizes, width = options.transformer, options.transformer.heads * options.transformer.head_width
    reduction = 2 ** (len(options.vae.block_out_channels) - 1)
    return SD3Transformer2DModel(
        sample_size=max(options.resolution) // reduction,
        patch_size=sizes.patch_size,
        in_channels=options.vae.latent_channels,
        out_channels=options.vae.latent_channels,
        num_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        attention_head_dim=sizes.head_width,
        joint_attention_dim=options.text.clip_l_width + options.text.clip_g_width,
        caption_projection_dim=width,
        pooled_projection_dim=2 * options.text.projection,
        pos_embed_max_size=sizes.max_grid,
        qk_norm="rms_norm",
        dual_attention_layers=tuple(sizes.dual_attention_layers),
    )


@dataclass(frozen=True)
class LatentBatch:
    """Scaled latents with their text.

    Attributes:
        mean: posterior mean.
        std: posterior standard deviation of each channel, the same for all chips.
        context, pooled: encoded captions.
        ids: of the chips.
    """

    mean: Float[Tensor, "batch channel height width"]
    std: Float[Tensor, " channel"]
    context: Float[Tensor, "batch token context"]
    pooled: Float[Tensor, "batch pooled"]
    ids: list[str]


@dataclass(frozen=True)
class LatentSet:
    """Latents and texts of a data set, by chip.

    Attributes:
        mean: posterior means.
        std: posterior standard deviation of each channel.
        context, pooled: encoded captions.
        empty: context and pooled vector of the empty caption.
        ids: names for messages.
    """

    mean: BlockStore
    std: Float[Tensor, " channel"]
    context: BlockStore
    pooled: BlockStore
    empty: tuple[Float[Tensor, "1 token context"], Float[Tensor, "1 pooled"]]
    ids: list[str]


class LatentSource(BatchSource[LatentBatch]):
    """Shuffled batches of a latent set, with captions dropped at random."""

    def __init__(self, data: LatentSet, options: TransformerStageOptions):
        self.data, self.options = data, options

    def plan(self, epoch: int) -> list[Any]:
        return whole_batches(len(self.data.ids), self.options.batch_size, self.options.seed, epoch)

    def load(self, item: Any, epoch: int) -> LatentBatch:
        rng = np.random.default_rng([self.options.seed, epoch, *item])
        dropped = torch.from_numpy(rng.random(len(item)) < self.options.caption_dropout)
        data = self.data
        context = torch.where(dropped[:, None, None], data.empty[0], data.context[item])
        pooled = torch.where(dropped[:, None], data.empty[1], data.pooled[item])
        return LatentBatch(data.mean[item], data.std, context, pooled, [data.ids[i] for i in item])


class TransformerTask(Task[LatentBatch]):
    """The whole transformer under the flow-matching loss."""

    def __init__(self, transformer: SD3Transformer2DModel, options: TransformerStageOptions, shift: float):
        self.transformer, self.options, self.shift = transformer, options, shift
        self.objective = ObjectiveOptions(prediction_space="velocity")  # pyright: ignore

    def modules(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.transformer.parameters()), "name": "transformer", "lr": self.options.lr}]

    def loss(self, batch: LatentBatch) -> tuple[Tensor, dict[str, float]]:
        # by shape: randn_like fills memory in the order of its argument's strides, which a cache may change
        latents = batch.mean + batch.std[:, None, None] * torch.randn(batch.mean.shape)

        def predict(noisy: Tensor, timestep: Tensor) -> Tensor:
            return self.transformer(
                hidden_states=noisy,
                timestep=timestep,
                encoder_hidden_states=batch.context,
                pooled_projections=batch.pooled,
                return_dict=False,
            )[0]

        noise = torch.randn(latents.shape)
        u = sample_u(len(latents), self.objective)
        losses, values = flow_loss(predict, latents, noise, u, self.objective, self.shift)
        return losses.mean(), values

    def describe(self, batch: LatentBatch) -> str:
        return ", ".join(batch.ids[:8])
