"""Second stage: the autoencoder, trained on random crops of the chips."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor, nn

from geodiff_sar.training.pretrain.batches import whole_batches
from geodiff_sar.training.pretrain.options import VaeSizes, VaeStageOptions
from geodiff_sar.training.task import BatchSource, Task


def build_vae(sizes: VaeSizes) -> AutoencoderKL:
    """Untrained autoencoder in the class and form that SD3.5 uses (no quantisation convolutions)."""
    levels = len(sizes.block_out_channels)
    shape: dict[str, Any] = {
        "down_block_types": ("DownEncoderBlock2D",) * levels,
        "up_block_types": ("UpDecoderBlock2D",) * levels,
        "block_out_channels": tuple(sizes.block_out_channels),
    }
    return AutoencoderKL(
        **shape,
        in_channels=3,
        out_channels=3,
        layers_per_block=sizes.layers_per_block,
        latent_channels=sizes.latent_channels,
        norm_num_groups=sizes.norm_groups,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=1.0,
        shift_factor=0.0,
    )


@dataclass(frozen=True)
class CropBatch:
    """Crops of chips as model values in [-1, 1] and the ids of the chips."""

    pixels: Float[Tensor, "batch 1 height width"]
    ids: list[str]


class CropSource(BatchSource[CropBatch]):
    """Random crops, some of them mirrored (an autoencoder has no azimuth to lose)."""

    def __init__(self, chips: Sequence[Float[np.ndarray, "height width"]], ids: list[str], options: VaeStageOptions):
        self.chips, self.ids, self.options = chips, ids, options

    def plan(self, epoch: int) -> list[Any]:
        return whole_batches(len(self.chips), self.options.batch_size, self.options.seed, epoch)

    def load(self, item: Any, epoch: int) -> CropBatch:
        rng = np.random.default_rng([self.options.seed, epoch, *item])
        side, crops = self.options.crop, []
        for index in item:
            chip = self.chips[index]
            top, left = (int(rng.integers(length - side + 1)) for length in chip.shape)
            crop = chip[top : top + side, left : left + side]
            crop = crop[:: 1 if rng.random() < 0.5 else -1, :: 1 if rng.random() < 0.5 else -1]
            crops.append(torch.from_numpy(crop.copy()))
        return CropBatch(torch.stack(crops)[:, None], [self.ids[index] for index in item])


class VaeTask(Task[CropBatch]):
    """Loss: absolute and squared error, difference of local standard deviations, and the Kullback-Leibler term."""

    def __init__(self, vae: AutoencoderKL, options: VaeStageOptions):
        self.vae, self.options = vae, options

    def modules(self) -> dict[str, nn.Module]:
        return {"vae": self.vae}

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.vae.parameters()), "name": "vae", "lr": self.options.lr}]

    def loss(self, batch: CropBatch) -> tuple[Tensor, dict[str, float]]:
        colour = batch.pixels.expand(-1, 3, -1, -1)
        posterior = self.vae.encode(colour).latent_dist  # pyright: ignore
        image = self.vae.decode(posterior.sample()).sample  # pyright: ignore
        error = image - colour
        squared, absolute = error.square().mean(), error.abs().mean()
        texture = (local_deviation(image.mean(1, keepdim=True)) - local_deviation(batch.pixels)).abs().mean()
        divergence = posterior.kl().mean()
        options = self.options
        loss = squared + 0.5 * absolute + options.texture_weight * texture + options.kl_weight * divergence
        psnr = 10 * torch.log10(4.0 / squared.detach())
        return loss, {"vae/psnr_db": psnr.item(), "vae/texture": texture.item(), "vae/kl": divergence.item()}

    def describe(self, batch: CropBatch) -> str:
        return ", ".join(batch.ids[:8])


def local_deviation(pixels: Float[Tensor, "batch 1 height width"], window: int = 8) -> Float[Tensor, "batch 1 h w"]:
    """Standard deviation in windows of ``window`` pixels at half-window steps."""
    mean = F.avg_pool2d(pixels, window, window // 2)
    square = F.avg_pool2d(pixels.square(), window, window // 2)
    return (square - mean.square()).clamp_min(1e-6).sqrt()


@torch.no_grad()
def latent_statistics(vae: AutoencoderKL, chips: list[Float[np.ndarray, "height width"]]) -> tuple[float, float]:
    """Scaling factor (one over the standard deviation) and shift factor (the mean) of the raw latents of ``chips``.

    The variance is that of a draw: variance of the means plus mean of the variances.
    """
    means, variances = [], []
    for chip in chips:
        pixels = torch.from_numpy(chip)[None, None].expand(-1, 3, -1, -1)
        posterior = vae.encode(pixels).latent_dist  # pyright: ignore
        means.append(posterior.mean.flatten())
        variances.append(posterior.var.mean())
    every = torch.cat(means)
    deviation = (every.var() + torch.stack(variances).mean()).sqrt()
    return float(1.0 / deviation), float(every.mean())
