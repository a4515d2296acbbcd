"""Each fusion method against its documented formula, computed again in numpy; parameter counts of the published sizes."""

import math

import numpy as np
import pytest
import torch

from geodiff_sar.conditioning.fusion import FUSIONS, FusionSizes
from geodiff_sar.core.errors import OptionError

SIZES = FusionSizes(48, 20, 12)
EPS = 1e-5  # of LayerNorm


class Weights:
    """The parameters of a module by dotted name, and the layers that use them, in numpy at double precision."""

    def __init__(self, module: torch.nn.Module):
        self.values = {name: value.detach().numpy() for name, value in module.state_dict().items()}

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPS)
        return scaled * self[f"{name}.weight"] + self[f"{name}.bias"]

    def attention(self, name: str, query: np.ndarray, keys: np.ndarray, heads: int) -> np.ndarray:
        width = query.shape[-1] // heads
        matrices, offsets = np.split(self[f"{name}.in_proj_weight"], 3), np.split(self[f"{name}.in_proj_bias"], 3)
        q, k, v = (x @ m.T + b for x, m, b in zip((query, keys, keys), matrices, offsets, strict=True))
        joined = []
        for h in range(heads):
            part = slice(h * width, (h + 1) * width)
            scores = softmax(q[..., part] @ np.swapaxes(k[..., part], -1, -2) / math.sqrt(width))
            joined.append(scores @ v[..., part])
        return self.linear(f"{name}.out_proj", np.concatenate(joined, -1))

    def network(self, name: str, x: np.ndarray, places: list[int]) -> np.ndarray:
        """Linear, LayerNorm, GELU, ... as `mlp` builds; ``places`` are the indices of the linear layers."""
        for place in places[:-1]:
            x = gelu(self.norm(f"{name}.{place + 1}", self.linear(f"{name}.{place}", x)))
        return self.linear(f"{name}.{places[-1]}", x)


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def relu(x):
    return np.maximum(x, 0)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def turn(vector, goal, cosine, target, most):
    share = np.minimum(relu(target - cosine) / np.maximum(1 - cosine, 1e-4), most)
    return np.linalg.norm(vector, axis=-1, keepdims=True) * unit((1 - share) * unit(vector) + share * unit(goal))


def transformer_layer(w, tokens, heads):
    tokens = w.norm("norm_attention", tokens + w.attention("attention", tokens, tokens, heads))
    return w.norm("norm_feed", tokens + w.linear("feed.3", gelu(w.linear("feed.0", tokens))))


def concat(w, t, p, i, o):
    if o.form == "projected":
        return w.linear("projection", np.concatenate([t, p, i], -1))
    parts = [t, w.linear("geometry_projection", p), w.linear("image_projection", i)]
    k = softmax(w.linear("weights.2", relu(w.linear("weights.0", np.concatenate(parts, -1)))))
    return k[:, :1] * parts[0] + k[:, 1:2] * parts[1] + k[:, 2:] * parts[2]


def add(w, t, p, i, o):
    return w.linear("projection", t + w.linear("geometry_projection", p) + w.linear("image_projection", i))


def attention(w, t, p, i, o):
    parts = [gelu(w.norm(f"projections.{n}.1", w.linear(f"projections.{n}.0", m))) for n, m in enumerate((t, p, i))]
    k = softmax(w.linear("weights.2", relu(w.linear("weights.0", np.concatenate(parts, -1)))))
    tokens = transformer_layer(w, np.stack(parts, 1) + w["modality"], o.heads)
    share = o.text_share
    return (1 - share) * (k[..., None] * tokens).sum(1) + share * w.linear("text_residual", t)


def gentle(w, t, p, i, o):
    a, cloud, image = o.alpha, w.network("geometry_network", p, [0, 3]), w.network("image_network", i, [0, 3])
    return (1 - a) * t + 0.75 * a * cloud + 0.25 * a * image


