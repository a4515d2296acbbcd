"""The autoencoder between grey chips and scaled latents."""

import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from torch import Tensor


class VaeCodec:
    """An AutoencoderKL seen from SAR: one grey channel in, scaled latents out, and back.

    Scaled latents are ``(z - shift_factor) * scaling_factor``, the space in which the transformer works.

    Args:
        vae: the autoencoder, in eval mode.
        patch_size: patch of the transformer, which sets the grain that picture sides must be multiples of.
        model_hash: content hash of the weights, part of every cache key.
    """

    def __init__(self, vae: AutoencoderKL, patch_size: int, model_hash: str):
        self.vae = vae.eval().requires_grad_(False)
        self.model_hash = model_hash
        self.reduction: int = 2 ** (len(vae.config["block_out_channels"]) - 1)
        self.grain: int = self.reduction * patch_size
        self.latent_channels: int = vae.config["latent_channels"]
        self.scale = float(vae.config["scaling_factor"])
        self.shift = float(vae.config["shift_factor"] or 0.0)

    @property
    def dtype(self) -> str:
        """Name of the number format of the weights, part of every cache key."""
        return str(self.vae.dtype).removeprefix("torch.")

    @torch.no_grad()
    def encode(
        self, pixels: Float[Tensor, "batch 1 height width"]
    ) -> tuple[Float[Tensor, "batch channel h w"], Float[Tensor, "batch channel h w"]]:
        """Mean and standard deviation of the scaled latents of grey model values in [-1, 1]."""
        colour = pixels.expand(-1, self.vae.config["in_channels"], -1, -1)
        posterior = self.vae.encode(colour.to(self.vae.device, self.vae.dtype)).latent_dist  # pyright: ignore
        return ((posterior.mean - self.shift) * self.scale).float(), (posterior.std * self.scale).float()

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch 1 height width"]:
        """Grey model values in [-1, 1] (clipped) of scaled latents; NaN stays NaN."""
        raw = latents.to(self.vae.device, self.vae.dtype) / self.scale + self.shift
        colour = self.vae.decode(raw).sample  # pyright: ignore
        return colour.float().mean(dim=1, keepdim=True).clamp(-1.0, 1.0)
