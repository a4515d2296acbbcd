"""The gate, the fusion scale and the environment variables behind defaults."""

import pytest
import torch

from geodiff_sar.conditioning.environment import env_float
from geodiff_sar.conditioning.fusion import FUSIONS
from geodiff_sar.conditioning.injection import GATE_GAIN, PooledInjection, default_fusion_scale
from geodiff_sar.core.config import parse_options
from geodiff_sar.core.errors import OptionError

TEXT, FUSED = torch.randn(4, 10), 50 * torch.randn(4, 10)


@pytest.mark.parametrize("scale", [1.0, 0.0, 0.3, -2.0])
def test_a_gate_at_zero_gives_the_text_exactly(scale):
    assert torch.equal(PooledInjection(10)(TEXT, FUSED, scale), TEXT)


def test_formula():
    net = PooledInjection(10)
    assert net.theta is not None
    gate = torch.linspace(-1, 2, 10)
    net.theta.data = gate / GATE_GAIN
    y = TEXT + gate * (FUSED - TEXT)
    torch.testing.assert_close(net(TEXT, FUSED), y)
    torch.testing.assert_close(net(TEXT, FUSED, 0.4), TEXT + 0.4 * (y - TEXT))
    assert torch.equal(net(TEXT, FUSED, 0.0), TEXT)


def test_without_the_gate_the_published_formula():
    net = PooledInjection(10, residual=False)
    assert not list(net.parameters())
    assert torch.equal(net(TEXT, FUSED), FUSED)
    torch.testing.assert_close(net(TEXT, FUSED, 0.25), 0.75 * TEXT + 0.25 * FUSED)
    assert torch.equal(net(TEXT, FUSED, 0.0), TEXT)


def test_the_gate_learns_from_zero():
    net = PooledInjection(10)
    net(TEXT, FUSED).square().sum().backward()
    assert net.theta is not None
    assert net.theta.grad is not None
    assert (net.theta.grad.abs() > 0).all()


def test_fusion_scale_from_the_environment(monkeypatch):
    monkeypatch.delenv("FUSION_INJECTION_SCALE", raising=False)
    assert default_fusion_scale() == 1.0
    monkeypatch.setenv("FUSION_INJECTION_SCALE", " 0.5 ")
    assert default_fusion_scale() == 0.5
    monkeypatch.setenv("FUSION_INJECTION_SCALE", "")
    assert default_fusion_scale() == 1.0


@pytest.mark.parametrize("text", ["strong", "nan", "inf", "0,5"])
def test_a_variable_that_is_not_a_number_is_refused_by_name(monkeypatch, text):
    monkeypatch.setenv("FUSION_INJECTION_SCALE", text)
    with pytest.raises(OptionError, match="FUSION_INJECTION_SCALE"):
        default_fusion_scale()


def test_a_variable_out_of_range_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("SOME_SHARE", "1.5")
    assert env_float("SOME_SHARE", 0.5) == 1.5
    with pytest.raises(OptionError, match=r"SOME_SHARE.*'1\.5'(.|\n)*from 0\.0 to 1\.0"):
        env_float("SOME_SHARE", 0.5, 0.0, 1.0)


STRENGTHS = [
    ("gentle", "alpha", "GENTLE_ALPHA", 0.02, 0.15, "0.3"),
    ("image_guided", "cosine_target", "IMG_GUIDE_COS_TARGET", 0.85, 0.6, "1.2"),
    ("image_guided", "max_gamma", "IMG_GUIDE_MAX_GAMMA", 0.5, 0.25, "-0.1"),
    ("hybrid_film_attn", "gamma_scale", "HYBRID_GAMMA_SCALE", 0.5, 0.75, "-1"),
    ("hybrid_film_attn", "push_target", "HYBRID_IMG_PUSH_TARGET", 0.9, 0.92, "2"),
    ("hybrid_film_attn", "push_max", "HYBRID_IMG_PUSH_MAX", 0.5, 0.7, "1.1"),
]


@pytest.mark.parametrize(("method", "option", "variable", "default", "other", "bad"), STRENGTHS)
def test_strengths_of_the_published_environment_variables(monkeypatch, method, option, variable, default, other, bad):
    options = FUSIONS.get(method).Options
    monkeypatch.delenv(variable, raising=False)
    assert getattr(parse_options(options, {}, "test"), option) == default
    monkeypatch.setenv(variable, str(other))
    assert getattr(parse_options(options, {}, "test"), option) == other
    assert getattr(parse_options(options, {option: default}, "test"), option) == default  # the file wins
    monkeypatch.setenv(variable, bad)
    with pytest.raises(OptionError, match=variable):
        parse_options(options, {}, "test")
