"""The whole stack: nulls, leaks, dropout, header."""

import json
import math
from dataclasses import replace

import pytest
import torch

from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.options import (
    ConditioningOptions,
    ConditioningSizes,
    FusionOptions,
    default_embed_dim,
)
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.errors import DataError, OptionError

MODALITIES = ("geometry", "image", "azimuth", "depression")
VALUES = {
    "geometry": ("features", "coordinates"),
    "image": ("reference",),
    "azimuth": ("azimuth_deg",),
    "depression": ("depression_deg",),
}


def spoil(condition, rows, modality, value):
    """Put ``value`` (None: noise) where a modality is marked absent."""
    changed = {}
    for name in VALUES[modality]:
        tensor = getattr(condition, name).clone()
        tensor[rows] = torch.randn_like(tensor[rows]) * 40 if value is None else value
        changed[name] = tensor
    return replace(condition, **changed)


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_values_of_absent_modalities_do_not_leak(make_stack, make_condition, modality, value):
    stack = make_stack()
    rows = torch.tensor([False, True, True])
    condition = replace(make_condition(), **{f"has_{modality}": ~rows})
    expected = stack(condition).pooled
    result = stack(spoil(condition, rows, modality, value)).pooled
    assert torch.equal(result, expected)
    result.square().sum().backward()
    for name, parameter in stack.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_values_in_padding_do_not_leak(make_stack, make_condition):
    stack, condition = make_stack(), make_condition()
    mask = condition.point_mask.clone()
    mask[:, 5:] = False
    expected = stack(replace(condition, point_mask=mask)).pooled
    features = condition.features.masked_fill(~mask[..., None], math.nan)
    coordinates = condition.coordinates.masked_fill(~mask[..., None], math.nan)
    spoiled = replace(condition, point_mask=mask, features=features, coordinates=coordinates)
    assert torch.equal(stack(spoiled).pooled, expected)


@pytest.mark.parametrize(
    ("null", "fields"),
    [
        ("null_geometry", ("has_geometry",)),
        ("null_image", ("has_image",)),
        ("pose.null_azimuth", ("has_azimuth",)),
        ("pose.null_depression", ("has_depression",)),
    ],
)
def test_nulls_are_used_exactly_where_a_modality_is_absent(make_stack, make_condition, null, fields):
    stack = make_stack()
    there = torch.tensor([True, False, True])
    condition = replace(make_condition(), **dict.fromkeys(fields, there))
    before = stack(condition).pooled
    with torch.no_grad():
        stack.get_parameter(null).add_(torch.randn(stack.get_parameter(null).shape))
    changed = (stack(condition).pooled - before).abs().amax(dim=1)
    assert changed[1] > 1e-4
    torch.testing.assert_close(changed[there], torch.zeros(2), atol=1e-6, rtol=0)


def test_absent_geometry_is_the_null_embedding_plus_pose(make_stack, make_condition):
    stack = make_stack()
    condition = make_condition().without(geometry=True, image=True)
    pose = stack.pose(condition.azimuth_deg, condition.has_azimuth, condition.depression_deg, condition.has_depression)
    text, image = condition.pooled, stack.null_image.expand(3, -1)
    expected = stack.injection(text, stack.fusion(text, stack.null_geometry + pose, image))
    torch.testing.assert_close(stack(condition).pooled, expected)


def test_present_geometry_and_image_are_their_encoders(make_stack, make_condition):
    stack, condition = make_stack(), make_condition()
    cloud, _ = stack.points(condition.features, condition.coordinates, condition.point_mask, condition.has_coordinates)
    pose = stack.pose(condition.azimuth_deg, condition.has_azimuth, condition.depression_deg, condition.has_depression)
    fused = stack.fusion(condition.pooled, cloud + pose, stack.image(condition.reference))
    torch.testing.assert_close(stack(condition).pooled, condition.pooled + 0.5 * (fused - condition.pooled))


