import numpy as np
import pytest
import torch

from geodiff_sar.sampling.solvers import flow_sigmas
from geodiff_sar.training.objective import ObjectiveOptions, flow_loss, sample_u, sigma_of


def losses(options: ObjectiveOptions, u: torch.Tensor, shift: float = 3.0, predicted: float = 0.3) -> torch.Tensor:
    g = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(len(u), 16, 4, 4, generator=g), torch.randn(len(u), 16, 4, 4, generator=g)
    return flow_loss(lambda x, t: torch.full_like(x, predicted), latents, noise, u, options, shift)[0]


U = torch.tensor([0.0, 0.25, 0.5, 0.999])


def test_sigma_is_the_published_schedule():
    u = torch.tensor([0.0, 0.0005, 0.5, 0.9995])
    s = torch.tensor([1.0, 1.0, 0.5, 0.001])
    assert torch.allclose(sigma_of(u, 3.0), 3 * s / (1 + 2 * s))
    assert torch.equal(sigma_of(u, 1.0), s)


def test_x0_loss_is_sigma_squared_times_velocity_loss():
    velocity = losses(ObjectiveOptions(), U)
    clean = losses(ObjectiveOptions(prediction_space="x0"), U)
    assert torch.allclose(clean, sigma_of(U, 3.0) ** 2 * velocity, rtol=1e-4)


def test_weightings():
    sigma = sigma_of(U, 3.0)
    plain = losses(ObjectiveOptions(prediction_space="x0"), U)
    root = losses(ObjectiveOptions(prediction_space="x0", weighting="sigma_sqrt"), U)
    assert torch.allclose(root, plain * sigma**-2.0, rtol=1e-4)
    cosine = losses(ObjectiveOptions(weighting="cosmap"), U)
    expected = losses(ObjectiveOptions(), U) * 2 / (np.pi * (1 - 2 * sigma + 2 * sigma**2))
    assert torch.allclose(cosine, expected, rtol=1e-4)


@pytest.mark.parametrize("loss", ["huber", "smooth_l1"])
def test_robust_losses_are_square_near_zero_and_straight_far_away(loss):
    c = 0.1

    def at(error: float) -> float:
        options = ObjectiveOptions(loss=loss, huber_c=c)
        zero = torch.zeros(1, 16, 2, 2)
        return flow_loss(lambda x, t: torch.full_like(x, error), zero, zero, torch.tensor([0.5]), options, 1.0)[
            0
        ].item()

    scale = 1.0 if loss == "huber" else 1 / c
    assert at(1e-3) == pytest.approx(scale * 1e-6, rel=1e-2)
    assert at(20.0) - at(10.0) == pytest.approx(10 * (2 * c if loss == "huber" else 2.0), rel=1e-3)


def test_a_perfect_prediction_has_no_loss():
    g = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(4, 16, 4, 4, generator=g), torch.randn(4, 16, 4, 4, generator=g)
    for space in ("velocity", "x0"):
        options = ObjectiveOptions(prediction_space=space)
        assert float(flow_loss(lambda x, t: noise - latents, latents, noise, U, options, 2.0)[0].max()) < 1e-10


def test_densities():
    torch.manual_seed(0)
    normal = sample_u(20_000, ObjectiveOptions(logit_mean=0.0, logit_std=1.0))
    assert normal.median().item() == pytest.approx(0.5, abs=0.02)
    assert torch.quantile(normal, 0.8413).item() == pytest.approx(1 / (1 + np.exp(-1.0)), abs=0.02)
    flat = sample_u(20_000, ObjectiveOptions(density="uniform"))
    assert torch.quantile(flat, 0.25).item() == pytest.approx(0.25, abs=0.02)
    mode = sample_u(20_000, ObjectiveOptions(density="mode"))
    assert (mode >= 0).all()
    assert (mode <= 1).all()
    assert mode.std().item() != pytest.approx(flat.std().item(), abs=0.005)


def test_training_and_sampling_use_one_shift():
    trained = sigma_of(torch.arange(1000) / 1000, 2.5)
    sampled = flow_sigmas(1000, 2.5)[:-1]
    assert trained.max() == sampled.max() == 1.0
    # sampling runs through the shifted levels once more shifted, as SD3 does: same range
    assert trained.min().item() == pytest.approx(2.5e-3, rel=0.01)


def test_targets_weigh_more_and_the_mean_weight_is_one():
    """An error of 1 on the target's quarter and 0 elsewhere: w / (1 + (w - 1) / 4) of a quarter."""
    zero, target = torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4)
    target[:, :, :2, :2] = 1.0

    def loss(weight: float, error: torch.Tensor) -> torch.Tensor:
        options = ObjectiveOptions(target_weight=weight)
        return flow_loss(
            lambda x, t: error.expand(x.shape), zero, zero, torch.tensor([0.5, 0.9]), options, 1.0, target
        )[0]

    on_target = target[:1]
    for weight in (1.0, 5.0, 20.0):
        expected = torch.full((2,), 0.25 * weight / (1 + (weight - 1) / 4))
        torch.testing.assert_close(loss(weight, on_target), expected)
        torch.testing.assert_close(loss(weight, torch.ones(1)), torch.ones(2))
