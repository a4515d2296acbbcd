"""Pose embedding and reference encoder against their formulas."""

import math

import numpy as np
import pytest
import torch

from geodiff_sar.conditioning.image import ReferenceEncoder
from geodiff_sar.conditioning.pose import PoseEmbedding


def pose_net() -> PoseEmbedding:
    torch.manual_seed(0)
    net = PoseEmbedding(16).double()
    torch.nn.init.normal_(net.null_azimuth)
    torch.nn.init.normal_(net.null_depression)
    return net


def embed(net: PoseEmbedding, azimuth, has_azimuth=True, depression=30.0, has_depression=True) -> torch.Tensor:
    values = [torch.tensor([v], dtype=torch.float64) for v in (azimuth, depression)]
    return net(values[0], torch.tensor([has_azimuth]), values[1], torch.tensor([has_depression]))[0]


def test_pose_formula():
    net = pose_net()
    phi, psi = math.radians(73.0), math.radians(30.0)
    order = np.arange(1, 9)
    waves = np.concatenate([np.sin(order * phi), np.cos(order * phi), [math.sin(psi), math.cos(psi)]])
    expected = net.projection.weight.detach().numpy() @ waves + net.projection.bias.detach().numpy()
    np.testing.assert_allclose(embed(net, 73.0).detach().numpy(), expected, atol=1e-12)


def test_azimuth_is_a_circle():
    net = pose_net()
    torch.testing.assert_close(embed(net, 0.0), embed(net, 360.0), atol=1e-12, rtol=0)
    near = (embed(net, 359.5) - embed(net, 0.5)).norm()
    assert near < 0.2 * (embed(net, 180.0) - embed(net, 0.0)).norm()
    turned = torch.stack([embed(net, float(a)) for a in range(0, 360, 5)])
    assert torch.pdist(turned).min() > 1e-3  # every azimuth has an embedding of its own


@pytest.mark.parametrize("stored", [0.0, 123.0, math.nan])
def test_unknown_angles_are_learned_vectors_whatever_is_stored(stored):
    net = pose_net()
    weight, bias = net.projection.weight, net.projection.bias
    known = torch.tensor([0.5, math.sqrt(0.75)], dtype=torch.float64)
    expected = weight @ torch.cat([net.null_azimuth, known]) + bias
    torch.testing.assert_close(embed(net, stored, has_azimuth=False), expected, atol=1e-12, rtol=0)
    nothing = embed(net, stored, False, stored, False)
    torch.testing.assert_close(nothing, weight @ torch.cat([net.null_azimuth, net.null_depression]) + bias)
    nothing.sum().backward()
    for parameter in net.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
        assert parameter.grad.abs().max() > 0


def test_reference_formula():
    torch.manual_seed(0)
    net = ReferenceEncoder(2, 5).double()
    latent = torch.randn(1, 2, 5, 4, dtype=torch.float64)

    def convolve(x: np.ndarray, layer: torch.nn.Module, stride: int) -> np.ndarray:
        kernel, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()  # type: ignore[union-attr]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        rows, columns = -(-x.shape[1] // stride), -(-x.shape[2] // stride)
        patches = np.array(
            [
                [padded[:, r * stride : r * stride + 3, c * stride : c * stride + 3] for c in range(columns)]
                for r in range(rows)
            ]
        )
        return np.maximum(np.einsum("rcikl,oikl->orc", patches, kernel) + bias[:, None, None], 0.0)

    x = convolve(convolve(latent[0].numpy(), net.convolutions[0], 1), net.convolutions[2], 2).mean(axis=(1, 2))
    expected = net.projection.weight.detach().numpy() @ x + net.projection.bias.detach().numpy()
    np.testing.assert_allclose(net(latent)[0].detach().numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (40, 24), (33, 5)])
def test_reference_of_any_size(size):
    net = ReferenceEncoder(16, 24)
    assert net(torch.randn(2, 16, *size)).shape == (2, 24)


def test_reference_parameter_count_is_the_published_one_without_its_dead_projection():
    dead = 128 * 8 * 8 * 768 + 768
    assert sum(p.numel() for p in ReferenceEncoder(16, 768).parameters()) == 6_474_432 - dead == 182_208