@pytest.mark.parametrize("method", FUSIONS.names())
@pytest.mark.parametrize("name", ["pooled", "features", "coordinates", "reference", "azimuth_deg", "depression_deg"])
def test_every_condition_changes_the_result(make_stack, make_condition, method, name):
    stack, condition = make_stack(method), make_condition()
    other = replace(condition, **{name: getattr(make_condition(seed=9), name)})
    assert (stack(other).pooled - stack(condition).pooled).abs().amax(dim=1).min() > 1e-5


def test_order_of_points_does_not_matter(make_stack, make_condition):
    stack, condition = make_stack(), make_condition()
    order = torch.randperm(7)
    moved = replace(condition, features=condition.features[:, order], coordinates=condition.coordinates[:, order])
    torch.testing.assert_close(stack(moved).pooled, stack(condition).pooled, atol=1e-5, rtol=1e-5)


def test_rows_do_not_depend_on_their_batch(make_stack, make_condition):
    stack, condition = make_stack(), make_condition()
    mixed = torch.tensor([True, False, True])
    condition = replace(condition, has_geometry=mixed, has_image=mixed.flip(0))
    together = stack(condition).pooled
    alone = torch.cat([stack(condition.rows([row])).pooled for row in range(3)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


def test_a_cloud_marked_present_without_points_is_refused(make_stack, make_condition):
    condition = make_condition()
    mask = condition.point_mask.clone()
    mask[1] = False
    with pytest.raises(DataError, match="at least one point"):
        make_stack()(replace(condition, point_mask=mask))


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("features", torch.zeros(3, 7, 5)),
        ("pooled", torch.zeros(3, 63)),
        ("reference", torch.zeros(3, 16, 6, 4)),
    ],
)
def test_other_widths_are_refused(make_stack, make_condition, name, tensor):
    with pytest.raises(DataError, match=f"width {tensor.shape[1 if name == 'reference' else -1]}"):
        make_stack()(make_condition(**{name: tensor}))


def test_fusion_scale(make_stack, make_condition):
    stack, condition = make_stack(), make_condition()
    y = stack(condition).pooled
    assert torch.equal(stack(condition, 0.0).pooled, condition.pooled)
    torch.testing.assert_close(stack(condition, 0.5).pooled, condition.pooled + 0.5 * (y - condition.pooled))


def test_drop_rates_and_independence(make_stack, make_condition):
    stack = make_stack(joint_dropout=0.0, geometry_dropout=0.3, image_dropout=0.5, pose_dropout=0.2)
    many = make_condition(batch=4000, points=1)
    dropped = stack.drop(many, generator=torch.Generator().manual_seed(0))
    shares = [float(part.float().mean()) for part in (dropped.has_geometry, dropped.has_image, dropped.has_azimuth)]
    assert shares == pytest.approx([0.7, 0.5, 0.8], abs=0.03)
    assert torch.equal(dropped.has_azimuth, dropped.has_depression)
    both = (dropped.has_geometry & dropped.has_image).float().mean()
    assert float(both) == pytest.approx(0.35, abs=0.03)
    again = stack.drop(many, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.has_geometry, dropped.has_geometry)


def test_some_chips_lose_everything_together_as_guidance_sees_them(make_stack, make_condition):
    stack = make_stack(joint_dropout=0.25, geometry_dropout=0.0, image_dropout=0.0, pose_dropout=0.0)
    many = make_condition(batch=2000, seed=4)
    without_text = torch.arange(2000) % 4 == 0
    dropped = stack.drop(many, without_text, torch.Generator().manual_seed(0))
    assert torch.equal(dropped.has_geometry, dropped.has_image)
    assert torch.equal(dropped.has_geometry, dropped.has_azimuth)
    assert 0.45 < float(dropped.has_geometry[without_text].float().mean()) < 0.55
    assert 0.7 < float(dropped.has_geometry[~without_text].float().mean()) < 0.8


