"""Flow matching as Stable Diffusion 3 trains it: timestep densities, loss weightings, loss forms."""

from collections.abc import Callable
from typing import Literal

import torch
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from geodiff_sar.core.config import Options

TRAIN_TIMESTEPS = 1000


class ObjectiveOptions(Options):
    """What is minimised."""

    density: Literal["logit_normal", "mode", "uniform"] = Field(
        default="logit_normal", description="density of timesteps"
    )
    logit_mean: float = Field(default=0.0, description="mean of the logit-normal density")
    logit_std: float = Field(default=1.0, gt=0, description="standard deviation of the logit-normal density")
    mode_scale: float = Field(default=1.29, description="scale of the mode density")
    weighting: Literal["none", "sigma_sqrt", "cosmap"] = Field(
        default="none", description="loss weight as a function of sigma"
    )
    prediction_space: Literal["velocity", "x0"] = Field(
        default="velocity",
        description="compare velocities, or clean latents as the published code does (sigma^2 times as much)",
    )
    loss: Literal["l2", "huber", "smooth_l1"] = Field(default="l2", description="form of the loss")
    huber_c: float = Field(default=0.1, gt=0, description="where huber and smooth_l1 turn from squares to magnitudes")
    target_weight: float = Field(
        default=1.0,
        gt=0,
        le=1000,
        description="weight of the loss where the prior's maps say target or shadow, against 1 elsewhere; targets are small",
    )
    shift: float | None = Field(
        default=None, gt=0, description="timestep shift; None: the base's. Stored in the adapter and used in sampling"
    )


def sample_u(count: int, options: ObjectiveOptions) -> Float[Tensor, " batch"]:
    """Places u in [0, 1) on the noise schedule, drawn on the CPU from torch's global generator."""
    scheme = {"uniform": "none"}.get(options.density, options.density)
    return compute_density_for_timestep_sampling(
        scheme, count, logit_mean=options.logit_mean, logit_std=options.logit_std, mode_scale=options.mode_scale
    ).float()


def sigma_of(u: Float[Tensor, " batch"], shift: float) -> Float[Tensor, " batch"]:
    """Noise level of the discrete schedule: ``s = (1000 - floor(1000 u)) / 1000``, ``sigma = k s / (1 + (k - 1) s)``.

    Source: the scheduler of SD3 (shift k); sigma lies in (0, 1].
    """
    index = (u * TRAIN_TIMESTEPS).long().clamp(0, TRAIN_TIMESTEPS - 1)
    s = (TRAIN_TIMESTEPS - index).float() / TRAIN_TIMESTEPS
    return shift * s / (1 + (shift - 1) * s)


def flow_loss(
    predict: Callable[[Tensor, Tensor], Tensor],
    latents: Float[Tensor, "batch channel height width"],
    noise: Float[Tensor, "batch channel height width"],
    u: Float[Tensor, " batch"],
    options: ObjectiveOptions,
    shift: float,
    target: Float[Tensor, "batch 1 height width"] | None = None,
) -> tuple[Float[Tensor, " batch"], dict[str, float]]:
    """Loss of each chip.

    ``x = sigma noise + (1 - sigma) latent``; the network predicts the velocity ``noise - latent``. In x0 space the
    prediction is ``x - sigma v`` and the target the latent, which is ``sigma^2`` times the squared velocity error.

    Args:
        predict: velocity from noisy latents and timesteps ``1000 sigma``.
        latents: clean scaled latents.
        noise: standard normal.
        u: places on the schedule, see sample_u.
        options: see ObjectiveOptions.
        shift: timestep shift k.
        target: share of each latent's pixels that show target or shadow, for ``target_weight``; its weights are scaled to a
            mean of 1 over each chip. None: all weigh the same.
    """
    sigma = sigma_of(u, shift).to(latents.device)
    level = sigma[:, None, None, None]
    noisy = level * noise + (1 - level) * latents
    velocity = predict(noisy, sigma * TRAIN_TIMESTEPS).float()
    error = noisy - level * velocity - latents if options.prediction_space == "x0" else velocity - (noise - latents)
    weight = compute_loss_weighting_for_sd3(options.weighting, sigma)
    penalty = _penalty(error, options) * weight[:, None, None, None]
    loss = _weighted(penalty, options, target).mean(dim=(1, 2, 3))
    return loss, {"sigma/mean": float(sigma.mean()), "loss/flow": float(loss.detach().mean())}


def forecast_loss(
    forecast: Float[Tensor, "batch channel height width"],
    latents: Float[Tensor, "batch channel height width"],
    present: Bool[Tensor, " batch"],
    options: ObjectiveOptions,
    target: Float[Tensor, "batch 1 height width"] | None = None,
) -> Float[Tensor, " batch"]:
    """Squared error of what the maps foretell of the latent, under ``target_weight``; 0 where no maps are present."""
    error = (forecast.float() - latents).square()
    return torch.where(present, _weighted(error, options, target).mean(dim=(1, 2, 3)), 0.0)


def _weighted(penalty: Tensor, options: ObjectiveOptions, target: Tensor | None) -> Tensor:
    if target is None:
        return penalty
    places = 1 + (options.target_weight - 1) * target.to(penalty.device)
    return penalty * (places / places.mean(dim=(1, 2, 3), keepdim=True))


def _penalty(error: Tensor, options: ObjectiveOptions) -> Tensor:
    """Squares; ``2 c (sqrt(e^2 + c^2) - c)`` (pseudo-Huber); or ``2 (sqrt(e^2 + c^2) - c)``."""
    if options.loss == "l2":
        return error.square()
    c = options.huber_c
    smooth = (error.square() + c * c).sqrt() - c
    return 2 * c * smooth if options.loss == "huber" else 2 * smooth
