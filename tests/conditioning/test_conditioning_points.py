"""The point encoder: invariances, masks, statistics and refusals."""

import math

import pytest
import torch

from geodiff_sar.conditioning.points import PointEncoder, PointEncoderOptions
from geodiff_sar.core.errors import DataError, OptionError

D, E = 6, 32


def encoder(**options) -> PointEncoder:
    torch.manual_seed(0)
    return PointEncoder(D, E, PointEncoderOptions(**options)).double().eval()


def cloud(batch: int, points: int, seed: int = 3):
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(batch, points, D, generator=draw, dtype=torch.float64)
    coordinates = 5 * torch.randn(batch, points, 3, generator=draw, dtype=torch.float64)
    return features, coordinates, torch.ones(batch, points, dtype=torch.bool), torch.ones(batch, dtype=torch.bool)


def padded(features, coordinates, mask, room: int, value: float):
    batch = len(features)
    return (
        torch.cat([features, torch.full((batch, room, D), value, dtype=features.dtype)], dim=1),
        torch.cat([coordinates, torch.full((batch, room, 3), value, dtype=features.dtype)], dim=1),
        torch.cat([mask, torch.zeros(batch, room, dtype=torch.bool)], dim=1),
    )


@pytest.mark.parametrize("positions", ["coordinates", "none"])
@pytest.mark.parametrize("layers", [1, 3])
def test_order_of_points_does_not_matter(positions, layers):
    net = encoder(positions=positions, layers=layers)
    features, coordinates, mask, has = cloud(2, 9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    pooled, tokens = net(features, coordinates, mask, has)
    moved, moved_tokens = net(features[:, order], coordinates[:, order], mask, has)
    torch.testing.assert_close(moved, pooled, rtol=0, atol=1e-12)
    torch.testing.assert_close(moved_tokens, tokens[:, order], rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", ["coordinates", "none"])
def test_padding_anywhere_does_not_matter(positions):
    net = encoder(positions=positions, layers=2)
    features, coordinates, mask, has = cloud(2, 9)
    pooled, _ = net(features, coordinates, mask, has)
    wide = padded(features, coordinates, mask, 5, math.nan)
    order = torch.randperm(14, generator=torch.Generator().manual_seed(2))
    features_, coordinates_, mask_ = (part[:, order] for part in wide)
    result, tokens = net(features_, coordinates_, mask_, has)
    torch.testing.assert_close(result, pooled, rtol=0, atol=1e-12)
    assert torch.equal(tokens[~mask_], torch.zeros_like(tokens[~mask_]))


def test_index_positions_see_the_order_but_not_the_padding():
    net = encoder(positions="index")
    features, coordinates, mask, has = cloud(2, 9)
    none = torch.zeros_like(has)
    pooled, _ = net(features, torch.full_like(coordinates, math.nan), mask, none)
    assert not torch.allclose(net(features.flip(1), coordinates, mask, none)[0], pooled, atol=1e-6)
    wide = padded(features, coordinates, mask, 4, math.nan)
    torch.testing.assert_close(net(*wide, none)[0], pooled, rtol=0, atol=1e-12)


def test_clouds_of_a_batch_do_not_mix():
    net = encoder()
    features, coordinates, mask, has = cloud(3, 8)
    mask[1, 5:] = False
    together, _ = net(features, coordinates, mask, has)
    for row, length in enumerate((8, 5, 8)):
        one = slice(row, row + 1)
        alone, _ = net(features[one, :length], coordinates[one, :length], mask[one, :length], has[one])
        torch.testing.assert_close(alone, together[one], rtol=0, atol=1e-12)


def test_features_and_coordinates_both_matter():
    net = encoder()
    features, coordinates, mask, has = cloud(1, 8)
    pooled, _ = net(features, coordinates, mask, has)
    assert not torch.allclose(net(features + 0.1, coordinates, mask, has)[0], pooled, atol=1e-6)
    assert not torch.allclose(net(features, coordinates + 0.1, mask, has)[0], pooled, atol=1e-6)


def test_statistics_undo_an_affine_change_of_the_features():
    features, coordinates, mask, has = cloud(2, 8)
    plain, changed = encoder(), encoder()
    mean, std = torch.linspace(-2, 3, D).double(), torch.linspace(0.5, 4, D).double()
    changed.set_statistics(mean, std)
    expected, _ = plain(features, coordinates, mask, has)
    torch.testing.assert_close(changed(features * std + mean, coordinates, mask, has)[0], expected, atol=1e-11, rtol=0)
    assert {"feature_mean", "feature_std"} <= set(changed.state_dict())


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        (torch.zeros(D - 1), torch.ones(D - 1)),
        (torch.zeros(1), torch.ones(1)),
        (torch.full((D,), math.nan), torch.ones(D)),
        (torch.zeros(D), torch.zeros(D)),
        (torch.zeros(D), torch.full((D,), math.inf)),
    ],
)
def test_unusable_statistics_are_refused(mean, std):
    net = encoder()
    with pytest.raises(DataError, match="feature statistics"):
        net.set_statistics(mean, std)
    assert torch.equal(net.feature_std, torch.ones(D).double())


def test_a_cloud_without_coordinates_is_refused_with_the_remedy():
    net = encoder()
    features, coordinates, mask, _ = cloud(2, 4)
    with pytest.raises(DataError, match=r"conditioning\.points\.positions"):
        net(features, coordinates, mask, torch.tensor([True, False]))
    net(features, coordinates, mask & torch.tensor([[True], [False]]), torch.tensor([True, False]))  # absent: not asked


def test_a_cloud_too_large_is_refused():
    with pytest.raises(OptionError, match="max_points"):
        encoder(max_points=4)(*cloud(1, 5))
    with pytest.raises(OptionError, match="at most 1000"):
        encoder(positions="index")(*cloud(1, 1001))
    large, _ = encoder()(*cloud(1, 3000))
    assert bool(large.isfinite().all())


def test_heads_must_divide_the_width():
    with pytest.raises(OptionError, match=r"conditioning\.points\.heads"):
        PointEncoder(D, 36, PointEncoderOptions())


def test_one_point_and_no_point():
    net = encoder()
    features, coordinates, mask, has = cloud(2, 1)
    mask[1] = False
    pooled, tokens = net(features, coordinates, mask, has)
    torch.testing.assert_close(pooled[0], tokens[0, 0])
    assert torch.equal(pooled[1], torch.zeros(E).double())


def test_same_result_with_and_without_gradients():
    net = encoder(layers=2)
    features, coordinates, mask, has = cloud(2, 8)
    mask[0, 6:] = False
    expected, _ = net(features, coordinates, mask, has)
    with torch.no_grad():
        torch.testing.assert_close(net(features, coordinates, mask, has)[0], expected, atol=1e-12, rtol=0)


def test_every_parameter_gets_a_gradient_and_nan_in_padding_does_not_reach_them():
    for positions in ("coordinates", "index", "none"):
        net = encoder(positions=positions, layers=2, max_points=12)
        features, coordinates, mask, has = cloud(2, 9)
        features, coordinates, mask = padded(features, coordinates, mask, 3, math.nan)
        pooled, _ = net(features, coordinates, mask, has)
        (pooled * torch.randn(pooled.shape, dtype=pooled.dtype)).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().max() > 0, name