def test_drop_never_makes_an_absent_modality_present(make_stack, make_condition):
    stack = make_stack(joint_dropout=0.0, geometry_dropout=0.0, image_dropout=0.0, pose_dropout=0.0)
    condition = make_condition(has_depression=torch.tensor([True, False, True])).without(image=True)
    dropped = stack.drop(condition)
    for name in ("has_geometry", "has_image", "has_azimuth", "has_depression"):
        assert torch.equal(getattr(dropped, name), getattr(condition, name))


def test_all_parameters_take_part_even_when_all_is_absent(make_stack, make_condition):
    """A parameter outside the graph would stop training over several processes."""
    stack = make_stack().train()
    stack(make_condition().without(geometry=True, image=True, pose=True)).pooled.sum().backward()
    assert [name for name, parameter in stack.named_parameters() if parameter.grad is None] == []


def test_statistics_are_saved(make_stack, make_condition):
    stack = make_stack()
    stack.set_statistics(torch.full((6,), 0.5), torch.full((6,), 1.5))
    other = make_stack()
    other.load_state_dict(stack.state_dict(), strict=True)
    assert torch.equal(other(make_condition()).pooled, stack(make_condition()).pooled)


def test_gate_summary(make_stack):
    assert make_stack(gate=-0.25).summary() == {"gate/mean": 0.25, "gate/max": 0.25}
    assert make_stack(residual=False).summary() == {"gate/mean": 1.0, "gate/max": 1.0}


@pytest.mark.parametrize("method", FUSIONS.names())
def test_header_builds_the_same_stack(make_stack, make_condition, method, monkeypatch):
    stack = make_stack(method, points={"layers": 2, "positions": "none"}, image_dropout=0.25)
    header = json.loads(json.dumps(stack.header()))
    for variable in ("GENTLE_ALPHA", "IMG_GUIDE_COS_TARGET", "HYBRID_IMG_PUSH_TARGET"):
        monkeypatch.setenv(variable, "0.11")  # strengths come from the header, not from where it is read
    other = ConditioningStack.from_header(header).eval()
    other.load_state_dict(stack.state_dict(), strict=True)
    assert other.header() == stack.header()
    assert torch.equal(other(make_condition()).pooled, stack(make_condition()).pooled)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes": {"pooled_dim": 64}}, "embed_dim"),
        ({"sizes": {"pooled_dim": 64, "latent_channels": 4, "feature_dim": 0, "embed_dim": 32}}, "feature_dim"),
        (
            {"sizes": {"pooled_dim": 64, "latent_channels": 4, "feature_dim": 6, "embed_dim": 32, "colour": 1}},
            "colour",
        ),
        ({"fusion": {"method": "hybrid"}}, "hybrid_film_attn"),
        ({"fusion": {"method": "gentle", "options": {"alpha": 0.5}}}, "alpha"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_malformed_header_is_refused(make_stack, change, message):
    with pytest.raises(OptionError, match=message):
        ConditioningStack.from_header({**make_stack().header(), **change})


def test_missing_part_of_a_header_is_refused(make_stack):
    for part in ("sizes", "conditioning", "fusion"):
        header = make_stack().header()
        del header[part]
        with pytest.raises(OptionError, match=part):
            ConditioningStack.from_header(header)


def test_autocast(make_stack, make_condition):
    """Under bfloat16 autocast the result stays near the one of full precision, and an untrained stack exact."""
    condition = make_condition()
    for method in FUSIONS.names():
        stack = make_stack(method)
        expected = stack(condition).pooled
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (stack(condition).pooled.float() - expected).norm() < 0.05 * expected.norm()
            assert torch.equal(make_stack(method, gate=0.0)(condition).pooled, condition.pooled)


def test_default_embed_dim():
    assert default_embed_dim(2048) == 768
    for pooled in (16, 64, 128, 256):
        width = default_embed_dim(pooled)
        assert width % 32 == 0
        assert width >= 32
        stack = ConditioningStack(ConditioningSizes(pooled, 4, 6, width), ConditioningOptions(), FusionOptions())
        assert stack.sizes.embed_dim == width