def gated(w, t, p, i, o):
    parts = [t, w.network("geometry_network", p, [0, 4, 7]), w.network("image_network", i, [0, 4, 7])]
    g = softmax(w.network("gate", np.concatenate(parts, -1), [0, 4, 8]))
    return (g[..., None] * np.stack(parts, 1)).sum(1) + w["text_weight"] * t


def attention_gated(w, t, p, i, o):
    parts = [t, w.network("geometry_network", p, [0, 4, 8]), w.network("image_network", i, [0, 4, 8])]
    g = softmax(w.network("gate", np.concatenate(parts, -1), [0, 4, 8]))
    tokens = transformer_layer(w, np.stack(parts, 1) + w["modality"], o.heads)
    return (g[..., None] * tokens).sum(1) + w["text_weight"] * t


def normed(w, t, p, i):
    raw = (t, w.linear("geometry_projection", p), w.linear("image_projection", i))
    return [w.norm(f"norms.{n}", x) for n, x in enumerate(raw)]


def image_guided(w, t, p, i, o):
    t, p, i = normed(w, t, p, i)
    a, b = np.split(
        1 / (1 + np.exp(-w.linear("gate.2", gelu(w.linear("gate.0", np.concatenate([t, p, i], -1)))))), 2, 1
    )
    cosine = (unit(t) * unit(i)).sum(-1, keepdims=True)
    return turn(t + a * p + b * i, i, cosine, o.cosine_target, o.max_gamma)


def hybrid_film_attn(w, t, p, i, o):
    parts = normed(w, t, p, i)
    g = softmax(w.linear("gate.3", gelu(w.linear("gate.0", np.concatenate(parts, -1)))))
    f = (g[..., None] * np.stack(parts, 1)).sum(1)
    film = w.linear("film.2", gelu(w.linear("film.0", np.concatenate([f, parts[2]], -1))))
    gamma, beta = np.split(film, 2, axis=-1)
    x = (1 + o.gamma_scale * np.tanh(gamma)) * f + beta
    seen = np.stack([x, *parts], 1)
    x = w.norm("norm_attention", x + w.attention("attention", x[:, None], seen, o.heads)[:, 0])
    x = w.norm("norm_feed", x + w.linear("feed.3", gelu(w.linear("feed.0", x))))
    cosine = (unit(x) * unit(parts[2])).sum(-1, keepdims=True)
    return turn(x, parts[2], cosine, o.push_target, o.push_max)


FORMULAS = {
    "concat": concat,
    "add": add,
    "attention": attention,
    "gentle": gentle,
    "gated": gated,
    "attention_gated": attention_gated,
    "image_guided": image_guided,
    "hybrid_film_attn": hybrid_film_attn,
}
CASES = [
    *((name, {}) for name in FORMULAS),
    ("concat", {"form": "projected"}),
    ("attention", {"heads": 4, "text_share": 0.8}),
    ("attention_gated", {"heads": 3}),
    ("gentle", {"alpha": 0.2}),
    ("gentle", {"alpha": 0.0}),
    ("image_guided", {"cosine_target": 0.1, "max_gamma": 1.0}),
    ("image_guided", {"cosine_target": -1.0}),
    ("hybrid_film_attn", {"heads": 2, "gamma_scale": 2.0, "push_target": 0.2, "push_max": 1.0}),
    ("hybrid_film_attn", {"push_max": 0.0}),
]


def build(name: str, options: dict, sizes: FusionSizes = SIZES):
    """The method in double precision, all parameters drawn afresh, so that none hides behind a 0 or a 1."""
    torch.manual_seed(4)
    method = FUSIONS.get(name)
    parsed = method.Options(**options)
    module = method(sizes, parsed).double().eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module, parsed


@pytest.mark.parametrize(("name", "options"), CASES)
def test_formula(name, options):
    module, parsed = build(name, options)
    draw = torch.Generator().manual_seed(5)
    inputs = [
        torch.randn(6, n, generator=draw, dtype=torch.float64)
        for n in (SIZES.text_dim, SIZES.geometry_dim, SIZES.image_dim)
    ]
    expected = FORMULAS[name](Weights(module), *(x.numpy() for x in inputs), parsed)
    np.testing.assert_allclose(module(*inputs).detach().numpy(), expected, rtol=1e-9, atol=1e-10)


