"""Tokens and maps by themselves: what they add at first, what they depend on, what is absent."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from geodiff_sar.conditioning.conditioned import Conditioned
from geodiff_sar.conditioning.maps import MapEncoder
from geodiff_sar.conditioning.options import BackboneSizes, TokenOptions, needs_of
from geodiff_sar.conditioning.token_attention import TokenAttention
from geodiff_sar.conditioning.tokens import TokenInjection
from geodiff_sar.core.errors import OptionError


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6, 8, 16, 20])
def test_maps_give_one_token_for_each_patch(stride):
    encoder = MapEncoder(3, 4, stride, 10)
    torch.nn.init.normal_(encoder.projection.weight)
    maps = torch.rand(2, 3, 4 * stride, 6 * stride)
    tokens, _ = encoder(maps, torch.tensor([True, True]))
    assert tokens.shape == (2, 24, 10)
    changed = maps.clone()  # the patch in row 2, column 3
    changed[:, :, 2 * stride : 3 * stride, 3 * stride : 4 * stride] += 1.0
    moved = (encoder(changed, torch.tensor([True, True]))[0] - tokens).abs().amax(dim=(0, 2)).view(4, 6)
    assert moved[2, 3] > 0
    near = torch.zeros(4, 6, dtype=torch.bool)
    near[1:4, 2:5] = True
    assert moved[~near].max() == 0.0  # no further than the neighbours


def test_maps_start_at_nothing_and_absence_is_a_learned_vector():
    encoder = MapEncoder(2, 4, 4, 10)
    maps = torch.rand(2, 2, 8, 8)
    assert not encoder(maps, torch.tensor([True, False]))[0].any()
    torch.nn.init.normal_(encoder.projection.weight)
    encoder.null.data.fill_(0.25)
    tokens, _ = encoder(maps, torch.tensor([True, False]))
    assert torch.equal(tokens[1], torch.full((4, 10), 0.25))
    assert (tokens[0] - 0.25).abs().min() > 0


@pytest.mark.parametrize("stride", [4, 16, 32])
def test_the_size_of_the_maps_survives_the_convolutions(stride):
    """Else the projection, which starts at zero, would learn slowly."""
    torch.manual_seed(0)
    encoder = MapEncoder(7, 16, stride, 10)
    features = encoder.convolutions(torch.randn(4, 7, 4 * stride, 4 * stride))
    assert 0.3 < float(features.detach().square().mean().sqrt()) < 3.0


def test_a_token_field_lies_symmetrically_about_its_patch():
    encoder = MapEncoder(1, 4, 8, 1)
    for parameter in encoder.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    maps = torch.rand(1, 1, 40, 40, requires_grad=True)
    encoder(maps, torch.tensor([True]))[0][0, 12, 0].backward()  # the middle one of 5 x 5
    assert maps.grad is not None
    rows = maps.grad[0, 0].abs().sum(dim=1).nonzero().flatten()
    assert int(rows.min()) + int(rows.max()) == 39


def test_attention_is_that_of_its_formula():
    torch.manual_seed(0)
    module = TokenAttention(12, 16, 8)
    torch.nn.init.normal_(module.to_v.weight)
    query, tokens, time = torch.randn(2, 2, 5, 8), torch.randn(2, 3, 12), torch.randn(2, 12)
    seen = module.norm(tokens, temb=time)
    key = module.norm_k(module.to_k(seen).view(2, 3, 2, 8).transpose(1, 2))
    value = module.to_v(seen).view(2, 3, 2, 8).transpose(1, 2)
    weight = torch.softmax(module.norm_q(query) @ key.transpose(-1, -2) / 8**0.5, dim=-1)
    expected = (weight @ value).transpose(1, 2).reshape(2, 5, 16)
    torch.testing.assert_close(module(query, tokens, time), expected)
    torch.testing.assert_close(
        expected, scaled_dot_product_attention(module.norm_q(query), key, value).transpose(1, 2).flatten(2)
    )
    assert not TokenAttention(12, 16, 8)(query, tokens, time).any()


def injection(**options) -> TokenInjection:
    torch.manual_seed(0)
    sizes = BackboneSizes(16, 8, ("0.attn", "1.attn"), 4)
    return TokenInjection(32, 3, sizes, TokenOptions(**options)).eval()


def test_tokens_depend_on_every_point_and_single_and_on_nothing_masked():
    module = injection(queries=5, layers=2)
    points, singles = torch.randn(2, 6, 32), torch.randn(2, 3, 32)
    mask = torch.tensor([[True] * 6, [True, True, False, False, False, False]])
    tokens = module(points, mask, singles)
    assert tokens.shape == (2, 5, 32)
    for place in range(6):
        other = points.clone()
        other[:, place] += torch.randn(32)
        changed = (module(other, mask, singles) - tokens).abs().amax(dim=(1, 2)) > 0
        assert changed.tolist() == mask[:, place].tolist()
    for place in range(3):
        other = singles.clone()
        other[:, place] += torch.randn(32)
        assert ((module(points, mask, other) - tokens).abs().amax(dim=(1, 2)) > 0).all()
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    torch.testing.assert_close(module(points[:, order], mask[:, order], singles), tokens, atol=1e-5, rtol=1e-5)
    nobody = module(points, torch.zeros_like(mask), singles)
    assert nobody.isfinite().all()


def test_the_timestep_and_the_strength_reach_the_attention():
    module = injection()
    for attention in module.attentions.values():
        torch.nn.init.normal_(attention.to_v.weight)
    tokens, query = torch.randn(1, 16, 32), torch.randn(1, 2, 4, 8)
    early = module.at(tokens, torch.tensor([900.0]), 1.0).attend("1.attn", query)
    late = module.at(tokens, torch.tensor([100.0]), 1.0).attend("1.attn", query)
    assert (early - late).abs().max() > 1e-4
    torch.testing.assert_close(module.at(tokens, torch.tensor([900.0]), 0.5).attend("1.attn", query), 0.5 * early)
    assert not torch.equal(module.at(tokens, torch.tensor([900.0]), 1.0).attend("0.attn", query), early)


def test_heads_of_the_tokens_divide_their_width():
    with pytest.raises(OptionError, match=r"conditioning\.tokens\.heads"):
        injection(heads=5)


def test_joining_keeps_what_is_not_there():
    one = Conditioned(torch.zeros(2, 3), torch.ones(2, 4, 5), None, 0.5)
    both = Conditioned.join([one, one])
    assert both.pooled.shape == (4, 3)
    assert both.tokens is not None
    assert both.tokens.shape == (4, 4, 5)
    assert both.maps is None
    assert both.scale == 0.5


@pytest.mark.parametrize(
    ("inject", "modalities", "needs"),
    [
        (["pooled"], ["geometry", "image", "pose"], (True, False, True, True)),
        (["pooled"], ["pose"], (False, False, False, True)),
        (["map"], ["geometry", "image", "pose"], (False, True, False, False)),
        (["tokens", "map"], ["geometry", "pose"], (True, True, False, True)),
        ([], ["geometry", "image", "pose"], (False, False, False, False)),
    ],
)
def test_needs(inject, modalities, needs):
    found = needs_of(inject, modalities)
    assert (found.clouds, found.maps, found.image, found.pose) == needs
    assert found.geometry == (needs[0] or needs[1])
