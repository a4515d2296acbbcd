"""What every registered fusion method has to do."""

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load, save

from geodiff_sar.conditioning.fusion import FUSIONS, Fusion, FusionSizes
from geodiff_sar.conditioning.options import ConditioningOptions, ConditioningSizes, FusionOptions
from geodiff_sar.conditioning.stack import ConditioningStack
from geodiff_sar.core.condition import Condition
from geodiff_sar.core.config import Options, parse_options
from geodiff_sar.core.errors import OptionError

METHODS = FUSIONS.names()
SIZES = FusionSizes(text_dim=64, geometry_dim=24, image_dim=40)
README = ["concat", "add", "attention", "gentle", "gated", "attention_gated", "image_guided", "hybrid_film_attn"]


def build(name: str, seed: int = 0) -> Fusion:
    torch.manual_seed(seed)
    method = FUSIONS.get(name)
    return method(SIZES, method.Options())


def inputs(batch: int = 5, seed: int = 1) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn(batch, n, generator=draw) for n in (SIZES.text_dim, SIZES.geometry_dim, SIZES.image_dim)]


def test_the_methods_of_the_readme_are_all_there():
    assert set(README) <= set(METHODS)


def test_an_unknown_method_is_refused_with_the_list():
    with pytest.raises(OptionError, match=r"fusion\.method: 'film'(.|\n)*hybrid_film_attn"):
        FUSIONS.get("film")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch", [1, 5])
def test_shape_and_finiteness(name, batch):
    result = build(name)(*inputs(batch))
    assert result.shape == (batch, SIZES.text_dim)
    assert result.dtype == torch.float32
    assert result.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_gradients_reach_every_parameter_and_every_input(name):
    module, given = build(name).eval(), [x.requires_grad_() for x in inputs()]
    result = module(*given)
    (result * torch.randn(result.shape)).sum().backward()
    for label, tensor in [*module.named_parameters(), *zip(("text", "geometry", "image"), given, strict=True)]:
        assert tensor.grad is not None, label
        assert tensor.grad.isfinite().all(), label
        assert tensor.grad.abs().max() > 0, label


@pytest.mark.parametrize("name", METHODS)
def test_extreme_inputs_stay_finite(name):
    module = build(name).eval()
    text, geometry, image = inputs()
    for factor in (0.0, 1e-6, 1e4):
        given = [(factor * x).requires_grad_() for x in (text, geometry, image)]
        result = module(*given)
        result.sum().backward()
        assert result.isfinite().all()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in given)


@pytest.mark.parametrize("name", METHODS)
def test_eval_mode_is_deterministic(name):
    module = build(name).eval()
    assert torch.equal(module(*inputs()), module(*inputs()))
    with torch.no_grad():
        torch.testing.assert_close(module(*inputs()), build(name).eval()(*inputs()))


@pytest.mark.parametrize("name", METHODS)
def test_rows_do_not_depend_on_their_batch(name):
    module, given = build(name).eval(), inputs()
    together = module(*given)
    alone = torch.cat([module(*(x[row : row + 1] for x in given)) for row in range(5)])
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", METHODS)
def test_every_modality_matters(name):
    module, given, other = build(name).eval(), inputs(), inputs(seed=2)
    expected = module(*given)
    for place in range(3):
        changed = [other[n] if n == place else given[n] for n in range(3)]
        assert (module(*changed) - expected).abs().amax(dim=1).min() > 1e-5


@pytest.mark.parametrize("name", METHODS)
def test_save_and_load(name):
    module, other = build(name).eval(), build(name, seed=9).eval()
    assert not torch.equal(module(*inputs()), other(*inputs()))
    other.load_state_dict(load(save(module.state_dict())), strict=True)
    assert torch.equal(module(*inputs()), other(*inputs()))


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_built_by_the_first_forward_pass(name):
    module = build(name)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    module(*inputs())
    after = module.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", METHODS)
def test_options_are_typed_bounded_and_described(name):
    options = FUSIONS.get(name).Options
    assert issubclass(options, Options)
    with pytest.raises(OptionError, match="no_such_option"):
        parse_options(options, {"no_such_option": 1}, "test")
    values = options().model_dump()
    for key, field in options.model_fields.items():
        assert field.description, key
        for limit, step in (("ge", -0.5), ("gt", 0.0), ("le", 0.5), ("lt", 0.0)):
            for rule in field.metadata:
                if hasattr(rule, limit):
                    with pytest.raises(ValidationError, match=key):
                        options(**{**values, key: getattr(rule, limit) + step})
    assert options.model_validate_json(options().model_dump_json()) == options()


@pytest.mark.parametrize("name", METHODS)
def test_the_class_says_what_it_computes(name):
    text = FUSIONS.get(name).__doc__ or ""
    summary, gap = text.splitlines()[:2]  # one line that sums it up, then the formula
    assert summary.endswith(".")
    assert not gap
    assert "F = " in text
    assert "Departure" in text


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("mode", [True, False])
def test_an_untrained_adapter_equals_the_base_exactly(name, mode):
    stack = ConditioningStack(
        ConditioningSizes(pooled_dim=64, latent_channels=4, feature_dim=6, embed_dim=32),
        ConditioningOptions(),
        FusionOptions(method=name),
    ).train(mode)
    present = torch.tensor([True, False, True])
    condition = Condition(
        context=torch.randn(3, 5, 8),
        pooled=100 * torch.randn(3, 64),
        features=torch.randn(3, 7, 6),
        coordinates=torch.randn(3, 7, 3),
        point_mask=torch.ones(3, 7, dtype=torch.bool),
        has_geometry=present,
        has_coordinates=present,
        reference=torch.randn(3, 4, 6, 4),
        has_image=~present,
        azimuth_deg=torch.tensor([0.0, 120.0, 240.0]),
        has_azimuth=present,
        depression_deg=torch.full((3,), 30.0),
        has_depression=~present,
        maps=torch.zeros(3, 0, 0, 0),
        has_maps=~present,
    )
    for scale in (1.0, 0.3):
        y = stack(condition, scale).pooled
        assert torch.equal(y.view(torch.int32), condition.pooled.view(torch.int32))  # bit for bit
    stack(condition).pooled.square().sum().backward()
    assert stack.injection is not None
    gate = stack.injection.theta
    assert gate is not None
    assert gate.grad is not None
    assert (gate.grad.abs() > 0).all()  # and it can leave zero