def test_every_method_has_a_formula():
    assert set(FUSIONS.names()) == set(FORMULAS)


def test_image_guided_reaches_the_image_when_nothing_limits_it():
    inputs = [torch.randn(50, n, dtype=torch.float64) for n in (48, 20, 12)]
    module, _ = build("image_guided", {"cosine_target": 1.0, "max_gamma": 1.0})
    goal = module.norms[2](module.image_projection(inputs[2]))
    cosine = torch.cosine_similarity(module(*inputs), goal)
    torch.testing.assert_close(cosine, torch.ones(50).double(), atol=1e-9, rtol=0)


def test_push_keeps_the_length_and_nears_the_image():
    inputs = [torch.randn(50, n, dtype=torch.float64) for n in (48, 20, 12)]
    still, _ = build("hybrid_film_attn", {"push_max": 0.0})
    pushed, _ = build("hybrid_film_attn", {"push_max": 0.5})
    a, b = still(*inputs), pushed(*inputs)
    torch.testing.assert_close(a.norm(dim=-1), b.norm(dim=-1))
    goal = still.norms[2](still.image_projection(inputs[2]))
    assert (torch.cosine_similarity(b, goal) > torch.cosine_similarity(a, goal)).all()


def test_hybrid_has_the_published_length():
    """With a fresh LayerNorm the length is that of the square root of the width (45.25 at 2048)."""
    method = FUSIONS.get("hybrid_film_attn")
    module = method(SIZES, method.Options()).eval()
    lengths = module(torch.randn(5, 48), torch.randn(5, 20), torch.randn(5, 12)).norm(dim=-1)
    torch.testing.assert_close(lengths, torch.full((5,), math.sqrt(48)), rtol=1e-4, atol=0)


PUBLISHED = {  # REFERENCE: as counted in the published code, at text width 2048 and embeddings of 768
    "concat": 3.94e6,
    "attention": 62.7e6,
    "gentle": 2.17e6,
    "gated": 11.2e6,
    "attention_gated": 78.4e6 - 16_785_408 - 4_096,  # cross-attention and LayerNorm that had no effect
    "image_guided": 3.95e6,
    "hybrid_film_attn": 59.3e6,
    "add": 2048 * 2048 + 2048 + 2 * (768 * 2048 + 2048),  # could not be built; W and our two projections
}


def count(name: str, **options) -> int:
    method = FUSIONS.get(name)
    with torch.device("meta"):
        module = method(FusionSizes(2048, 768, 768), method.Options(**options))
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", FORMULAS)
def test_parameter_count_at_published_sizes(name):
    assert count(name) == pytest.approx(PUBLISHED[name], rel=3e-3)
    assert f"{count(name):,}" in (FUSIONS.get(name).__doc__ or "") or name == "add"


def test_parameter_count_of_the_projected_concat():
    assert count("concat", form="projected") == 3584 * 2048 + 2048


@pytest.mark.parametrize("name", ["attention", "attention_gated", "hybrid_film_attn"])
def test_heads_must_divide_the_text_width(name):
    method = FUSIONS.get(name)
    with pytest.raises(OptionError, match=r"fusion\.options\.heads: 7"):
        method(SIZES, method.Options(heads=7))


def test_queries_and_keys_of_the_hybrid_attention_learn():
    """In the published form, with one token, both got no gradient."""
    module, _ = build("hybrid_film_attn", {})
    module(*(torch.randn(4, n, dtype=torch.float64) for n in (48, 20, 12))).square().sum(0)[:9].sum().backward()
    gradient = module.attention.in_proj_weight.grad
    assert gradient is not None
    for part in gradient.chunk(3):
        assert part.abs().max() > 1e-6
